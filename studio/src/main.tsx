import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { StrictMode } from "react";
import { flushSync } from "react-dom";
import { createRoot } from "react-dom/client";
import { RouterProvider } from "react-router";
import { RequestError } from "./api/client";
import "./design/design.css";
import "./design/pages.css";
import "./design/canvas.css";
import { router } from "./routes";

const CLIENT_FAULTS = [400, 401, 403, 404, 409, 422];

const client = new QueryClient({
  defaultOptions: {
    queries: {
      // A node on this machine answers also where the browser is offline; whether it does is what the page is to say.
      networkMode: "always",
      staleTime: 2_000,
      // What the node refused it will refuse again; what it did not answer is worth another try.
      retry: (failures, error) =>
        failures < 3 && !(error instanceof RequestError && CLIENT_FAULTS.includes(error.status)),
    },
    mutations: { networkMode: "always" },
  },
});

/** Changes of the address that a page asks to be drawn at once, as those of what somebody types. */
const atOnce = (changes: () => unknown): undefined => {
  flushSync(changes);
};

const root = document.getElementById("root");
if (root) {
  createRoot(root).render(
    <StrictMode>
      <QueryClientProvider client={client}>
        <RouterProvider router={router} flushSync={atOnce} />
      </QueryClientProvider>
    </StrictMode>,
  );
}
