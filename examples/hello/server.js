// Says hello from the dyno that it runs on. No dependencies.
'use strict';
const http = require('http');

const port = process.env.PORT || 5000;
const app = process.env.HEROKU_APP_NAME || 'hello';
const dyno = process.env.DYNO || 'nowhere';
const release = process.env.HEROKU_RELEASE_VERSION || 'v0';

const server = http.createServer((request, response) => {
  response.on('finish', () => {
    console.log(`${request.method} ${request.url} ${response.statusCode}`);
  });
  response.setHeader('Content-Type', 'text/plain; charset=utf-8');
  response.end(`Hello from ${app} on ${dyno}, release ${release}\n`);
});

server.listen(port, () => console.log(`Listening on ${port}`));

// A dyno is told to stop with SIGTERM: take no new connection, finish what was begun, leave.
process.on('SIGTERM', () => {
  console.log('Stopping: finishing open requests');
  server.close(() => {
    console.log('Stopped');
    process.exit(0);
  });
  server.closeIdleConnections();
});
