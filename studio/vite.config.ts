import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

/** A node's API that the development server passes requests on to. */
const node = process.env["OPENMESH_API"] ?? "http://127.0.0.1:8420";

/** An Xnode's agent that the development server passes requests on to. */
const xnode = process.env["OPENMESH_XNODE"] ?? "http://127.0.0.1:7780";

export default defineConfig({
  plugins: [react()],
  build: {
    outDir: "dist",
    emptyOutDir: true,
    sourcemap: false,
    target: "es2022",
    chunkSizeWarningLimit: 900,
  },
  server: {
    proxy: {
      "/v1/stream": { target: node.replace(/^http/, "ws"), ws: true },
      "/v1/xnode": { target: xnode, ws: true },
      "/v1": node,
      "/openapi.json": node,
    },
  },
});
