// Copies the pages and puts the shop's address in.
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";

const shop = process.env.PUBLIC_SHOP_URL || "/";
rmSync("dist", { recursive: true, force: true });
mkdirSync("dist/assets", { recursive: true });
cpSync("src/assets", "dist/assets", { recursive: true });
writeFileSync("dist/index.html", readFileSync("src/index.html", "utf8").replaceAll("%SHOP_URL%", shop));
console.log(`help pages for the shop at ${shop}`);
