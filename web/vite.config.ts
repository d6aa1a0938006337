import { readFileSync, readdirSync } from "node:fs";
import { type Plugin, defineConfig } from "vite";

const HERE = import.meta.dirname;
const PAGES = readdirSync(HERE).filter((name) => name.endsWith(".html"));

/** The pages that the header leads to, in its order. */
const NAVIGATION: readonly (readonly [page: string, name: string])[] = [
  ["index.html", "Find by photo"],
  ["browse.html", "Browse"],
  ["review.html", "Review"],
  ["operations.html", "Operations"],
];

/** Each page within the same frame (frame/): what its head begins with, the header, the notes. */
function frame(): Plugin {
  const part = (name: string) => readFileSync(`${HERE}/frame/${name}.html`, "utf8");
  return {
    name: "frame",
    transformIndexHtml: {
      order: "pre",
      handler(html, { path }) {
        const links = NAVIGATION.map(([page, name]) => {
          const current = path.endsWith(page) ? ' aria-current="page"' : "";
          return `<li><a href="./${page}"${current}>${name}</a></li>`;
        });
        const header = part("header").replace("<!-- links -->", links.join("\n"));
        return html
          .replace("<head>", `<head>\n${part("head")}`)
          .replace("<body>", `<body>\n${header}`)
          .replace("</body>", `${part("notes")}</body>`);
      },
    },
  };
}

// Relative addresses, so that the pages work under any prefix; nothing inlined, so that they work
// under a content security policy without 'unsafe-inline'.
export default defineConfig({
  base: "./",
  plugins: [frame()],
  build: {
    outDir: "dist",
    emptyOutDir: true,
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    target: "es2022",
    rolldownOptions: { input: PAGES.map((page) => `${HERE}/${page}`) },
  },
});
