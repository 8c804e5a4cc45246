// Writes receipts to the disk. Numbers go on after a restart, because the files are still there.
import { createHmac, timingSafeEqual } from "node:crypto";
import { mkdirSync, readdirSync, renameSync, writeFileSync } from "node:fs";
import http from "node:http";
import { join } from "node:path";

const folder = process.env.RECEIPTS_DIR || "/var/data";
const port = Number(process.env.PORT || 10000);
const BODY_BYTES_MAX = 16 * 1024;

mkdirSync(folder, { recursive: true });
const names = () => readdirSync(folder).filter((name) => /^r-\d+-.*\.txt$/.test(name));

function isSigned(body, signature) {
  const wanted = createHmac("sha256", process.env.SIGNING_KEY || "").update(body).digest();
  const given = Buffer.from(String(signature || ""), "hex");
  return given.length === wanted.length && timingSafeEqual(given, wanted);
}

// The same order has one receipt, however often it is asked for.
function write(order) {
  const known = names().find((name) => name.endsWith(`-${order.id}.txt`));
  const number = known ? known.split("-")[1] : String(names().length + 1).padStart(5, "0");
  if (!known) {
    const path = join(folder, `r-${number}-${order.id}.txt`);
    writeFileSync(`${path}.new`, `${order.text}\n`, { flush: true });
    renameSync(`${path}.new`, path);
  }
  return `R-${number}`;
}

const answer = (response, status, body) => {
  response.writeHead(status, { "content-type": "application/json" });
  response.end(JSON.stringify(body));
};

const server = http.createServer((request, response) => {
  if (request.method === "GET") return answer(response, 200, { receipts: names().length });
  const chunks = [];
  let size = 0;
  request.on("data", (chunk) => {
    size += chunk.length;
    if (size > BODY_BYTES_MAX) request.destroy();
    else chunks.push(chunk);
  });
  request.on("end", () => {
    const body = Buffer.concat(chunks);
    if (!isSigned(body, request.headers["x-signature"])) {
      return answer(response, 403, { error: "the signature is wrong" });
    }
    const order = JSON.parse(body);
    if (!/^[0-9a-f-]{36}$/.test(order.id)) return answer(response, 400, { error: "odd order id" });
    answer(response, 201, { receipt: write(order) });
  });
});

server.listen(port, "0.0.0.0", () => console.log(`${names().length} receipts in ${folder}, port ${port}`));
process.on("SIGTERM", () => {
  server.close(() => process.exit(0));
  server.closeIdleConnections();
});
