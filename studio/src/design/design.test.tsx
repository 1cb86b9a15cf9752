import { render, screen } from "@testing-library/react";
import { expect, it } from "vitest";
import { Notice } from ".";

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
