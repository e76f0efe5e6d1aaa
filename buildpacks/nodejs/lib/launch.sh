# shellcheck shell=bash
# What the dyno and later buildpacks need to find Node, and what the build record shows.

write_profile() {
    mkdir -p .profile.d
    cat >.profile.d/nodejs.sh <<'SH'
# Node.js on a dyno: where it is, production by default, and how many processes fit.
export NODE_HOME="$HOME/.heroku/node"
export PATH="$NODE_HOME/bin:$HOME/bin:$HOME/node_modules/.bin:$PATH"
export NODE_ENV="${NODE_ENV:-production}"

# The memory limit in MiB: cgroup v2, then v1, then what the machine has.
_rw_memory() {
    local bytes='' total
    total=$(awk '/^MemTotal:/ {print int($2 / 1024)}' /proc/meminfo 2>/dev/null)
    if [ -r /sys/fs/cgroup/memory.max ]; then
        read -r bytes </sys/fs/cgroup/memory.max
    elif [ -r /sys/fs/cgroup/memory/memory.limit_in_bytes ]; then
        read -r bytes </sys/fs/cgroup/memory/memory.limit_in_bytes
    fi
    case $bytes in
        '' | *[!0-9]*) echo "${total:-512}" ;;
        *) if [ "$((bytes / 1048576))" -gt "${total:-512}" ]; then echo "${total:-512}"; else echo "$((bytes / 1048576))"; fi ;;
    esac
}

export MEMORY_AVAILABLE="${MEMORY_AVAILABLE:-$(_rw_memory)}"
export WEB_MEMORY="${WEB_MEMORY:-512}"
if [ -z "${WEB_CONCURRENCY:-}" ]; then
    WEB_CONCURRENCY=$((MEMORY_AVAILABLE / WEB_MEMORY))
    [ "$WEB_CONCURRENCY" -ge 1 ] || WEB_CONCURRENCY=1
    [ "$WEB_CONCURRENCY" -le 32 ] || WEB_CONCURRENCY=32
fi
export WEB_CONCURRENCY
unset -f _rw_memory
SH
}

# For the buildpacks that come after this one.
write_export() {
    {
        printf 'export NODE_HOME=%q\n' "$node_home"
        # shellcheck disable=SC2016 # $PATH is for whoever sources the file
        printf 'export PATH=%q:%q:"$PATH"\n' "$node_home/bin" "$build_dir/node_modules/.bin"
    } >"$here/export"
}

write_report() {
    jq -cn '$ARGS.named | with_entries(select(.value != ""))' \
        --arg node_version "$node_version" --arg node_version_requested "$F_node" \
        --arg npm_version "$npm_version" --arg package_manager "$manager" \
        --arg lock_file "$lock_file" --arg modules_reused "$reused" >"$cache/report.json"
}

# An app without a Procfile starts with `npm start`, which needs something to start.
note_missing_start() {
    if [[ ! -f Procfile && ! -f server.js ]] && ! has_script start; then
        warn 'This app may not say how to start it.' \
            'Add a Procfile, or a start script to package.json.'
    fi
}
