# shellcheck shell=bash
# Which package manager an app uses and which Python it asks for. The stack has one Python; what
# an app asks for beyond that ends in an error that says what there is.

# Sets $manager and $lock_file.
choose_manager() {
    local found=() file
    for file in requirements.txt Pipfile.lock poetry.lock uv.lock; do
        [[ -f $file ]] && found+=("$file")
    done
    if ((${#found[@]} > 1)); then
        fail "More than one package manager's file was found: ${found[*]}." \
            'They may not agree, so only one may be there.' \
            "Remove all but one, for example: git rm ${found[0]}"
    fi
    if ((${#found[@]} == 0)); then
        local hint='Add one, for example with: pip freeze > requirements.txt'
        [[ -f Pipfile ]] && hint='There is a Pipfile: run pipenv lock and commit Pipfile.lock.'
        if [[ -f pyproject.toml ]]; then
            hint='There is a pyproject.toml: run uv lock or poetry lock and commit the lock file.'
        fi
        fail "Could not find the file that lists the app's dependencies." \
            'A Python app needs one of requirements.txt, Pipfile.lock, poetry.lock, uv.lock' \
            'at its root (an empty requirements.txt will do).' "$hint"
    fi
    lock_file=${found[0]}
    case $lock_file in
        requirements.txt) manager=pip ;;
        Pipfile.lock) manager=pipenv ;;
        poetry.lock) manager=poetry ;;
        uv.lock) manager=uv ;;
    esac
}

# Sets $python_version, and $python_asked and $python_source to what the app said and where.
choose_python() {
    python_version=$("$stack_python" --version)
    python_version=${python_version#Python }
    python_asked='' python_source=''
    if [[ -f runtime.txt ]]; then
        python_source=runtime.txt
        python_asked=$(tr -d '[:space:]' <runtime.txt)
        warn 'runtime.txt is the old way to choose a Python.' \
            'Put the version into .python-version instead, such as: 3.13'
        [[ $python_asked =~ ^python-3\.[0-9]+(\.[0-9]+)?$ ]] ||
            fail "runtime.txt says \"$python_asked\", which is not a Python version." \
                'It must be like python-3.13.5.'
        python_asked=${python_asked#python-}
    elif [[ -f .python-version ]]; then
        read_python_version
    elif [[ -f Pipfile.lock ]]; then
        python_asked=$(jq -r '._meta.requires | .python_full_version // .python_version // ""' Pipfile.lock) ||
            fail 'Pipfile.lock is not valid JSON.' 'Run pipenv lock and commit it again.'
        python_source=Pipfile.lock
    fi
    if [[ -z $python_asked ]]; then
        output_section "Using Python $python_version of the stack"
        output_line 'No version was asked for: add a .python-version file to say which the app needs.'
        return
    fi
    check_python
    output_section "Using Python $python_version (asked for in $python_source: $python_asked)"
}

read_python_version() {
    local lines=() line
    while IFS= read -r line || [[ -n $line ]]; do
        line=${line%%#*}
        line=${line//[$' \t\r']/}
        [[ -z $line ]] || lines+=("$line")
    done <.python-version
    python_source=.python-version
    if ((${#lines[@]} != 1)) || ! [[ ${lines[0]#cpython-} =~ ^3\.[0-9]+(\.[0-9]+)?$ ]]; then
        fail ".python-version must hold one version, such as 3.13 or 3.13.5." \
            "It holds: ${lines[*]:-nothing}"
    fi
    python_asked=${lines[0]#cpython-}
}

# The stack's line of Python must be the one asked for. Two differences are let pass and said:
# - another patch of the same line (the stack's has the security fixes);
# - a line newer than any this stack has, asked for without a patch: dependencies that really
#   need it refuse to install, so nothing is hidden.
# ROPEWALK_PYTHON_RELAX=1 accepts whatever the stack has, =0 refuses also the second.
check_python() {
    local have=${python_version%.*} asked
    asked=$(cut -d. -f1,2 <<<"$python_asked")
    if [[ $asked == "$have" ]]; then
        if [[ $python_asked != "$asked" && $python_asked != "$python_version" ]]; then
            warn "Python $python_asked was asked for; the stack's $have line is at $python_version."
        fi
        return
    fi
    local newer=no
    ((${asked#3.} > ${have#3.})) && [[ $python_asked == "$asked" ]] && newer=yes
    case ${ROPEWALK_PYTHON_RELAX:-}-$newer in
        1-* | -yes)
            warn "Python $python_asked was asked for in $python_source." \
                "The stack ${STACK:-} has Python $python_version, which is used instead." \
                "Write $have into .python-version to make this the app's choice, or set" \
                'the config var ROPEWALK_PYTHON_RELAX=0 to have such a build refused.'
            ;;
        *)
            fail "Python $python_asked (from $python_source) is not available." \
                "The stack ${STACK:-} has: Python $python_version" \
                "Write $have into .python-version, commit and push again, or choose another" \
                'stack. To build with what the stack has all the same, set a config var:' \
                '    ropewalk config:set ROPEWALK_PYTHON_RELAX=1'
            ;;
    esac
}
