// Bundles the browser's script. The api's address is known before the first build and becomes
// part of the bundle: without it there is nothing to build.
import { build } from "esbuild";

const apiUrl = process.env.PUBLIC_API_URL;
if (!apiUrl) {
  console.error("PUBLIC_API_URL is required while building");
  process.exit(1);
}

await build({
  entryPoints: ["src/browser.js"],
  outfile: "public/app.js",
  bundle: true,
  minify: true,
  target: "es2020",
  define: { __API_URL__: JSON.stringify(apiUrl.replace(/\/$/, "")) },
});
console.log(`bundled for the api at ${apiUrl}`);
