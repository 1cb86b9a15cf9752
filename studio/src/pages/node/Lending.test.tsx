import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { cleanup, render, screen, waitFor, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { MemoryRouter } from "react-router";
import { afterEach, expect, it, vi } from "vitest";
import type { Lending as LendingInfo, Loan, Role } from "../../api/xnode";
import { Lending } from "./Lending";

afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
});

const KEY = "ab".repeat(32);
const loan = (name: string, more: Partial<Loan> = {}): Loan => ({
  name,
  keys: [KEY],
  readers: [],
  room_bytes: 2 ** 30,
  used_bytes: 2 ** 28,
  held_bytes: 2 ** 28,
  objects: 12,
  until: null,
  held_days: 14,
  standing: "lent",
  connections: 1,
  seen: null,
  trouble: null,
  brings_back: false,
  by: "mia",
  at: "1796000000",
  ...more,
});

/** The page at an agent that lends so, and what it was asked to change. */
function shown(more: Partial<LendingInfo>, role: Role = "owner") {
  const info: LendingInfo = {
    key: "ef".repeat(32),
    listens: ["[::]:7790"],
    troubles: [],
    shut: true,
    disk_free_bytes: 2 ** 34,
    loans: [],
    ...more,
  };
  const asked: { method: string; path: string; body: unknown }[] = [];
  vi.stubGlobal("fetch", (path: string, { method, body }: { method: string; body?: string }) => {
    const answer = (json: unknown, status = 200) =>
      Promise.resolve(new Response(JSON.stringify(json), { status }));
    if (path.endsWith("/access/me")) return answer({ who: "root", role, from: "here", id: null });
    if (!path.includes("/loans")) return answer({ code: "not_found", message: "there is nothing" }, 404);
    if (method !== "GET") asked.push({ method, path, body: body === undefined ? null : JSON.parse(body) });
    return answer(info);
  });
  render(
    <QueryClientProvider client={new QueryClient({ defaultOptions: { queries: { retry: false } } })}>
      <MemoryRouter>
        <Lending />
      </MemoryRouter>
    </QueryClientProvider>,
  );
  return asked;
}

it("says how the lender stands, and what a guest writes", async () => {
  shown({ shut: null, troubles: ["its disk is away; mount it"], loans: [loan("ann")] });
  expect((await screen.findByRole("alert")).textContent).toContain("mount it");
  screen.getByText("it does not run: guests neither store nor read");
  screen.getByText(`attic: { kind: peer, address: "THIS-MACHINE:7790", node: ${"ef".repeat(32)} }`);
});

it("shows loans with their room, and filters them", async () => {
  shown({ loans: [loan("ann"), loan("bob", { standing: "ended", trouble: "its disk failed" })] });
  const table = await screen.findByRole("table", { name: "Loans" });
  within(table).getByRole("img", { name: "Room of ann that is used: 50 %" });
  within(table).getAllByText("256 MiB of 1 GiB, and 256 MiB that were removed; 12 objects");
  within(table).getByText("its disk failed");
  await userEvent.selectOptions(screen.getByRole("combobox", { name: "Standing" }), "ended");
  await waitFor(() => expect(within(table).queryByText("its disk failed")).not.toBeNull());
  expect(screen.queryByRole("img", { name: "Room of ann that is used: 50 %" })).toBeNull();
  await userEvent.type(screen.getByRole("searchbox", { name: "Search" }), "nobody");
  await screen.findByText("No loan fits these filters.");
});

it("lends room to a key, and says what is wrong while one types", async () => {
  const asked = shown({ loans: [loan("ann")] });
  const form = await screen.findByRole("form", { name: "Lend room" });
  const field = (name: string) => within(form).getByLabelText(name);
  const lend = within(form).getByRole("button", { name: "Lend" });
  await userEvent.type(field("Name"), "ann");
  await within(form).findByText("A loan of this name is there: change that one.");
  await userEvent.type(field("Name"), "a");
  await userEvent.type(field("The guest's keys"), "xyz");
  await within(form).findByText(/^xyz is no key of a machine/);
  expect(lend.hasAttribute("disabled")).toBe(true);
  await userEvent.clear(field("The guest's keys"));
  await userEvent.type(field("The guest's keys"), KEY);
  await userEvent.type(field("Room"), "2GiB");
  await waitFor(() => expect(lend.hasAttribute("disabled")).toBe(false));
  await userEvent.click(lend);
  await within(form).findByText("Room is lent as anna");
  const body = { keys: [KEY], readers: [], room_bytes: 2 ** 31, until: null, held_days: 14 };
  expect(asked).toEqual([{ method: "PUT", path: "/v1/xnode/loans/anna", body }]);
});

it("changes a loan without changing what nobody touched, ends it, and brings back", async () => {
  const readers = ["cd".repeat(32)];
  const asked = shown({ loans: [loan("ann", { readers, until: "1814313612.5" })] });
  await userEvent.click(await screen.findByRole("button", { name: "Change: ann" }));
  const form = await screen.findByRole("form", { name: "Change the loan ann" });
  const room = within(form).getByLabelText("Room");
  await userEvent.clear(room);
  await userEvent.type(room, "3GiB");
  await userEvent.click(within(form).getByRole("button", { name: "Change it" }));
  await screen.findByRole("form", { name: "Lend room" });
  const body = { keys: [KEY], readers, room_bytes: 3 * 2 ** 30, until: "1814313612.5", held_days: 14 };
  await userEvent.click(screen.getByRole("button", { name: "End the loan ann" }));
  await userEvent.click(screen.getByRole("button", { name: "Yes: End the loan ann" }));
  const days = screen.getByRole("textbox", { name: "Days of ann to bring back" });
  await userEvent.clear(days);
  expect(screen.getByRole("button", { name: /^Bring back/ }).hasAttribute("disabled")).toBe(true);
  await userEvent.type(days, "5");
  await userEvent.click(screen.getByRole("button", { name: "Bring back what the guest of ann removed" }));
  await userEvent.click(
    screen.getByRole("button", { name: "Yes: Bring back what the guest of ann removed" }),
  );
  await waitFor(() =>
    expect(asked).toEqual([
      { method: "PUT", path: "/v1/xnode/loans/ann", body },
      { method: "POST", path: "/v1/xnode/loans/ann/end", body: null },
      { method: "POST", path: "/v1/xnode/loans/ann/bring-back", body: { days: 5 } },
    ]),
  );
});

it("lets the owner alone remove what a guest has, once its loan has ended", async () => {
  const ended = loan("ann", { standing: "ended" });
  const asked = shown({ loans: [ended] });
  await userEvent.click(await screen.findByRole("button", { name: "Forget the loan ann" }));
  await screen.findByText("All backups of its guest are lost for good.");
  await userEvent.click(screen.getByRole("button", { name: "Yes: Forget the loan ann" }));
  await waitFor(() => expect(asked).toEqual([{ method: "DELETE", path: "/v1/xnode/loans/ann", body: null }]));
  cleanup();
  shown({ loans: [ended] }, "admin");
  const forget = await screen.findByRole("button", { name: "Forget the loan ann" });
  await waitFor(() => expect(forget.title).toBe("This needs the role owner, and admin is yours"));
});
