import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { cleanup, render, screen, waitFor } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { MemoryRouter } from "react-router";
import { afterEach, expect, it, vi } from "vitest";
import type { Move } from "../../api/xnode";
import { MoveAway } from "./MoveAway";

afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
});

const KEY = "omk_hidden";
const MOVE: Move = {
  id: "0".repeat(32),
  application: "db",
  leaves: true,
  other: "attic",
  to: "https://attic.lan",
  by: "ann",
  begun: "1",
  departing: "tries",
  arriving: null,
  step: "waits for attic",
  bytes: 0,
  all_bytes: 0,
  cause: null,
  waits_since: null,
  is_down: false,
  can_undo: true,
  undo_left_ms: null,
};

interface Sent {
  method?: string;
  body?: string;
}

interface Refusal {
  status: number;
  code: string;
  message: string;
}

interface Agent {
  moves?: Move[];
  refusal?: Refusal | null;
  role?: string;
}

/** The form at an agent that takes a move or refuses it so; what it was asked, and its cache. */
function shown({ moves = [], refusal = null, role = "operator" }: Agent = {}) {
  const asked: { path: string; body: unknown }[] = [];
  const now = [...moves];
  const answer = (status: number, json: unknown) =>
    Promise.resolve(new Response(JSON.stringify(json), { status }));
  vi.stubGlobal("fetch", (path: string, { method = "GET", body }: Sent = {}) => {
    if (path === "/v1/xnode/moves") return answer(200, { moves: now, ended: [] });
    if (path.endsWith("/access/me")) return answer(200, { who: "ann", role, from: "", id: null });
    if (method !== "POST") return answer(404, { code: "not_found", message: "there is nothing" });
    asked.push({ path, body: body === undefined ? null : JSON.parse(body) });
    if (refusal !== null) return answer(refusal.status, { code: refusal.code, message: refusal.message });
    now.push(MOVE);
    return answer(200, MOVE);
  });
  const client = new QueryClient({ defaultOptions: { queries: { retry: false } } });
  render(
    <QueryClientProvider client={client}>
      <MemoryRouter>
        <MoveAway name="db" />
      </MemoryRouter>
    </QueryClientProvider>,
  );
  return { asked, client };
}

const address = () => screen.getByLabelText<HTMLInputElement>("Address of the other machine");
const key = () => screen.getByLabelText<HTMLInputElement>("Key of an operator there");
const root = () => screen.getByLabelText<HTMLTextAreaElement>("Root certificate of the other machine");
const button = () => screen.getByRole<HTMLButtonElement>("button");

/** Writes an address and a key, and sends them. */
async function begin() {
  await screen.findByRole("heading", { name: "Move to another machine" });
  await userEvent.type(address(), "https://attic.lan");
  await userEvent.type(key(), KEY);
  await userEvent.click(button());
}

/** The words of what is wrong with a field, as whoever hears the page is told. */
function wrongOf(field: HTMLElement): string {
  const ids = field.getAttribute("aria-describedby")?.split(" ") ?? [];
  return ids.map((id) => document.getElementById(id)?.textContent ?? "").join(" ");
}

it("begins a move, and keeps the key nowhere", async () => {
  const { asked, client } = shown();
  await begin();
  await waitFor(() => expect(screen.queryByRole("heading")).toBeNull());
  expect(asked).toEqual([
    {
      path: "/v1/xnode/applications/db/move",
      body: { to: "https://attic.lan", key: KEY, root: null },
    },
  ]);
  const states = (cache: { getAll: () => { state: unknown }[] }) =>
    JSON.stringify(cache.getAll().map(({ state }) => state));
  const kept = [
    states(client.getQueryCache()),
    states(client.getMutationCache()),
    JSON.stringify({ ...localStorage }),
    JSON.stringify({ ...sessionStorage }),
    document.documentElement.outerHTML,
  ];
  for (const text of kept) expect(text).not.toContain(KEY);
});

it("says at the address that nobody answers there, and sends the key once more", async () => {
  const message = "https://attic.lan cannot be asked: connection refused";
  const { asked } = shown({ refusal: { status: 502, code: "other_away", message } });
  await begin();
  await waitFor(() => expect(wrongOf(address())).toContain("connection refused"));
  const faults = [address(), key(), root()].map((field) => field.getAttribute("aria-invalid"));
  expect(faults).toEqual(["true", "false", "false"]);
  expect(button().disabled).toBe(false);
  await userEvent.click(button());
  await waitFor(() => expect(asked.length).toBe(2));
  // What is written anew is not wrong yet.
  await waitFor(() => expect(wrongOf(address())).toContain("connection refused"));
  await userEvent.type(address(), "/v1");
  expect(wrongOf(address())).toContain("no path");
  expect(button().title).toBe("An agent's address has no path.");
});

it("says at the key that it opens nothing, and forgets it", async () => {
  const message = "https://attic.lan does not let this machine in: ann is a viewer there";
  shown({ refusal: { status: 409, code: "other_key", message } });
  await begin();
  await waitFor(() => expect(wrongOf(key())).toContain("ann is a viewer there"));
  expect(key().value).toBe("");
  expect(button().title).toBe("It needs a key of the other machine");
  expect(address().value).toBe("https://attic.lan");
});

it("says at the root that it is none, and of the move as a whole what is of no field", async () => {
  shown({ refusal: { status: 400, code: "value", message: "the root is no certificate: bad" } });
  await begin();
  await waitFor(() => expect(wrongOf(root())).toContain("no certificate"));
  cleanup();
  shown({ refusal: { status: 409, code: "not_movable", message: "db cannot move: it has links" } });
  await begin();
  expect((await screen.findByRole("alert")).textContent).toContain("db cannot move: it has links");
  expect(address().getAttribute("aria-invalid")).toBe("false");
});

it("is offered to nobody below an operator", async () => {
  shown({ role: "viewer" });
  await screen.findByRole("heading", { name: "Move to another machine" });
  await waitFor(() => expect(button().title).toContain("role operator"));
  expect(button().disabled).toBe(true);
});

it("is not there where the application moves, or has moved", async () => {
  const { client } = shown({ moves: [{ ...MOVE, departing: "over", can_undo: false }] });
  await waitFor(() => expect(client.getQueryData(["xnode", "moves"])).toBeDefined());
  expect(screen.queryByRole("form")).toBeNull();
  cleanup();
  shown({ moves: [{ ...MOVE, application: "web" }] });
  await screen.findByRole("form", { name: "Move db to another machine" });
});
