// What Node makes of a request: notes it, and answers with its path.
import { appendFileSync } from "node:fs";
import http from "node:http";

const server = http.createServer((request, response) => {
  const parts = [];
  request.on("data", (part) => parts.push(part));
  request.on("end", () => {
    const headers = {};
    for (const name of ["content-length", "transfer-encoding", "host", "x-request-id"]) {
      headers[name] = request.headers[name] ?? "";
    }
    const line = {
      method: request.method,
      path: request.url,
      body: Buffer.concat(parts).toString("latin1"),
      connection: String(request.socket.remotePort),
      headers,
    };
    const escaped = (letter) => "\\u" + letter.charCodeAt(0).toString(16).padStart(4, "0");
    const text = JSON.stringify(line).replace(/[\x7f-\xff]/g, escaped);
    appendFileSync(process.env.SEEN, text + "\n");
    response.setHeader("Content-Type", "text/plain");
    response.end(request.url);
  });
});
server.keepAliveTimeout = 75_000;
server.listen(Number(process.env.PORT), "127.0.0.1");
