// Chooses a version: prints the highest of the versions on stdin (a JSON array or string) that
// lies in the range. Exit 1: the range is not one. Exit 3: nothing fits.
//
//   node pick.cjs NPM_CLI RANGE < versions.json
//   node pick.cjs NPM_CLI --fits RANGE VERSION     exit 0 when VERSION lies in RANGE
//   node pick.cjs NPM_CLI --first FILE VERSION     prints the first word of the first line of FILE
//                                                  whose remaining words are a range for VERSION
'use strict';
const fs = require('fs');
const { createRequire } = require('module');

// npm's own semver: the same rules by which npm judges `engines`.
const semver = createRequire(process.argv[2])('semver');

if (process.argv[3] === '--fits') {
  process.exit(semver.satisfies(process.argv[5], process.argv[4]) ? 0 : 3);
}
if (process.argv[3] === '--first') {
  for (const line of fs.readFileSync(process.argv[4], 'utf8').split('\n')) {
    const [, word, range] = /^([^#\s]\S*)\s+(.*)$/.exec(line) || [];
    if (word && semver.satisfies(process.argv[5], range)) {
      console.log(word);
      process.exit(0);
    }
  }
  process.exit(3);
}
const range = process.argv[3];
if (semver.validRange(range) === null) process.exit(1);
const versions = [].concat(JSON.parse(fs.readFileSync(0, 'utf8')));
const best = semver.maxSatisfying(versions, range);
if (best === null) process.exit(3);
console.log(best);
