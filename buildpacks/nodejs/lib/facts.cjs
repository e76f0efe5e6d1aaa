// Reads an app's package.json and lock file once and prints what the build needs to know as
// shell assignments (`F_name='value'`). Must not write anything. Runs on the stack's Node, so
// that an app's own, perhaps very old, Node does not matter.
//
//   node facts.cjs BUILD_DIR
'use strict';
const fs = require('fs');
const path = require('path');

const root = process.argv[2];

function readJson(file) {
  const text = fs.readFileSync(path.join(root, file), 'utf8').replace(/^\uFEFF/, '');
  return JSON.parse(text);
}

function readJsonOr(file, fallback) {
  try {
    return readJson(file);
  } catch {
    return fallback;
  }
}

const object = (value) => (value && typeof value === 'object' && !Array.isArray(value) ? value : {});
const string = (value) => (typeof value === 'string' ? value.trim() : '');
const has = (file) => fs.existsSync(path.join(root, file));

let manifest;
try {
  manifest = readJson('package.json');
} catch (error) {
  console.error(error.message);
  process.exit(2);
}
manifest = object(manifest);
const engines = object(manifest.engines);
const scripts = object(manifest.scripts);

// What `npm ci` would install, as far as the lock file says it.
const lock = object(readJsonOr('package-lock.json', readJsonOr('npm-shrinkwrap.json', {})));
const locked = object(lock.packages);
// What npm noted in the tree when it installed it, lock file or not.
const note = readJsonOr('node_modules/.package-lock.json', null);
const installed = object(object(note).packages);

// A package of the lock that can be installed on this machine and is not there, or is there
// in another version. Development packages may be missing: they are pruned anyway.
function firstDifference() {
  for (const [where, entry] of Object.entries(locked)) {
    if (where === '' || entry.dev || entry.devOptional || entry.optional || entry.link) continue;
    if (!where.startsWith('node_modules/')) continue;
    const found = readJsonOr(path.join(where, 'package.json'), null);
    if (!found) return `${where} is missing`;
    if (entry.version && found.version !== entry.version) {
      return `${where} is ${found.version}, not ${entry.version}`;
    }
  }
  return '';
}

// Packages of the lock that run code when installed; their results may depend on the app's own
// files (generated clients) and on the Node version (native code).
function withInstallScripts() {
  const names = new Set();
  for (const [where, entry] of Object.entries({ ...locked, ...installed })) {
    if (entry.hasInstallScript && where !== '' && has(where)) {
      names.add(where.slice(where.lastIndexOf('node_modules/') + 'node_modules/'.length));
    }
  }
  return [...names].sort();
}

// Of those, the ones whose scripts only build native code: same package, same Node, same result.
function onlyNative(name) {
  const own = object(readJsonOr(path.join('node_modules', name, 'package.json'), {}));
  const run = object(own.scripts);
  const commands = ['preinstall', 'install', 'postinstall'].map((s) => string(run[s])).filter(Boolean);
  if (commands.length === 0) return true;
  return commands.every((c) => /^(node-gyp|node-gyp-build|prebuild-install|node-pre-gyp)\b[^;&]*(\|\|[^;&]*)?$/.test(c));
}

const vendored = has('node_modules');
const difference = vendored && Object.keys(locked).length > 0 ? firstDifference() : '';
const scripted = withInstallScripts();
const packageManager = /^(npm|yarn|pnpm)@([^+]+)/.exec(string(manifest.packageManager)) || [];
const workspaces = manifest.workspaces ? 'yes' : '';
const lists = ['dependencies', 'optionalDependencies', 'peerDependencies', 'devDependencies'];
const count = (list) => Object.keys(object(manifest[list])).length;

const facts = {
  node: string(engines.node),
  npm: string(engines.npm),
  yarn: string(engines.yarn),
  pnpm: string(engines.pnpm),
  iojs: string(engines.iojs),
  manager: packageManager[1] || '',
  manager_version: packageManager[2] || '',
  workspaces,
  // Whether there is anything to install, and anything to prune afterwards.
  dependencies: workspaces || lists.some((list) => count(list) > 0) ? 'yes' : '',
  dev_dependencies: workspaces || count('devDependencies') > 0 ? 'yes' : '',
  // Everything in package.json that decides what gets installed.
  wanted: JSON.stringify([...lists, 'bundleDependencies', 'bundledDependencies', 'overrides', 'resolutions', 'pnpm', 'workspaces'].map((k) => manifest[k])),
  local: lists.some((list) => Object.values(object(manifest[list])).some((v) => /^(file:|link:|\.|\/|~)/.test(string(v)))) ? 'yes' : '',
  cache_directories: (Array.isArray(manifest.cacheDirectories) ? manifest.cacheDirectories : Array.isArray(manifest.cache_directories) ? manifest.cache_directories : [])
    .filter((d) => typeof d === 'string' && !d.startsWith('/') && !d.split('/').includes('..') && d !== 'node_modules').join('\n'),
  scripts: Object.keys(scripts).filter((name) => string(scripts[name])).join(' '),
  main: string(manifest.main),
  vendored: vendored ? 'yes' : '',
  locked: Object.keys(locked).length > 0 ? 'yes' : '',
  difference,
  noted: note || Object.keys(locked).length > 0 ? 'yes' : '',
  scripted: scripted.join(' '),
  scripted_again: scripted.filter((name) => !onlyNative(name)).join(' '),
};

for (const [name, value] of Object.entries(facts)) {
  console.log(`F_${name}='${String(value).replace(/'/g, `'\\''`)}'`);
}
