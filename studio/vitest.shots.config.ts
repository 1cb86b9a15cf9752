import { defineConfig } from "vitest/config";

/** Pictures for eyes (`npm run shots`): no tests, though a page that does not come is told as one that fails. */
export default defineConfig({
  test: {
    environment: "node",
    include: ["e2e/shots.ts"],
    testTimeout: 120_000,
    hookTimeout: 60_000,
    expect: { poll: { timeout: 15_000 } },
  },
});
