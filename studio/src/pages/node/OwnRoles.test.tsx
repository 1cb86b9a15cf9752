import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { cleanup, render, screen, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { MemoryRouter } from "react-router";
import { afterEach, expect, it, vi } from "vitest";
import type { OwnRole, Role } from "../../api/xnode";
import { OwnRoles } from "./OwnRoles";

afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
});

const deploys: OwnRole = {
  name: "deploys",
  of: "operator",
  rights: ["POST /v1/xnode/applications"],
  since: "1796000000",
  by: "root",
  used: 1,
};

/** The card at an agent with these roles, and what it was asked to change. */
function shown(roles: OwnRole[], role: Role) {
  const asked: { method: string; path: string; body: unknown }[] = [];
  vi.stubGlobal("fetch", (path: string, { method, body }: { method: string; body?: string }) => {
    const answer = (json: unknown, status = 200) =>
      Promise.resolve(new Response(status === 204 ? null : JSON.stringify(json), { status }));
    if (path.endsWith("/access/me")) return answer({ who: "0x00", role, only: [], from: "here", id: "s" });
    if (path.endsWith("/v1/xnode")) return answer({ work: { state: "rests", step: null } });
    if (method === "GET") return answer(roles);
    asked.push({ method, path, body: body === undefined ? null : JSON.parse(body) });
    return answer(null, 204);
  });
  render(
    <QueryClientProvider client={new QueryClient({ defaultOptions: { queries: { retry: false } } })}>
      <MemoryRouter>
        <OwnRoles />
      </MemoryRouter>
    </QueryClientProvider>,
  );
  return asked;
}

const button = (name: string) => screen.getByRole("button", { name }) as HTMLButtonElement;

it("keeps a role whose rights can be read, and removes one that nobody has", async () => {
  const asked = shown([deploys, { ...deploys, name: "idle", used: 0 }], "owner");
  const table = await screen.findByRole("table", { name: "Roles of one's own" });
  expect(within(table).getAllByText("POST /v1/xnode/applications")).toHaveLength(2);
  expect(button("Remove the role deploys").disabled).toBe(true);
  await userEvent.click(button("Remove the role idle"));
  await userEvent.click(button("Yes: Remove the role idle"));
  await userEvent.type(screen.getByLabelText("Name"), "web");
  await userEvent.type(screen.getByLabelText("Rights, one a line"), "GET /v2");
  screen.getByText("“/v2” begins with something else than /v1/xnode.");
  expect(button("Keep the role").disabled).toBe(true);
  await userEvent.clear(screen.getByLabelText("Rights, one a line"));
  await userEvent.type(screen.getByLabelText("Rights, one a line"), "* /v1/xnode/applications/web/**");
  await userEvent.click(button("Keep the role"));
  expect(asked).toEqual([
    { method: "DELETE", path: "/v1/xnode/access/roles/idle", body: null },
    {
      method: "PUT",
      path: "/v1/xnode/access/roles/web",
      body: { of: "operator", rights: ["* /v1/xnode/applications/web/**"] },
    },
  ]);
});

it("lets an admin look and an owner alone change", async () => {
  shown([{ ...deploys, used: 0 }], "admin");
  await screen.findByText("deploys");
  await vi.waitFor(() => expect(button("Remove the role deploys").disabled).toBe(true));
  expect(button("Keep the role").title).toBe("This needs the role owner, and admin is yours");
});
