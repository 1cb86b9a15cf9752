import { defineConfig } from "vitest/config";

/** Real processes and a real browser: one file at a time, because each drives the one network that is started for all. */
export default defineConfig({
  test: {
    environment: "node",
    include: ["e2e/**/*.e2e.ts"],
    fileParallelism: false,
    // They only end what hangs: tests of Rust run on the same cores.
    testTimeout: 180_000,
    hookTimeout: 300_000,
    // A page that is loaded anew takes its time where the machine is busy.
    expect: { poll: { timeout: 30_000 } },
    // Chromium cuts every request that waits for a connection when an address comes to the machine or leaves it, and no switch of it
    // changes that. Where others make links meanwhile, such a try says nothing about a page: it is made again, and only such a one.
    // Chromium tells of a change up to 2 s after it.
    retry: { count: 4, delay: 3_000, condition: /net::ERR_NETWORK_CHANGED/ },
  },
});
