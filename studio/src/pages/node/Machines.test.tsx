import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { cleanup, render, screen, waitFor, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { MemoryRouter } from "react-router";
import { afterEach, expect, it, vi } from "vitest";
import type { Invitation, JoinedMachine, JoinInfo, MachineReport, Role } from "../../api/xnode";
import { Machines } from "./Machines";

afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
});

const OWNER = `0x${"ab".repeat(20)}`;
const report = (name: string, more: Partial<MachineReport> = {}): MachineReport => ({
  name,
  version: "0.1.0",
  url: null,
  at: "1796000000",
  work: "rests",
  processors: 4,
  load_milli: 500,
  memory_bytes: 4 * 2 ** 30,
  memory_used_bytes: 2 ** 30,
  disk_bytes: 100 * 2 ** 30,
  disk_used_bytes: 25 * 2 ** 30,
  applications: 3,
  running: 2,
  troubled: [],
  critical: 0,
  warnings: 0,
  ...more,
});
const attic: JoinedMachine = {
  id: "a1",
  name: "attic",
  owner: OWNER,
  joined: "1796000000",
  state: "silent",
  heard: "1796000000",
  from: "10.0.0.7:5",
  clock_ms: -120_000,
  report: report("attic", {
    url: "https://attic.lan",
    troubled: [{ name: "db", state: "crash_loop" }],
    critical: 1,
  }),
};
const open: Invitation = {
  id: "i1",
  state: "open",
  owner: OWNER,
  by: OWNER,
  made: "1796000000",
  left_ms: 3_000_000,
  machine: null,
};
const ALONE: JoinInfo = {
  state: "alone",
  at: null,
  node: null,
  id: null,
  owner: null,
  since: null,
  told: null,
  clock_ms: null,
  trouble: null,
};

interface Given {
  machines?: JoinedMachine[];
  invitations?: Invitation[];
  join?: Partial<JoinInfo>;
  role?: Role;
}

/** The page at an agent with these machines, and what it was asked to change. */
function shown({ machines = [], invitations = [], join = {}, role = "owner" }: Given) {
  const asked: { method: string; path: string; body: unknown }[] = [];
  vi.stubGlobal("fetch", (path: string, { method, body }: { method: string; body?: string }) => {
    const answer = (json: unknown, status = 200) =>
      Promise.resolve(new Response(status === 204 ? null : JSON.stringify(json), { status }));
    if (path.endsWith("/access/me")) return answer({ who: OWNER, role, from: "here", id: "s" });
    if (method !== "GET") asked.push({ method, path, body: body === undefined ? null : JSON.parse(body) });
    if (method === "DELETE") return path.endsWith("/join") ? answer({ ...ALONE }) : answer(null, 204);
    if (path.endsWith("/machines")) return answer({ own: report("hall"), machines });
    if (path.endsWith("/join")) return answer({ ...ALONE, ...join });
    if (path.endsWith("/invitations")) {
      const line = "openmesh-invitation-1.AAAA.00000000";
      const command = `echo ${line} | sudo openmesh xnode join`;
      return method === "GET"
        ? answer(invitations)
        : answer({ line, command, at: "https://xnode.lan", remark: null, entry: open });
    }
    return answer({ code: "missing", message: "there is nothing" }, 404);
  });
  render(
    <QueryClientProvider client={new QueryClient({ defaultOptions: { queries: { retry: false } } })}>
      <MemoryRouter>
        <Machines />
      </MemoryRouter>
    </QueryClientProvider>,
  );
  return asked;
}

it("lists this machine and those that joined, with what is wrong of them", async () => {
  shown({ machines: [attic] });
  const table = await screen.findByRole("table", { name: "Machines" });
  within(table).getByText("this machine");
  within(table).getByText("silent");
  within(table).getByText("1 critical");
  within(table).getByText("its clock is 120 s behind this machine's");
  within(table).getByText("crash loop");
  const link = within(table).getByRole("link", { name: "Open Studio of attic in a new tab" });
  expect(link.getAttribute("href")).toBe("https://attic.lan");
  expect(within(table).getAllByRole("img", { name: "Memory that is used: 25 %" })).toHaveLength(2);
});

it("makes a line once, and removes a machine after a second word", async () => {
  const asked = shown({ machines: [attic], invitations: [open] });
  const form = await screen.findByRole("form", { name: "Invite a machine" });
  const at = within(form).getByLabelText("Address of this Xnode, as the other machine reaches it");
  await userEvent.type(at, "http://10.0.0.5");
  within(form).getByText("The line is a secret, and goes over TLS alone: write https.");
  expect((within(form).getByRole("button", { name: "Make the line" }) as HTMLButtonElement).disabled).toBe(
    true,
  );
  await userEvent.clear(at);
  await userEvent.selectOptions(within(form).getByRole("combobox", { name: "Good for" }), "a day");
  await userEvent.click(within(form).getByRole("button", { name: "Make the line" }));
  await screen.findByText("echo openmesh-invitation-1.AAAA.00000000 | sudo openmesh xnode join");
  expect(asked[0]).toMatchObject({ method: "POST", body: { lasts_ms: 86_400_000, at: null } });
  await userEvent.click(screen.getByRole("button", { name: "I have pasted it" }));
  expect(screen.queryByText(/openmesh xnode join$/)).toBeNull();
  await userEvent.click(screen.getByRole("button", { name: "Remove attic from the list" }));
  await userEvent.click(screen.getByRole("button", { name: "Yes: Remove attic from the list" }));
  await userEvent.click(screen.getByRole("button", { name: "Take the invitation i1 back" }));
  await userEvent.click(screen.getByRole("button", { name: "Yes: Take the invitation i1 back" }));
  expect(asked.slice(1).map(({ method, path }) => `${method} ${path}`)).toEqual([
    "DELETE /v1/xnode/machines/a1",
    "DELETE /v1/xnode/invitations/i1",
  ]);
});

it("says whom this machine has joined, and lets an owner alone change that", async () => {
  shown({
    join: { state: "joined", at: "https://xnode.lan", node: "hall", trouble: "connection refused" },
    role: "admin",
  });
  await screen.findByText("This machine has joined hall");
  screen.getByText(/connection refused/);
  const isDisabled = (name: string) => (screen.getByRole("button", { name }) as HTMLButtonElement).disabled;
  // Until it is known who asks, nothing is held back.
  await waitFor(() => expect(isDisabled("Leave hall")).toBe(true));
  expect(isDisabled("Make the line")).toBe(true);
  expect(screen.queryByText("Invitations")).toBeNull();
});
