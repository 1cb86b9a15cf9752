import { defineConfig } from "vitest/config";

/** Real processes and a real browser: one file at a time, because each drives the one network that is started for all. */
export default defineConfig({
  test: {
    environment: "node",
    include: ["e2e/**/*.e2e.ts"],
    fileParallelism: false,
    testTimeout: 60_000,
    hookTimeout: 180_000,
    // A page that is loaded anew takes its time where the machine is busy.
    expect: { poll: { timeout: 15_000 } },
  },
});
