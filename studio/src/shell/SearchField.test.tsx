import { cleanup, render, screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { MemoryRouter, useLocation } from "react-router";
import { afterEach, expect, it } from "vitest";
import { SearchField } from "./SearchField";

afterEach(cleanup);

function Where() {
  const { pathname, search, state } = useLocation();
  return <p data-testid="where">{`${pathname}${search} ${JSON.stringify(state)}`}</p>;
}

const show = () =>
  render(
    <MemoryRouter>
      <SearchField />
      <input aria-label="Another" />
      <Where />
    </MemoryRouter>,
  );
const where = () => screen.getByTestId("where").textContent;
const field = () => screen.getByRole<HTMLInputElement>("searchbox");

it("is reached by a key, and leads to what the text may mean", async () => {
  show();
  await userEvent.keyboard("/");
  expect(document.activeElement).toBe(field());
  expect(field().value).toBe("");
  await userEvent.keyboard(" 0xab &c {Enter}");
  expect(where()).toBe('/search?text=0xab+%26c {"go":true}');
  expect(field().value).toBe("");
});

it("leaves the key to whoever types elsewhere, and goes nowhere without a text", async () => {
  show();
  const other = screen.getByLabelText<HTMLInputElement>("Another");
  await userEvent.type(other, "a/b");
  expect([other.value, document.activeElement]).toEqual(["a/b", other]);
  await userEvent.type(field(), "  {Enter}");
  expect(where()).toBe("/ null");
});
