# shellcheck shell=bash
# Dependencies: which package manager, when installing can be skipped, pruning and keeping.

# Sets $manager (npm, yarn or pnpm), $lock_file and, for yarn, $yarn_kind (classic or berry).
choose_manager() {
    local found=() file
    for file in package-lock.json npm-shrinkwrap.json yarn.lock pnpm-lock.yaml; do
        [[ -f $file ]] && found+=("$file")
    done
    if ((${#found[@]} == 2)) && [[ ${found[*]} == 'package-lock.json npm-shrinkwrap.json' ]]; then
        found=(npm-shrinkwrap.json)
    fi
    if ((${#found[@]} > 1)); then
        fail "Build failed: the app has more than one lock file: ${found[*]}." \
            "They may not agree, and only one package manager can install." \
            "Remove all but one, for example: git rm ${found[0]}"
    fi
    lock_file=${found[0]:-}
    case $lock_file in
        yarn.lock) manager=yarn ;;
        pnpm-lock.yaml) manager=pnpm ;;
        '') manager=${F_manager:-npm} ;;
        *) manager=npm ;;
    esac
    yarn_kind=''
    if [[ $manager == yarn ]]; then
        yarn_kind=classic
        if [[ -f .yarnrc.yml ]] || grep -qs '^__metadata:' yarn.lock ||
            [[ $F_manager == yarn && ! $F_manager_version =~ ^1\. ]]; then
            yarn_kind=berry
        fi
    fi
    # The locks of npm do not say what other managers' trees need.
    kept_modules=$cache/node_modules
}

install_dependencies() {
    case $manager in
        npm) install_with_npm ;;
        yarn) install_with_yarn ;;
        pnpm) install_with_pnpm ;;
    esac
    restore_cache_directories
}

# link_modules FROM TO: what package managers note about a tree, they rewrite when they prune it.
link_modules() {
    link_tree "$1" "$2"
    unshare "$2/.package-lock.json" "$2/.yarn-integrity"
}

# === npm

# Everything that decides what an installation by npm contains.
modules_key() {
    cache_key "$node_version" "$(uname -m)" "${STACK:-}" "${npm_version%%.*}" "$F_wanted" \
        "${NPM_CONFIG_REGISTRY:-}" "@$build_dir/${lock_file:-no-lock}" "@$build_dir/.npmrc"
}

# Whether node_modules of the last build may stand in for installing again: what npm would do
# must depend on the key alone, which files of the app itself (workspaces, file:) would break.
can_reuse() {
    [[ $NODE_MODULES_CACHE != false && -z $F_workspaces && -z $F_local ]] &&
        [[ -d $kept_modules && -f $kept_modules.key && $(<"$kept_modules.key") == "$(modules_key)" ]]
}

install_with_npm() {
    reused=''
    if [[ -n $F_vendored ]]; then
        install_vendored
        return
    fi
    if [[ -z $F_dependencies ]]; then
        output_line 'No dependencies to install'
        run_own_install_scripts
        return
    fi
    if can_reuse; then
        reused=yes
        output_line "Reusing node_modules: ${lock_file:-package.json} and Node.js are unchanged"
        link_modules "$kept_modules" node_modules
        run_install_scripts_again
        return
    fi
    if [[ -n $lock_file ]]; then
        output_line "Installing node modules (npm ci, $lock_file)"
        npm_or_fail ci --prefer-offline ||
            fail "npm ci could not install what $lock_file names." \
                "If package.json and the lock file disagree, run npm install and commit both."
    else
        warn 'There is no lock file: each fresh installation may choose other versions.' \
            'Run npm install and commit package-lock.json.'
        # What was chosen before stays chosen while package.json allows it.
        if [[ $NODE_MODULES_CACHE != false && -d $kept_modules && -z $F_workspaces ]]; then
            link_modules "$kept_modules" node_modules
        fi
        output_line 'Installing node modules (npm install, package.json)'
        npm_or_fail install --no-package-lock --prefer-offline ||
            fail "npm install failed." "Its output is above. Try it locally on a fresh clone."
    fi
}

npm_or_fail() {
    "${npm[@]}" "$@" 2>&1 | indent
}

# node_modules came with the push. It is taken as it is where it agrees with the lock file.
install_vendored() {
    reused=vendored
    if [[ -n $F_locked && -z $F_difference ]]; then
        output_line 'Using the committed node_modules: it has what the lock file names'
        if [[ -n $F_scripted ]]; then
            # Native code may have been built for another machine.
            output_line "Rebuilding: $F_scripted"
            rebuild "$F_scripted"
        fi
        run_own_install_scripts
        return
    fi
    if [[ -n $F_difference ]]; then
        warn "The committed node_modules differs from the lock file: $F_difference"
    fi
    output_line 'Completing the committed node_modules (npm rebuild, npm install)'
    npm_or_fail rebuild || fail "npm rebuild failed on the committed node_modules." \
        "Consider not committing node_modules: git rm -r --cached node_modules"
    npm_or_fail install --no-package-lock --prefer-offline ||
        fail "npm install failed." "Its output is above. Try it locally on a fresh clone."
}

# An unchanged lock file says nothing about scripts that read the app's own files (generated
# clients), so those run again; what only compiles native code gives the same result.
run_install_scripts_again() {
    # Asked again, now that node_modules is there.
    read_facts
    F_vendored=''
    if [[ -z $F_noted ]]; then
        rebuild ''
    elif [[ -n $F_scripted_again ]]; then
        output_line "Running install scripts again: $F_scripted_again"
        rebuild "$F_scripted_again"
    fi
    run_own_install_scripts
}

# rebuild "NAME NAME ...": runs the install scripts of these packages, of all if none is named.
rebuild() {
    local names
    read -ra names <<<"$1"
    npm_or_fail rebuild "${names[@]}" || fail "npm rebuild ${1:-} failed." "Its output is above."
}

# What npm runs for the app itself when it installs.
run_own_install_scripts() {
    local name
    for name in preinstall install postinstall prepare; do
        has_script "$name" || continue
        output_line "Running $name"
        manager_run "$name" 2>&1 | indent || fail "The script $name of package.json failed."
    done
}

# === yarn

install_with_yarn() {
    reused=''
    [[ -n $lock_file ]] || warn 'There is no yarn.lock: run yarn install and commit it.'
    if [[ $yarn_kind == classic ]]; then
        local frozen=()
        [[ -z $lock_file ]] || frozen=(--frozen-lockfile)
        if [[ $NODE_MODULES_CACHE != false && -z $F_vendored && -z $F_workspaces && -d $kept_modules ]]; then
            link_modules "$kept_modules" node_modules
        fi
        output_line "Installing node modules (${lock_file:-package.json})"
        YARN_CACHE_FOLDER=$cache/yarn yarn install "${frozen[@]}" --ignore-engines \
            --prefer-offline --non-interactive 2>&1 | indent ||
            fail "yarn install failed." \
                "If yarn.lock needs to be updated, run yarn install and commit the file."
        return
    fi
    export YARN_ENABLE_TELEMETRY=0 YARN_GLOBAL_FOLDER=$cache/berry
    export YARN_HTTPS_CA_FILE_PATH=${YARN_HTTPS_CA_FILE_PATH:-${NODE_EXTRA_CA_CERTS:-}}
    [[ -n $YARN_HTTPS_CA_FILE_PATH ]] || unset YARN_HTTPS_CA_FILE_PATH
    if [[ -n ${NPM_CONFIG_REGISTRY:-} ]]; then
        export YARN_NPM_REGISTRY_SERVER=${YARN_NPM_REGISTRY_SERVER:-${NPM_CONFIG_REGISTRY%/}}
    fi
    # yarn refuses settings it does not know.
    unset YARN_PRODUCTION
    packages_committed=''
    if [[ -d .yarn/cache ]]; then
        packages_committed=yes
    elif [[ $(yarn config get nodeLinker 2>/dev/null) == pnp ]]; then
        # The app loads packages from these archives when it runs: they must be in the app.
        export YARN_ENABLE_GLOBAL_CACHE=false YARN_CACHE_FOLDER=$build_dir/.yarn/cache
        if [[ $NODE_MODULES_CACHE != false && -d $cache/yarn-archives ]]; then
            link_tree "$cache/yarn-archives" .yarn/cache
        fi
    else
        export YARN_ENABLE_GLOBAL_CACHE=true
    fi
    output_line "Installing packages (${lock_file:-package.json})"
    yarn install --immutable 2>&1 | indent ||
        fail "yarn install --immutable failed." \
            "If yarn.lock needs to be updated, run yarn install and commit the file."
    if [[ -z $packages_committed && -d .yarn/cache ]]; then
        link_tree .yarn/cache "$cache/yarn-archives"
    fi
}

# === pnpm

install_with_pnpm() {
    reused=''
    local frozen=(--frozen-lockfile)
    if [[ -z $lock_file ]]; then
        warn 'There is no pnpm-lock.yaml: run pnpm install and commit it.'
        frozen=(--no-frozen-lockfile)
    fi
    # On the mount of the app, so that pnpm links from its store instead of copying.
    export npm_config_store_dir=$cache/pnpm
    output_line "Installing node modules (${lock_file:-package.json})"
    pnpm install "${frozen[@]}" --prod=false --prefer-offline 2>&1 | indent ||
        fail "pnpm install failed." \
            "If pnpm-lock.yaml is out of date, run pnpm install and commit the file."
}

# === After the build

# Keeps node_modules for the next build, before pruning: a build script needs what is pruned.
save_dependencies() {
    [[ $NODE_MODULES_CACHE != false && -z $F_workspaces && -d node_modules ]] || return 0
    case $manager-$yarn_kind in npm- | yarn-classic) ;; *) return 0 ;; esac
    [[ $reused == '' ]] || return 0
    link_modules node_modules "$kept_modules"
    modules_key | write_file "$kept_modules.key"
}

prune_dependencies() {
    [[ -n $F_dev_dependencies && $prune != false && $NODE_ENV == production ]] || return 0
    if [[ -n $F_vendored && -n $F_locked && -z $F_difference ]] && ! has_dev_packages; then
        return 0
    fi
    output_section 'Pruning devDependencies'
    case $manager-$yarn_kind in
        npm-)
            NPM_CONFIG_INCLUDE='' NPM_CONFIG_PRODUCTION=true \
                "${npm[@]}" prune --omit=dev --no-package-lock --ignore-scripts 2>&1 | indent ||
                fail "npm prune failed." "Its output is above."
            ;;
        yarn-classic)
            YARN_PRODUCTION=true YARN_CACHE_FOLDER=$cache/yarn yarn install --production --frozen-lockfile \
                --ignore-engines --ignore-scripts --prefer-offline --non-interactive 2>&1 | indent ||
                fail "yarn install --production failed." "Its output is above."
            ;;
        yarn-berry)
            if [[ -n $packages_committed ]] || ! yarn workspaces focus --help >/dev/null 2>&1; then
                output_line 'Skipped: the packages are committed'
            else
                yarn workspaces focus --all --production 2>&1 | indent ||
                    fail "yarn workspaces focus --production failed." "Its output is above."
            fi
            ;;
        pnpm-)
            if [[ -n $F_workspaces || -f pnpm-workspace.yaml ]]; then
                output_line 'Skipped: pnpm does not prune workspaces'
            else
                pnpm prune --prod --ignore-scripts 2>&1 | indent ||
                    fail "pnpm prune failed." "Its output is above."
            fi
            ;;
    esac
}

# Whether the committed node_modules holds packages that the lock file marks as development.
has_dev_packages() {
    "$stack_node" -e '
        const fs = require("fs");
        const lock = JSON.parse(fs.readFileSync(process.argv[1], "utf8"));
        const dev = Object.entries(lock.packages || {}).some(([where, p]) => p.dev && fs.existsSync(where));
        process.exit(dev ? 0 : 1);' "$lock_file"
}

# cacheDirectories of package.json: folders of the app that its build wants to find again.
restore_cache_directories() {
    local dir
    [[ -n $F_cache_directories && $NODE_MODULES_CACHE != false ]] || return 0
    while IFS= read -r dir; do
        if [[ -e $cache/directories/$dir && ! -e $dir ]]; then
            output_line "Restoring $dir from the cache"
            link_tree "$cache/directories/$dir" "$build_dir/$dir"
        fi
    done <<<"$F_cache_directories"
}

# Keeps what this build used and drops what earlier ones left.
save_cache() {
    local dir entry
    if [[ -n $F_cache_directories ]]; then
        while IFS= read -r dir; do
            [[ -e $dir ]] && link_tree "$build_dir/$dir" "$cache/directories/$dir"
        done <<<"$F_cache_directories"
    fi
    for entry in "$cache"/runtime/*; do
        [[ $entry == "$runtime" ]] || rm -rf "$entry"
    done
    for entry in "$cache"/tools/*; do
        [[ " ${used_tools[*]} " == *" ${entry##*/} "* ]] || rm -rf "$entry"
    done
    rm -rf "$cache"/npm/_logs
}
