# shellcheck shell=bash
# What tests of buildpacks use: make an app, build it with the real driver, say what is expected.

# start_test DIR: a build root of its own. The app's place on a dyno is /app in a stack's image
# and inside the root elsewhere.
start_test() {
    root=$1
    mkdir -p "$root"/{app,cache,env,home,result}
    export ROPEWALK_BUILD_ROOT=$root HOME=$root/home STACK=debian-13
    if [[ ! -w /app || -z ${ROPEWALK_TEST_ONLINE:-} ]]; then
        export ROPEWALK_APP_DIR=$root/dyno
        mkdir -p "$root/dyno"
    fi
    cd "$root/app" || exit 1
}

# file PATH: writes stdin into the app.
file() {
    mkdir -p "$(dirname "$root/app/$1")"
    cat >"$root/app/$1"
}

# config NAME VALUE: sets a config var.
config() { printf '%s' "$2" >"$root/env/$1"; }

# build [ARG...]: runs the driver (default: auto); sets $out and $status.
build() {
    (($# > 0)) || set -- auto
    status=0
    out=$("$home/lib/driver" "$@") || status=$?
}

# Like a second push: a fresh checkout with the cache of the last build.
push_again() {
    rm -rf "$root/pushed"
    mv "$root/app" "$root/pushed"
    mkdir "$root/app"
    cd "$root/app" || exit 1
    [[ $# == 0 ]] || cp -a "$1/." "$root/app/"
}

# third_party NAME: a buildpack that stdin's lines `script: body` describe; prints its folder.
third_party() {
    local dir=$root/third/$1 script body
    mkdir -p "$dir/bin"
    while IFS= read -r line; do
        script=${line%%:*} body=${line#*: }
        printf '#!/bin/bash\n%s\n' "$body" >"$dir/bin/$script"
        chmod +x "$dir/bin/$script"
    done
    printf '%s' "$dir"
}

# The app as a dyno sees it: runs a command line after the profile scripts.
on_dyno() {
    local at=${ROPEWALK_APP_DIR:-/app}
    # shellcheck disable=SC2016 # the dyno's shell expands it
    env -i HOME="$root/app" PATH=/usr/local/bin:/usr/bin:/bin PORT="${port:-5000}" DYNO=web.1 at="$at" \
        bash -c 'cd "$HOME"; for f in .profile.d/*.sh; do [ -r "$f" ] && . "$f"; done; eval "$0"' "$1"
}

expect_status() {
    [[ $status == "$1" ]] || { printf 'exit code %s, not %s:\n%s\n' "$status" "$1" "$out"; return 1; }
}

# expect TEXT: in the output of the last build.
expect() {
    grep -qF -- "$1" <<<"$out" || { printf 'not said: %s\nbut:\n%s\n' "$1" "$out"; return 1; }
}

expect_not() {
    if grep -qF -- "$1" <<<"$out"; then
        printf 'said: %s\nin:\n%s\n' "$1" "$out"
        return 1
    fi
}

equal() {
    [[ $1 == "$2" ]] || { printf 'have: %s\nwant: %s\n' "$1" "$2"; return 1; }
}
