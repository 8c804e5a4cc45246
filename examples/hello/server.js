// The smallest web service: no dependencies, one answer.
const http = require("node:http");

const port = Number(process.env.PORT || 10000);
const server = http.createServer((request, response) => {
  response.setHeader("content-type", "text/plain; charset=utf-8");
  response.end(`Hello from ${process.env.RENDER_SERVICE_NAME || "hello"}\n`);
});

server.listen(port, "0.0.0.0", () => console.log(`listening on port ${port}`));
process.on("SIGTERM", () => {
  server.close(() => process.exit(0));
  server.closeIdleConnections();
});
