import { cleanup, render, screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { useState } from "react";
import { afterEach, expect, it } from "vitest";
import type { Application, TemplateField } from "../../api/xnode";
import { TemplateInput } from "./TemplateInput";

afterEach(cleanup);

const field = (kind: string, more: Partial<TemplateField> = {}): TemplateField => ({
  name: "it",
  kind,
  title: "It",
  help: "Helps.",
  default: null,
  choices: [],
  least: null,
  greatest: null,
  unit: null,
  pattern: null,
  pattern_words: null,
  advanced: false,
  required: false,
  generated: null,
  makes: null,
  ...more,
});

function Held({ of, wrong }: { of: TemplateField; wrong?: string }) {
  const [written, setWritten] = useState(of.default ?? "");
  return (
    <>
      <TemplateInput
        field={of}
        written={written}
        wrong={wrong}
        applications={[{ name: "db" } as Application]}
        onChange={setWritten}
        onLeave={() => undefined}
      />
      <output>{written}</output>
    </>
  );
}
const answer = () => document.querySelector("output")?.textContent;

it("gives each kind of field its input, with its unit and its help", () => {
  for (const [of, label, role] of [
    [field("text"), "It", "textbox"],
    [field("number", { unit: "ms" }), "It in ms", "textbox"],
    [field("size"), "It", "textbox"],
    [field("port"), "It", "textbox"],
    [field("domain"), "It", "textbox"],
    [field("boolean"), "It", "checkbox"],
    [field("choice", { choices: ["a"] }), "It", "combobox"],
    [field("application"), "It", "combobox"],
    // A kind of a later agent is written as text.
    [field("moon"), "It", "textbox"],
  ] as const) {
    render(<Held of={of} />);
    const input = screen.getByRole(role, { name: label });
    expect(input.getAttribute("aria-invalid")).toBe("false");
    const described = (input.getAttribute("aria-describedby") ?? "").split(" ");
    expect(described.map((id) => document.getElementById(id)?.textContent)).toEqual(["Helps."]);
    cleanup();
  }
});

it("answers in the agent's words", async () => {
  render(<Held of={field("boolean", { default: "false" })} />);
  await userEvent.click(screen.getByRole("checkbox"));
  expect(answer()).toBe("true");
  cleanup();
  render(<Held of={field("application", { makes: "postgres" })} />);
  screen.getByRole("option", { name: "A new one, of the template postgres" });
  await userEvent.selectOptions(screen.getByRole("combobox"), "db");
  expect(answer()).toBe("db");
  cleanup();
  render(<Held of={field("choice", { choices: ["a", "b"], default: "a" })} />);
  expect(screen.queryByRole("option", { name: "Choose…" })).toBeNull();
  await userEvent.selectOptions(screen.getByRole("combobox"), "b");
  expect(answer()).toBe("b");
});

it("says at the field what is wrong with it", () => {
  render(<Held of={field("text")} wrong="This is needed." />);
  const input = screen.getByRole("textbox");
  expect(input.getAttribute("aria-invalid")).toBe("true");
  expect(input.getAttribute("aria-describedby")).toContain(screen.getByRole("alert").id);
});
