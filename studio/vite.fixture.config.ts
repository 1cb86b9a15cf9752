import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";
import { fixture } from "./dev/fixture";

/** Studio in development without a node. */
export default defineConfig({ plugins: [react(), fixture()] });
