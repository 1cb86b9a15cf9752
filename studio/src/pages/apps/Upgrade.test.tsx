import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { cleanup, render, screen, waitFor } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { MemoryRouter } from "react-router";
import { afterEach, expect, it, vi } from "vitest";
import type { Application, Deployment, Upgrades } from "../../api/xnode";
import { Upgrade } from "./Upgrade";

afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
});

const PATH = "/v1/xnode/applications/db/upgrade";

const planned: Deployment = {
  generation: 4,
  after: 3,
  applications: ["db"],
  plan: "generation 4 after 3: nothing to do\ndb goes from the template redis 1 to redis 2\n",
  steps: 0,
  destroys: [],
  loses_data: false,
  events: 9,
};

/** The part of the page at an agent with these versions, for somebody with a role, and what the agent was asked for. */
function shown(
  upgrades: Upgrades,
  { role = "operator", refuses = false, revision = "abc" as string | null } = {},
) {
  const asked: string[] = [];
  const answer = (status: number, json: unknown) =>
    Promise.resolve(new Response(JSON.stringify(json), { status }));
  vi.stubGlobal("fetch", (path: string, { method = "GET" }: RequestInit = {}) => {
    asked.push(`${method} ${path}`);
    if (path.endsWith("/access/me")) return answer(200, { who: "ann", role, from: "", id: null });
    if (method === "GET" && path === PATH) return answer(200, upgrades);
    if (method === "POST" && path.startsWith(PATH))
      return refuses ? answer(422, { code: "order", message: "title: must be One" }) : answer(200, planned);
    return answer(404, { code: "not_found", message: "there is nothing" });
  });
  const application = { name: "db", revision } as Application;
  render(
    <QueryClientProvider client={new QueryClient({ defaultOptions: { queries: { retry: false } } })}>
      <MemoryRouter>
        <Upgrade application={application} />
      </MemoryRouter>
    </QueryClientProvider>,
  );
  return asked;
}

const offered: Upgrades = { template: "redis", version: "1", versions: ["2", "3"] };

it("offers the newest version, and shows its plan before anything is done", async () => {
  const asked = shown(offered);
  await screen.findByText("Version 3 may take the place of redis 1");
  await userEvent.click(screen.getByRole("button", { name: "Show the plan" }));
  await screen.findByRole("button", { name: "Upgrade" });
  expect(screen.getByText(/db goes from the template redis 1 to redis 2/)).not.toBeNull();
  const posts = asked.filter((one) => one.startsWith("POST"));
  expect(posts).toHaveLength(1);
  expect(posts[0]).toContain("plan=true");
  expect(posts[0]).toContain("version=3");
});

it("says why the newer version is not taken, and gives no button to somebody who may not", async () => {
  shown(offered, { refuses: true });
  await userEvent.click(await screen.findByRole("button", { name: "Show the plan" }));
  expect((await screen.findByRole("alert")).textContent).toContain("title: must be One");
  cleanup();
  shown(offered, { role: "viewer" });
  const button = await screen.findByRole("button", { name: "Show the plan" });
  await waitFor(() => expect(button.hasAttribute("disabled")).toBe(true));
});

it("shows nothing where there is nothing newer, and does not ask about an application that goes", async () => {
  const asked = shown({ template: null, version: null, versions: [] });
  await waitFor(() => expect(asked).toContain(`GET ${PATH}`));
  expect(screen.queryByRole("heading")).toBeNull();
  cleanup();
  const going = shown(offered, { revision: null });
  await waitFor(() => expect(going.some((one) => one.endsWith("/access/me"))).toBe(true));
  expect(going).not.toContain(`GET ${PATH}`);
});
