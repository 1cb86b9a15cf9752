import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { cleanup, render, screen, waitFor } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { MemoryRouter } from "react-router";
import { afterEach, expect, it, vi } from "vitest";
import type { Move as Moving } from "../../api/xnode";
import { Move } from "./Move";

afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
});

const MIB = 1 << 20;

const moving = (more: Partial<Moving> = {}): Moving => ({
  id: "0".repeat(32),
  application: "db",
  leaves: true,
  other: "attic",
  to: "https://attic.lan",
  by: "ann",
  begun: "1",
  departing: "tries",
  arriving: "arrives",
  step: "stores the volume data",
  bytes: 16 * MIB,
  all_bytes: 64 * MIB,
  cause: null,
  waits_since: null,
  is_down: false,
  can_undo: true,
  undo_left_ms: null,
  ...more,
});

/** The part of the page at an agent with these moves, for somebody with a role, and what the agent was asked for. */
function shown(moves: Moving[], { role = "operator", refuses = false } = {}) {
  const asked: string[] = [];
  const answer = (status: number, json: unknown) =>
    Promise.resolve(new Response(JSON.stringify(json), { status }));
  vi.stubGlobal("fetch", (path: string, { method = "GET" }: RequestInit = {}) => {
    asked.push(`${method} ${path}`);
    if (path === "/v1/xnode/moves") return answer(200, { moves, ended: [] });
    if (path.endsWith("/access/me")) return answer(200, { who: "ann", role, from: "", id: null });
    if (path.endsWith("/move/undo"))
      return refuses
        ? answer(409, { code: "move_stays", message: "its hour is over" })
        : answer(200, moves[0]);
    return answer(404, { code: "not_found", message: "there is nothing" });
  });
  render(
    <QueryClientProvider client={new QueryClient({ defaultOptions: { queries: { retry: false } } })}>
      <MemoryRouter>
        <Move name="db" />
      </MemoryRouter>
    </QueryClientProvider>,
  );
  return asked;
}

it("shows the step of a move with its bytes, and cancels it", async () => {
  const asked = shown([moving({ application: "web", other: "cellar" }), moving()]);
  await screen.findByRole("heading", { name: "Move to attic" });
  screen.getByText("It serves here, while attic tries a copy of it");
  screen.getByRole("img", { name: "Bytes that are done: 25 %" });
  expect(screen.getByText(/stores the volume data/).textContent).toContain("16 MiB of about 64 MiB");
  expect(screen.queryByText(/cellar/)).toBeNull();
  await userEvent.click(screen.getByRole("button", { name: "Cancel the move to attic" }));
  await waitFor(() => expect(asked).toContain("POST /v1/xnode/applications/db/move/undo"));
});

it("offers the way back for an hour, and says why not", async () => {
  shown([moving({ departing: "gone", all_bytes: 0, step: "serves at attic", undo_left_ms: 1_800_000 })], {
    refuses: true,
  });
  await screen.findByText("It serves at attic");
  expect(screen.getByText(/it can be undone for 30 min more/)).not.toBeNull();
  await userEvent.click(screen.getByRole("button", { name: "Bring db back from attic" }));
  expect((await screen.findByRole("alert")).textContent).toContain("its hour is over");
});

it("gives no button to somebody who may not, and none where nothing is to be undone", async () => {
  shown([moving()], { role: "viewer" });
  const cancel = await screen.findByRole("button", { name: "Cancel the move to attic" });
  await waitFor(() => expect(cancel.hasAttribute("disabled")).toBe(true));
  cleanup();
  shown([moving({ leaves: false, departing: null, arriving: "told", can_undo: false })]);
  await screen.findByText("It comes from attic, and does not serve here yet");
  expect(screen.queryByRole("button")).toBeNull();
});

it("is loud where nobody serves and the other machine is away", async () => {
  shown([moving({ departing: "hands", is_down: true, waits_since: "1", cause: "attic cannot be asked" })]);
  expect((await screen.findByRole("alert")).textContent).toContain("attic cannot be asked");
});

it("says that nobody serves while the other machine lets nobody in, or its start at home fails", async () => {
  const cause = "attic: the domain shop.lan is another one's";
  shown([moving({ departing: "gone", arriving: "serves", is_down: true, waits_since: "1", cause })]);
  await screen.findByText("It has passed its gate at attic, which lets nobody in yet");
  expect(screen.getByRole("alert").textContent).toContain(cause);
  cleanup();
  shown([moving({ departing: "returns", arriving: "dropped", is_down: true, can_undo: false })]);
  await screen.findByText("It comes back from attic, and does not serve here yet");
  cleanup();
  shown([moving({ leaves: false, departing: null, arriving: "serves", is_down: true, can_undo: false })]);
  await screen.findByText("It has come from attic, and lets nobody in yet");
});

it("shows nothing of an application that does not move", async () => {
  const asked = shown([]);
  await waitFor(() => expect(asked).toContain("GET /v1/xnode/moves"));
  expect(screen.queryByRole("heading")).toBeNull();
});
