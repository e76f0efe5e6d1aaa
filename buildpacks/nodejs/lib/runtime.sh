# shellcheck shell=bash
# Node and the package manager in the app tree, below .heroku/node. Each version is unpacked
# once into the cache and then only linked.

# fetch_package PACKAGE VERSION DIR: DIR becomes the unpacked package; npm checks its integrity.
fetch_package() {
    local package=$1 version=$2 dir=$3
    local work=$dir.fetch
    rm -rf "$work" "$dir"
    mkdir -p "$work/unpacked"
    if ! (cd "$work" && stack_npm pack --silent "$package@$version") >"$work/log" 2>&1; then
        indent <"$work/log"
        rm -rf "$work"
        fail "Could not fetch $package $version from the registry." \
            "Check that this version exists and that the build can reach the registry."
    fi
    tar -xzf "$work"/*.tgz -C "$work/unpacked" --strip-components=1 --no-same-owner
    mv -T "$work/unpacked" "$dir"
    rm -rf "$work"
}

# Node itself: the cache keeps the whole package (headers for native modules), the app gets the
# program only.
install_node() {
    resolve_node
    runtime=$cache/runtime/node-$node_version
    if [[ -x $runtime/bin/node ]]; then
        output_line "Using Node.js $node_version from the cache"
    else
        output_line "Downloading and installing Node.js $node_version..."
        fetch_package "$(node_package)" "$node_version" "$runtime"
        unpack_inner "$runtime"
        chmod 755 "$runtime/bin/node"
        rm -rf "${runtime:?}"/{CHANGELOG.md,README.md,share}
    fi
    rm -rf "$node_home"
    mkdir -p "$node_home/bin" "$node_home/lib/node_modules"
    link_or_copy "$runtime/bin/node" "$node_home/bin/node"
    if ! "$node_home/bin/node" --version >/dev/null 2>&1; then
        fail "Node.js $node_version does not run on this stack."
    fi
}

# The first packages hold Node's own archive instead of its files.
unpack_inner() {
    local archive
    for archive in "$1"/node-v*.tar.gz; do
        [[ -f $archive ]] || continue
        tar -xzf "$archive" -C "$1" --strip-components=1 --no-same-owner
        rm -rf "$archive" "${1:?}/lib"
    done
}

link_or_copy() {
    cp -l "$1" "$2" 2>/dev/null || cp -a "$1" "$2"
}

# install_tool PACKAGE VERSION: an npm package with programs, such as npm or pnpm.
install_tool() {
    local package=$1 version=$2
    local name=${package##*/}
    local kept=$cache/tools/$name-$version
    if [[ ! -f $kept/package.json ]]; then
        output_line "Downloading and installing $name $version..."
        fetch_package "$package" "$version" "$kept"
    fi
    used_tools+=("$name-$version")
    link_tree "$kept" "$node_home/lib/node_modules/$name"
}

# add_program NAME FILE: FILE below .heroku/node/lib/node_modules becomes a command.
add_program() {
    chmod 755 "$node_home/lib/node_modules/$2"
    ln -sfn "../lib/node_modules/$2" "$node_home/bin/$1"
}

# npm is always there (scripts call it, and the default web process is `npm start`); yarn or
# pnpm come beside it when the app uses them.
install_manager() {
    used_tools=()
    resolve_npm
    install_tool npm "$npm_version"
    add_program npm npm/bin/npm-cli.js
    [[ -f $node_home/lib/node_modules/npm/bin/npx-cli.js ]] && add_program npx npm/bin/npx-cli.js
    case $manager in
        yarn) install_yarn ;;
        pnpm) install_pnpm ;;
    esac
}

install_yarn() {
    local wanted=$F_yarn
    [[ $F_manager == yarn ]] && wanted=$F_manager_version
    if [[ $yarn_kind == classic ]]; then
        yarn_version=1.22.22
        [[ -z $wanted ]] || yarn_version=$(resolve yarn yarn "$wanted") || exit 1
        install_tool yarn "$yarn_version"
        add_program yarn yarn/bin/yarn.js
    else
        # The release committed in .yarn/releases (yarnPath) takes over by itself.
        yarn_version=$(resolve yarn @yarnpkg/cli-dist "${wanted:-4.x}") || exit 1
        install_tool @yarnpkg/cli-dist "$yarn_version"
        add_program yarn cli-dist/bin/yarn.js
    fi
    output_line "Using yarn $yarn_version"
}

install_pnpm() {
    local wanted=$F_pnpm
    [[ $F_manager == pnpm ]] && wanted=$F_manager_version
    pnpm_version=$(resolve pnpm pnpm "${wanted:-10.x}") || exit 1
    install_tool pnpm "$pnpm_version"
    local entry=pnpm/bin/pnpm.cjs
    [[ -f $node_home/lib/node_modules/$entry ]] || entry=pnpm/bin/pnpm.mjs
    add_program pnpm "$entry"
    output_line "Using pnpm $pnpm_version"
}

# From here on the app's Node is the one that runs.
use_runtime() {
    export NODE_HOME=$node_home
    export PATH=$node_home/bin:$build_dir/node_modules/.bin:$PATH
    # Native modules compile against the headers of the package instead of fetching them.
    export npm_config_nodedir=$runtime
    npm=("$node_home/bin/node" "$node_home/lib/node_modules/npm/bin/npm-cli.js")
    # An npm of such an age knows neither today's lock files nor the certificates that came in:
    # the stack's npm installs, by the old rules; the app's Node still runs the scripts.
    if ((${node_version%%.*} < 12 || ${npm_version%%.*} < 6)); then
        npm=("$stack_node" "$stack_npm")
        export NPM_CONFIG_LEGACY_PEER_DEPS=true
        unset npm_config_nodedir
    fi
}

manager_run() {
    case $manager in
        npm) "${npm[@]}" run --silent "$1" --if-present ;;
        yarn) yarn run "$1" ;;
        pnpm) pnpm run "$1" ;;
    esac
}
