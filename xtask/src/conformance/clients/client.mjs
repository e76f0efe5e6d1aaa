// Node's clients through the router: http, https, fetch, and http2 with and without TLS. A line for each case,
// `passed NAME` or `failed NAME: WHY`. PLAIN and TLS are the router's addresses.
import { createHash, randomBytes } from "node:crypto";
import http from "node:http";
import http2 from "node:http2";
import https from "node:https";

const { PLAIN, TLS } = process.env;
const MIB = 1024 * 1024;
const LARGE = randomBytes(2 * MIB);
const LIMIT = 30_000;

const said = (method, body) =>
  `${method} ${body.length} ${createHash("sha256").update(body).digest("hex")}`;

async function check(name, expected, ask) {
  try {
    const got = await ask();
    const same = JSON.stringify(got) === JSON.stringify(expected);
    console.log(same ? `passed ${name}` : `failed ${name}: ${JSON.stringify(got)} and not ${JSON.stringify(expected)}`);
  } catch (error) {
    console.log(`failed ${name}: ${error}`);
  }
}

// Status, body and trailers of an answer of HTTP/1.
function ask1(module, agent, base, method, path, { body, headers = {}, chunked = false, trailers } = {}) {
  return new Promise((resolve, reject) => {
    const request = module.request(base + path, { method, headers, agent, timeout: LIMIT, rejectUnauthorized: false });
    request.on("timeout", () => request.destroy(new Error("timed out")));
    request.on("error", reject);
    request.on("response", async (response) => {
      const parts = [];
      try {
        for await (const part of response) parts.push(part);
      } catch (error) {
        return reject(error);
      }
      resolve({ status: response.statusCode, body: Buffer.concat(parts), trailers: response.trailers });
    });
    const send = () => {
      if (chunked) {
        for (let at = 0; at < body.length; at += 50_000) request.write(body.subarray(at, at + 50_000));
        if (trailers) request.addTrailers(trailers);
        return request.end();
      }
      request.end(body);
    };
    // A client that expects sends its body only when it is told to.
    if (headers.Expect) {
      request.flushHeaders();
      return request.on("continue", send);
    }
    send();
  });
}

// The same by HTTP/2.
function ask2(session, method, path, { body, headers = {}, trailers } = {}) {
  return new Promise((resolve, reject) => {
    const end = body === undefined;
    const stream = session.request(
      { ":method": method, ":path": path, ...headers },
      { endStream: end, waitForTrailers: trailers !== undefined },
    );
    const answer = { status: 0, trailers: {} };
    const parts = [];
    stream.setTimeout(LIMIT, () => stream.destroy(new Error("timed out")));
    stream.on("response", (fields) => (answer.status = fields[":status"]));
    stream.on("trailers", (fields) => (answer.trailers = { ...fields }));
    stream.on("wantTrailers", () => stream.sendTrailers(trailers));
    stream.on("data", (part) => parts.push(part));
    stream.on("error", reject);
    stream.on("end", () => resolve({ ...answer, body: Buffer.concat(parts) }));
    if (end) return;
    // No 100 comes by HTTP/2, and no client may wait for it for ever (RFC 9110, 10.1.1).
    if (headers.expect) setTimeout(() => stream.end(body), 500);
    else stream.end(body);
  });
}

async function all(name, ask, expect) {
  const text = async (...what) => (await ask(...what)).body.toString();
  await check(`${name}, GET`, said("GET", ""), () => text("GET", "/"));
  await check(`${name}, POST`, said("POST", "hello"), () => text("POST", "/", { body: Buffer.from("hello") }));
  await check(`${name}, of unknown length`, said("PUT", LARGE), () => text("PUT", "/", { body: LARGE, chunked: true }));
  await check(`${name}, Expect`, said("PUT", LARGE), () =>
    text("PUT", "/", { body: LARGE, headers: { ...expect, "content-length": LARGE.length } }));
  await check(`${name}, HEAD`, [200, 0], async () => {
    const answer = await ask("HEAD", "/large/4096");
    return [answer.status, answer.body.length];
  });
  await check(`${name}, 304`, 304, async () => (await ask("GET", "/status/304")).status);
  for (const what of ["large", "chunked"]) {
    await check(`${name}, 32 MiB (${what})`, 32 * MIB, async () =>
      (await ask("GET", `/${what}/${32 * MIB}`)).body.length);
  }
  await check(`${name}, trailers of an answer`, "5", async () =>
    (await ask("GET", "/trailers", { headers: { te: "trailers" } })).trailers["x-sum"]);
  await check(`${name}, trailers of a request`, `${said("PUT", LARGE)} x-sum=7`, () =>
    text("PUT", "/", { body: LARGE, chunked: true, trailers: { "x-sum": "7" }, headers: { trailer: "x-sum" } }));
}

for (const [module, scheme, address] of [
  [http, "http", PLAIN],
  [https, "https", TLS],
]) {
  const agent = new module.Agent({ keepAlive: true, maxSockets: 1 });
  const ask = (...what) => ask1(module, agent, `${scheme}://${address}`, ...what);
  await all(scheme, ask, { Expect: "100-continue" });
  agent.destroy();
}
for (const base of [`http://${PLAIN}`, `https://${TLS}`]) {
  const session = http2.connect(base, { rejectUnauthorized: false });
  session.on("error", (error) => console.log(`failed ${base}: ${error}`));
  await all(`http2 to ${base.split(":")[0]}`, (...what) => ask2(session, ...what), { expect: "100-continue" });
  session.close();
}
