import { cleanup, render, screen } from "@testing-library/react";
import { afterEach, expect, it } from "vitest";
import { FieldNotes, Marked, Notice } from ".";

afterEach(cleanup);

it("tells a screen reader nothing anew when only an age has ticked", () => {
  const notice = (seconds: number) => (
    <Notice tone="warn" title="No block since 14:03:07" ticking={`${seconds} s without one.`}>
      What is shown as agreed stays true.
    </Notice>
  );
  const { rerender } = render(notice(11));
  const told = screen.getByRole("status").textContent;
  rerender(notice(12));
  screen.getByText("12 s without one.");
  expect(screen.getByRole("status").textContent).toBe(told);
});

it("shows what stands between backticks as code, and leaves one alone", () => {
  const shown = (text: string) => {
    const { container } = render(<Marked text={text} />);
    const found = [
      container.textContent,
      ...[...container.querySelectorAll("code")].map((each) => each.textContent),
    ];
    cleanup();
    return found;
  };
  expect(shown("`auto` takes a free one; `none` is for sites.")).toEqual([
    "auto takes a free one; none is for sites.",
    "auto",
    "none",
  ]);
  expect(shown("no code")).toEqual(["no code"]);
  expect(shown("one ` alone")).toEqual(["one ` alone"]);
  expect(shown("nothing ``")).toEqual(["nothing ``"]);
  render(<FieldNotes id="it" help="`secret:genesis`: the file." wrong="must be `secret:NAME`" />);
  expect([...document.querySelectorAll("code")].map((each) => each.textContent)).toEqual([
    "secret:genesis",
    "secret:NAME",
  ]);
});
