// Serves the shop's page. The port is fixed, as in many real systems: the platform finds it.
import compression from "compression";
import express from "express";
import { fileURLToPath } from "node:url";

const PORT = 3000;
const API_PORT = 4000;

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const app = express();
app.set("view engine", "ejs");
app.set("views", here("../views"));
app.disable("x-powered-by");
app.use(compression());
app.use(express.static(here("../public"), { maxAge: "1h" }));

app.get("/healthz", (request, response) => response.json({ status: "ok" }));

// How the private network looks from here.
app.get("/status", async (request, response) => {
  const host = process.env.API_HOST || "127.0.0.1";
  try {
    const answer = await fetch(`http://${host}:${API_PORT}/health`, {
      signal: AbortSignal.timeout(2000),
    });
    response.json({ api: answer.ok ? "ok" : `answered ${answer.status}` });
  } catch (error) {
    response.status(502).json({ api: String(error.cause?.code || error.message) });
  }
});

app.get("/", (request, response) =>
  response.render("index", {
    shop: process.env.SHOP_NAME || "Shop",
    currency: process.env.CURRENCY || "EUR",
    support: process.env.SUPPORT_EMAIL || "",
    version: (process.env.RENDER_GIT_COMMIT || "local").slice(0, 7),
  }),
);

const server = app.listen(PORT, "0.0.0.0", () => console.log(`shop-web listens on port ${PORT}`));
process.on("SIGTERM", () => {
  server.close(() => process.exit(0));
  server.closeIdleConnections();
});
