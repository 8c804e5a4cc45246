// A server as people write it: it stops listening on TERM and ends with the last answer.
import { createServer } from "node:http";

const server = createServer((request, response) => {
  console.log("begun");
  setTimeout(() => {
    console.log("finished");
    response.end("finished");
  }, 3000);
});
server.listen(Number(process.env.PORT), "0.0.0.0", () => console.log("up"));
process.on("SIGTERM", () => server.close(() => process.exit(0)));
