// A process without a port: says every ten seconds that it is there.
'use strict';
const dyno = process.env.DYNO || 'nowhere';

const timer = setInterval(() => console.log(`${dyno} is working`), 10_000);
console.log(`${dyno} started`);

process.on('SIGTERM', () => {
  clearInterval(timer);
  console.log(`${dyno} stopped`);
});
