# shellcheck shell=bash
# What the dyno and later buildpacks need to find Python, and what the build record shows.

write_profile() {
    mkdir -p .profile.d
    cat >.profile.d/python.sh <<'SH'
# Python on a dyno: where it is, output as it happens, and how many processes fit.
export PATH="$HOME/.heroku/python/bin:$PATH"
export PYTHONUNBUFFERED=true
export LANG="${LANG:-C.UTF-8}"
export PYTHONPATH="${PYTHONPATH-$HOME}"
# The router in front says by X-Forwarded-Proto whether the client used https.
export FORWARDED_ALLOW_IPS="${FORWARDED_ALLOW_IPS-*}"
export GUNICORN_CMD_ARGS="${GUNICORN_CMD_ARGS---access-logfile -}"

if [ -z "${WEB_CONCURRENCY:-}" ]; then
    # Two processes for each CPU and one more, of 256 MiB each, as far as the memory goes.
    # Its first line is "MemTotal: NUMBER kB".
    read -r _rw_file _rw_memory _rw_limit </proc/meminfo
    _rw_memory=$((_rw_memory / 1024))
    for _rw_file in /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes; do
        [ -r "$_rw_file" ] || continue
        read -r _rw_limit <"$_rw_file"
        case $_rw_limit in
            *[!0-9]*) ;;
            *) [ "$((_rw_limit / 1048576))" -ge "$_rw_memory" ] || _rw_memory=$((_rw_limit / 1048576)) ;;
        esac
        break
    done
    WEB_CONCURRENCY=$((_rw_memory / 256))
    _rw_most=$(($(nproc) * 2 + 1))
    [ "$WEB_CONCURRENCY" -le "$_rw_most" ] || WEB_CONCURRENCY=$_rw_most
    [ "$WEB_CONCURRENCY" -ge 1 ] || WEB_CONCURRENCY=1
    unset _rw_memory _rw_most _rw_file _rw_limit
fi
export WEB_CONCURRENCY
SH
}

# For the buildpacks that come after this one.
write_export() {
    {
        # shellcheck disable=SC2016 # $PATH is for whoever sources the file
        printf 'export PATH=%q:"$PATH"\n' "$python_home/bin"
        printf 'export PYTHONUNBUFFERED=true PYTHONPATH=%q\n' "$build_dir"
    } >"$here/export"
}

write_report() {
    jq -cn '$ARGS.named | with_entries(select(.value != ""))' \
        --arg python_version "$python_version" --arg python_version_requested "$python_asked" \
        --arg python_version_origin "$python_source" --arg package_manager "$manager" \
        >"$cache/report.json"
}
