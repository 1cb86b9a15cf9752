import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { cleanup, render, screen } from "@testing-library/react";
import { MemoryRouter } from "react-router";
import { afterEach, expect, it, vi } from "vitest";
import type { XnodeInfo } from "../../api/xnode";
import { Given, Gpus, Resources } from "./Machine";

afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
});

const GIB = 2 ** 30;

/** Figures of the machine, by their names. */
function figures(more: Partial<XnodeInfo>): Record<string, string> {
  vi.stubGlobal("fetch", () => Promise.resolve(new Response("[]", { status: 200 })));
  const info = { current: 1, wanted: 1, agent: "default", version: "1", memory_bytes: 4 * GIB, ...more };
  render(
    <QueryClientProvider client={new QueryClient()}>
      <MemoryRouter>
        <Resources info={{ disk_free_bytes: 20 * GIB, ...info } as XnodeInfo} />
      </MemoryRouter>
    </QueryClientProvider>,
  );
  const names = screen.getAllByRole("term").map((term) => term.textContent);
  const values = screen.getAllByRole("definition").map((definition) => definition.textContent.trim());
  cleanup();
  return Object.fromEntries(names.map((name, at) => [name, values[at] ?? ""]));
}

it("shows what of the machine is in use beside all of it", () => {
  const used = { memory_bytes: 3 * GIB, processors: 2, load_milli: 1_050, disk_bytes: 80 * GIB };
  expect(figures({ in_use: { ...used, disk_all_bytes: 100 * GIB } })).toMatchObject({
    Memory: "3 GiB used of 4 GiB",
    Load: "1.05 on 2 processors",
    Disk: "20 GiB free of 100 GiB, 80 GiB used",
  });
});

it("shows all of it alone where an agent of before says no more", () => {
  const found = figures({});
  expect(found).toMatchObject({ Memory: "4 GiB in all", Disk: "20 GiB free" });
  expect(Object.keys(found)).not.toContain("Load");
});

it("says of a document that a file gives what became of it", () => {
  const declared = { file: "/etc/xnode.json", by: "NixOS configuration", document: null, generation: 3 };
  const { rerender } = render(
    <Given declared={{ ...declared, state: "taken", cause: null, remedy: null }} />,
  );
  expect(screen.getByRole("status").textContent).toContain("given by /etc/xnode.json (NixOS configuration)");
  const why = {
    cause: "it would undo generation 4",
    remedy: "`openmesh app deploy /etc/xnode.json` takes it",
  };
  rerender(<Given declared={{ ...declared, state: "refused", ...why }} />);
  const told = screen.getByRole("status");
  expect(told.textContent).toContain("is not taken");
  expect(told.textContent).toContain("it would undo generation 4. ");
  expect(told.querySelector("code")?.textContent).toBe("openmesh app deploy /etc/xnode.json");
  rerender(<Given declared={{ ...declared, state: "differs", ...why }} />);
  expect(screen.getByRole("status").textContent).toContain("It differs from /etc/xnode.json");
});

it("lists GPUs with whoever has them", () => {
  render(
    <MemoryRouter>
      <Gpus
        gpus={[
          { address: "0000:03:00.0", vendor: "amd", model: "Radeon" },
          { address: "0000:41:00.0", vendor: "nvidia", model: "NVIDIA A2", held_by: "chat" },
        ]}
      />
    </MemoryRouter>,
  );
  const rows = screen.getAllByRole("row").map((row) => row.textContent);
  expect(rows[1]).toContain("Radeon");
  expect(rows[1]).toContain("nobody");
  expect(rows[2]).toContain("0000:41:00.0");
  expect(screen.getByRole("link", { name: "chat" }).getAttribute("href")).toBe("/apps/chat");
});

it("says nothing about GPUs where there are none", () => {
  const { container } = render(
    <MemoryRouter>
      <Gpus gpus={undefined} />
    </MemoryRouter>,
  );
  expect(container.textContent).toBe("");
});
