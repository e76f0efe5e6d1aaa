# shellcheck shell=bash
# Django's static files are collected at build time, so that every dyno has them.

collect_static() {
    local manage
    if [[ -n ${DISABLE_COLLECTSTATIC:-} && ${DISABLE_COLLECTSTATIC} != 0 ]]; then
        output_section 'Skipping collectstatic: the config var DISABLE_COLLECTSTATIC is set'
        return
    fi
    [[ -d $build_dir/.heroku/python ]] || return 0
    manage=$(find . -maxdepth 3 -name manage.py -type f -not -path '*/.*' -printf '%d %p\n' | sort -n | head -n 1)
    manage=${manage#* }
    [[ -n $manage ]] || return 0
    compgen -G "$build_dir/.heroku/python/lib/python3*/site-packages/django/__init__.py" >/dev/null || return 0
    if ! python "$manage" collectstatic --noinput --traceback >"$cache/collectstatic.log" 2>&1; then
        # Without the staticfiles app there is no such command; other failures are the app's.
        grep -qi "unknown command: 'collectstatic'" "$cache/collectstatic.log" && return 0
        output_section 'Collecting static files'
        static_failed <"$cache/collectstatic.log"
    fi
    output_section 'Collecting static files'
    output_line "$ python ${manage#./} collectstatic --noinput"
    grep -vE '^(Copying|Post-processed|Ignored|Found another)' "$cache/collectstatic.log" |
        sed '/^[[:space:]]*$/d' | indent || true
}

static_failed() {
    indent
    fail 'Collecting the static files failed.' \
        'Its output is above; usually a setting is missing at build time. Set the config vars' \
        'that settings.py needs, or skip this step:' \
        '    ropewalk config:set DISABLE_COLLECTSTATIC=1'
}
