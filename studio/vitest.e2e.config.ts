import { defineConfig } from "vitest/config";

/** Real processes and a real browser: one file at a time, because each drives the one network that is started for all. */
export default defineConfig({
  test: {
    environment: "node",
    include: ["e2e/**/*.e2e.ts"],
    fileParallelism: false,
    testTimeout: 60_000,
    hookTimeout: 180_000,
  },
});
