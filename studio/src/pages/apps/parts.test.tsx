import { cleanup, render, screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { afterEach, expect, it, vi } from "vitest";
import { Sure } from "./parts";

afterEach(cleanup);

it("asks once more before what cannot be undone, and a double click is a no", async () => {
  const user = userEvent.setup();
  const onAct = vi.fn();
  render(
    <Sure
      words="Remove"
      label="Remove db"
      asked="Its value is lost."
      busy={false}
      why={undefined}
      onAct={onAct}
    />,
  );
  await user.dblClick(screen.getByRole("button", { name: "Remove db" }));
  expect(onAct).not.toHaveBeenCalled();
  await user.click(screen.getByRole("button", { name: "Remove db" }));
  expect(screen.getByRole("status").textContent).toBe("Its value is lost.");
  // Who works by keyboard is still at the same place.
  expect(document.activeElement).toBe(screen.getByRole("button", { name: "No: Remove db" }));
  await user.click(screen.getByRole("button", { name: "Yes: Remove db" }));
  expect(onAct).toHaveBeenCalledTimes(1);
  expect(screen.getByRole("button", { name: "Remove db" })).toBeTruthy();
});
