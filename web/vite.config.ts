import { defineConfig } from "vite";

// Relative addresses, so that the page works under any prefix; nothing inlined, so that it works
// under a content security policy without 'unsafe-inline'.
export default defineConfig({
  base: "./",
  build: {
    outDir: "dist",
    emptyOutDir: true,
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    target: "es2022",
  },
});
