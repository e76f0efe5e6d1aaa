// A small Express app: says which dyno answered, whether it is well, and answers slowly if asked.
'use strict';
const compression = require('compression');
const express = require('express');

const dyno = process.env.DYNO || 'nowhere';
const port = process.env.PORT || 5000;
const longestMs = 60_000;

const app = express();
app.disable('x-powered-by');
app.set('trust proxy', true);
app.use(compression());

app.get('/', (request, response) => {
  response.type('text/plain').send(`Hello from ${dyno}\n`);
});

app.get('/health', (request, response) => {
  response.json({ status: 'ok', dyno });
});

app.get('/slow', (request, response) => {
  const wanted = Number.parseInt(request.query.ms ?? '1000', 10);
  const ms = Math.min(Math.max(Number.isNaN(wanted) ? 1000 : wanted, 0), longestMs);
  setTimeout(() => response.type('text/plain').send(`${dyno} took ${ms} ms\n`), ms);
});

const server = app.listen(port, (error) => {
  if (error) throw error;
  console.log(`Listening on ${port}`);
});

// A dyno is told to stop with SIGTERM: take no new connection, finish what was begun, leave.
process.on('SIGTERM', () => {
  server.close(() => process.exit(0));
  server.closeIdleConnections();
});
