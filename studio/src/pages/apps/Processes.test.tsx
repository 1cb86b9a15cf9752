import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { cleanup, render, screen, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { MemoryRouter } from "react-router";
import { afterEach, expect, it, vi } from "vitest";
import type { Application, AppProcess, ProcessList } from "../../api/xnode";
import { Processes } from "./Processes";

afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
});

const made = (pid: number, more: Partial<AppProcess> = {}): AppProcess => ({
  of: "0123456789ab.0",
  pid,
  pid_inside: 1,
  parent: 17,
  parent_inside: null,
  user: 1_000,
  name: "redis-server",
  state: "sleeping",
  started: "1764460800",
  processors_milli: 12,
  over_ms: 3_000,
  cpu_ms: 40,
  memory_bytes: 3 * 2 ** 20,
  is_share: true,
  threads: 4,
  command: ["redis-server", "--requirepass", "[secret]"],
  is_cut: false,
  ...more,
});

/** The page at an agent that answers so, and what the page asked it for. */
function shown(list: ProcessList, role = "operator") {
  const asked: string[] = [];
  const answer = (status: number, json: unknown) =>
    Promise.resolve(new Response(JSON.stringify(json), { status }));
  vi.stubGlobal("fetch", (path: string) => {
    asked.push(path);
    if (path === "/v1/xnode/applications/db/processes") return answer(200, list);
    if (path === "/v1/xnode/access/me") return answer(200, { who: "0x", role, from: "here", id: null });
    return answer(404, { code: "not_found", message: "there is nothing" });
  });
  render(
    <QueryClientProvider client={new QueryClient({ defaultOptions: { queries: { retry: false } } })}>
      <MemoryRouter>
        <Processes application={{ name: "db" } as unknown as Application} />
      </MemoryRouter>
    </QueryClientProvider>,
  );
  return asked;
}

const commands = () =>
  screen
    .getAllByRole("row")
    .slice(1)
    .map((row) => within(row).getAllByRole("cell").at(-1)?.textContent);

it("shows processes, the busiest first, and finds them by their arguments", async () => {
  const user = userEvent.setup();
  const child = made(9, {
    pid_inside: 7,
    parent_inside: 1,
    processors_milli: 1_503,
    memory_bytes: 2 ** 20,
    is_share: false,
    state: "running",
    command: ["redis-rdb-bgsave"],
  });
  shown({ at: "1764460900", processes: [made(4_711), child], left_out: 0 });
  await screen.findByText("redis-rdb-bgsave");
  expect(commands()).toEqual(["redis-rdb-bgsave", "redis-server --requirepass [secret]"]);
  screen.getByText("150.3 %");
  screen.getByText("≤ 1 MiB");
  screen.getByText("3 MiB");
  await user.selectOptions(screen.getByLabelText("Order"), "memory");
  expect(commands()).toEqual(["redis-server --requirepass [secret]", "redis-rdb-bgsave"]);
  await user.type(screen.getByLabelText("Search"), "BGSAVE");
  expect(commands()).toEqual(["redis-rdb-bgsave"]);
  screen.getByText("1 of 2 processes");
  await user.clear(screen.getByLabelText("Search"));
  await user.type(screen.getByLabelText("Search"), "nothing");
  screen.getByText("No process matches this.");
});

it("says of which instance or job a process is where there are several, and how many are left out", async () => {
  const job = made(5, { of: "job tidy run 3", command: ["vacuum"] });
  shown({ at: "1764460900", processes: [made(4_711), job], left_out: 30 });
  await screen.findByText("vacuum");
  screen.getByText("2 of 32 processes");
  await userEvent.setup().selectOptions(screen.getByLabelText("Of"), "job tidy run 3");
  expect(commands()).toEqual(["vacuum"]);
});

it("says where nothing runs", async () => {
  shown({ at: "1764460900", processes: [], left_out: 0 });
  await screen.findByText("No process of it runs at this moment.");
});

it("says which role it needs, and shows nothing to others", async () => {
  shown({ at: "1764460900", processes: [made(4_711)], left_out: 0 }, "viewer");
  await screen.findByText(/This needs the role operator/);
  expect(screen.queryByText(/requirepass/)).toBeNull();
});
