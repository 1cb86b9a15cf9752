import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { cleanup, render, screen } from "@testing-library/react";
import { MemoryRouter } from "react-router";
import { afterEach, expect, it, vi } from "vitest";
import { XnodeSession } from "../../shell/XnodeBanner";
import { Frame } from "./Frame";

afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
});

it("tells somebody whose role may not look at the machine why, and lets them sign out", async () => {
  const words = "this is not among the rights of deploys, by which your role is narrowed";
  vi.stubGlobal("fetch", (path: string) => {
    const answer = (json: unknown, status: number) =>
      Promise.resolve(new Response(JSON.stringify(json), { status }));
    if (path.endsWith("/access/me"))
      return answer(
        { who: "key ci (ab12)", role: "operator", only: ["deploys"], from: "here", id: "s" },
        200,
      );
    return answer({ code: "not_in_role", message: words }, 403);
  });
  render(
    <QueryClientProvider client={new QueryClient({ defaultOptions: { queries: { retry: false } } })}>
      <MemoryRouter>
        <XnodeSession />
        <Frame />
      </MemoryRouter>
    </QueryClientProvider>,
  );
  await screen.findByText(words);
  await screen.findByText("key ci (ab12)");
  expect(screen.getByRole("button", { name: "Sign out" })).toBeDefined();
  expect(screen.queryByText("No Xnode here")).toBeNull();
});
