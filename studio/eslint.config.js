import js from "@eslint/js";
import hooks from "eslint-plugin-react-hooks";
import tseslint from "typescript-eslint";

export default tseslint.config(
  { ignores: ["dist", "node_modules", "src/api/openapi.ts"] },
  js.configs.recommended,
  ...tseslint.configs.strict,
  {
    files: ["**/*.{ts,tsx}"],
    plugins: { "react-hooks": hooks },
    rules: {
      ...hooks.configs.recommended.rules,
      "no-console": "error",
      eqeqeq: "error",
    },
  },
  {
    files: ["public/**/*.js"],
    languageOptions: { globals: { document: "readonly", localStorage: "readonly", matchMedia: "readonly" } },
  },
  {
    files: ["{bench,e2e}/**/*.mjs"],
    languageOptions: { globals: { URL: "readonly" } },
  },
  {
    files: ["src/design/**"],
    rules: {
      "no-restricted-imports": ["error", { patterns: ["react-router*", "../api/*", "@tanstack/*"] }],
    },
  },
);
