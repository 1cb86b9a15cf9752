import { cleanup, render, screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { useState } from "react";
import { afterEach, expect, it } from "vitest";
import type { ActionField } from "../../api/types";
import { ActionInput } from "./ActionInput";

afterEach(cleanup);

const field = (type: ActionField["type"], more: Partial<ActionField> = {}): ActionField => ({
  name: "it",
  type,
  label: "It",
  help: "Helps.",
  choices: [],
  ...more,
});

function Held({ of, wrong }: { of: ActionField; wrong?: string }) {
  const [written, setWritten] = useState("");
  return (
    <ActionInput field={of} written={written} wrong={wrong} onChange={setWritten} onLeave={() => undefined} />
  );
}

it("gives each type of field its input, with its unit and its help", async () => {
  for (const [of, label, role] of [
    [field("address"), "It", "textbox"],
    [field("amount", { unit: "10^-18 OPEN" }), "It in OPEN", "textbox"],
    [field("uint", { unit: "ms" }), "It in ms", "textbox"],
    [field("text"), "It", "textbox"],
    [field("texts"), "It", "textbox"],
    [field("hash"), "It", "textbox"],
    [field("optional_text"), "It", "textbox"],
    [field("choice", { choices: ["a", "b"] }), "It", "combobox"],
  ] as const) {
    render(<Held of={of} />);
    const input = screen.getByRole(role, { name: label });
    expect(input.getAttribute("aria-invalid")).toBe("false");
    const described = (input.getAttribute("aria-describedby") ?? "").split(" ");
    expect(described.map((id) => document.getElementById(id)?.textContent)).toEqual(["Helps."]);
    cleanup();
  }
  render(<Held of={field("choice", { choices: ["a", "b"] })} />);
  await userEvent.selectOptions(screen.getByRole("combobox"), "b");
  expect(screen.getByRole<HTMLSelectElement>("combobox").value).toBe("b");
});

it("says at the field what is wrong with it", () => {
  render(<Held of={field("text")} wrong="This is needed." />);
  const input = screen.getByRole("textbox");
  expect(input.getAttribute("aria-invalid")).toBe("true");
  expect(screen.getByRole("alert").textContent).toBe("This is needed.");
  expect(input.getAttribute("aria-describedby")).toContain(screen.getByRole("alert").id);
});

it("shows a list as it will be sent, and puts it in order", async () => {
  render(<Held of={field("texts")} />);
  const input = screen.getByRole<HTMLTextAreaElement>("textbox");
  await userEvent.type(input, "trades, book,trades");
  await userEvent.click(screen.getByRole("button", { name: "Put in order" }));
  expect(input.value).toBe("book\ntrades");
  expect(screen.queryByRole("button", { name: "Put in order" })).toBeNull();
});
