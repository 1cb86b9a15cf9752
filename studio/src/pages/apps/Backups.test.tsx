import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { cleanup, render, screen } from "@testing-library/react";
import { MemoryRouter } from "react-router";
import { afterEach, expect, it, vi } from "vitest";
import type { Application, BackedApplication, BackupOverview } from "../../api/xnode";
import { Backups } from "./Backups";

afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
});

const overview = (more: Partial<BackupOverview> = {}): BackupOverview => ({
  keys: { owner: "age1owner", node: "age1node" },
  machine: "attic",
  targets: [],
  applications: [],
  jobs: [],
  ...more,
});
const backed = (target: string | null): BackedApplication => ({
  name: "db",
  target,
  state: "waiting",
  cause: null,
  next: null,
  last: null,
  drill_state: null,
  drill_cause: null,
  next_drill: null,
  drill: null,
  awaits_last: false,
  due_since: null,
  missed: 0,
  failures: 0,
  again_in_ms: null,
});
const place = {
  name: "shed",
  place: "/mnt/shed",
  repository: null,
  state: "waiting" as const,
  cause: null,
  tended: null,
};

/** The page of an application at an agent that answers so, and what the page asked it for. */
function shown(
  all: BackupOverview,
  {
    volumes = { data: "v line 1" } as Record<string, string>,
    list = [409, "no_backup_target"] as readonly [number, string],
  } = {},
) {
  const asked: string[] = [];
  const answer = (status: number, json: unknown) =>
    Promise.resolve(new Response(JSON.stringify(json), { status }));
  vi.stubGlobal("fetch", (path: string) => {
    asked.push(path);
    if (path === "/v1/xnode/backups") return answer(200, all);
    if (path.endsWith("/applications/db/backups"))
      return answer(list[0], { code: list[1], message: "db has no place for backups" });
    if (path.endsWith("/lines")) return answer(200, []);
    return answer(404, { code: "not_found", message: "there is nothing" });
  });
  const application = {
    name: "db",
    state: "running",
    volumes,
    instances: [],
    ports: {},
  } as unknown as Application;
  render(
    <QueryClientProvider client={new QueryClient({ defaultOptions: { queries: { retry: false } } })}>
      <MemoryRouter>
        <Backups application={application} />
      </MemoryRouter>
    </QueryClientProvider>,
  );
  return asked;
}

it("says what is left to do where there is no place for backups, and no failure", async () => {
  const asked = shown(overview({ keys: { owner: null, node: "age1node" }, applications: [backed(null)] }));
  await screen.findByRole("heading", { name: "It has no backups" });
  screen.getByText("openmesh xnode backup-key make owner.key");
  screen.getByText("backups: { disk: { kind: folder, address: /mnt/backup/xnode } }");
  screen.getByText('backup: { to: disk, schedule: "30 3 * * *" }');
  screen.getByText("openmesh app backup db");
  expect(screen.queryByRole("alert")).toBeNull();
  expect(asked.filter((path) => path.endsWith("/applications/db/backups"))).toEqual([]);
});

it("leaves out what is done already", async () => {
  shown(overview({ targets: [place] }));
  await screen.findByRole("heading", { name: "It has no backups" });
  screen.getByText('backup: { to: shed, schedule: "30 3 * * *" }');
  expect(screen.queryByText(/backup-key/)).toBeNull();
  expect(screen.queryByText(/kind: folder/)).toBeNull();
});

it("says of an application without volumes that there is nothing to keep", async () => {
  shown(overview(), { volumes: {} });
  await screen.findByText(/there is nothing of it to keep/);
  expect(screen.queryByText(/schedule/)).toBeNull();
});

it("takes a refusal of the list that is no fault for the same, and shows every other one", async () => {
  const all = overview({
    keys: { owner: null, node: "age1node" },
    targets: [place],
    applications: [backed("shed")],
  });
  shown(all, { list: [409, "no_owner"] });
  await screen.findByRole("heading", { name: "It has no backups" });
  expect(screen.queryByRole("alert")).toBeNull();
  cleanup();
  shown(all, { list: [502, "repository"] });
  expect((await screen.findByRole("alert")).textContent).toContain("db has no place for backups");
});
