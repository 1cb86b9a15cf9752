import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

/** Rules without a page: no document is made for them, which would take longer than they do. What tests a hook there is a `.tsx`. */
const RULES = ["src/lib/**/*.test.ts", "src/compose/**/*.test.ts"];
const ALL = ["src/**/*.test.{ts,tsx}"];

export default defineConfig({
  plugins: [react()],
  test: {
    restoreMocks: true,
    // It only ends what hangs: cargo builds on the same cores.
    testTimeout: 120_000,
    projects: [
      { extends: true, test: { name: "rules", environment: "node", include: RULES } },
      {
        extends: true,
        test: {
          name: "pages",
          environment: "jsdom",
          include: ALL,
          exclude: RULES,
          setupFiles: ["src/patience.ts"],
        },
      },
    ],
  },
});
