// The app behind the router: says what it was asked, sends what it was asked for.
import { createHash } from "node:crypto";
import http from "node:http";

const PIECE = Buffer.alloc(64 * 1024, "x");

// So many bytes, as fast as they are taken.
async function send(response, count) {
  for (let left = count; left > 0; left -= PIECE.length) {
    if (!response.write(PIECE.subarray(0, Math.min(left, PIECE.length)))) {
      await new Promise((resolve) => response.once("drain", resolve));
    }
  }
  response.end();
}

http
  .createServer(async (request, response) => {
    const hash = createHash("sha256");
    let length = 0;
    try {
      for await (const part of request) {
        hash.update(part);
        length += part.length;
      }
    } catch {
      return; // the client has left
    }
    const [, what, count] = request.url.split("/");
    if (what === "large") {
      response.setHeader("Content-Length", count);
      if (request.method === "HEAD") return response.end();
      return send(response, Number(count));
    }
    if (what === "chunked") return send(response, Number(count));
    if (what === "trailers") {
      response.setHeader("Trailer", "X-Sum");
      response.write("hello");
      response.addTrailers({ "X-Sum": "5" });
      return response.end();
    }
    if (what === "status") {
      response.statusCode = Number(count);
      return response.end();
    }
    const sum = Object.entries(request.trailers).map(([name, value]) => ` ${name}=${value}`);
    response.end(`${request.method} ${length} ${hash.digest("hex")}${sum.join("")}`);
  })
  .listen(Number(process.env.PORT), "127.0.0.1");
