# shellcheck shell=bash
# Installs the dependencies with the package manager whose file the app has.

install_packages() {
    output_section "Installing dependencies using $manager"
    case $manager in
        pip) install_with_pip ;;
        pipenv) install_with_pipenv ;;
        poetry) install_with_poetry ;;
        uv) install_with_uv ;;
    esac
}

install_with_pip() {
    # pip of the environment: programs get the environment's path in their first line.
    "$python_home/bin/python" -m pip install --no-compile -r requirements.txt 2>&1 |
        sed -u -E '/^ *(Using cached|Downloading) .*\.metadata/d' | indent ||
        fail 'pip could not install requirements.txt.' \
            'Its messages are above: a version that does not exist, or one that does not' \
            "support Python $python_version, are the usual reasons."
    if [[ -n ${INSTALL_TEST:-} && -f requirements-test.txt ]]; then
        output_section 'Installing test dependencies from requirements-test.txt'
        "$python_home/bin/python" -m pip install --no-compile -r requirements-test.txt 2>&1 |
            sed -u -E '/^ *(Using cached|Downloading) .*\.metadata/d' | indent ||
            fail 'pip could not install requirements-test.txt.' 'Its messages are above.'
    fi
}

# tool NAME: sets $tool to a package manager kept in the cache, installing it at need.
tool() {
    local name=$1 requirement
    requirement=$(awk -v name="$name" '$1 == name {print $2}' "$here/tools")
    local kept=$cache/tools/$requirement-$python_version
    tool=$kept/bin/$name
    if [[ ! -f $kept/complete ]]; then
        output_line "Installing ${requirement/==/ }"
        rm -rf "$cache/tools"
        mkdir -p "$kept"
        "$stack_python" -m venv --without-pip "$kept"
        "$stack_python" -m pip --python "$kept/bin/python" install --quiet "$requirement" 2>&1 | indent ||
            fail "Could not install $name." 'Push again when the package index can be reached.'
        touch "$kept/complete"
    fi
}

install_with_pipenv() {
    tool pipenv
    VIRTUAL_ENV=$python_home PIPENV_VERBOSITY=-1 PIPENV_NOSPIN=1 PIPENV_YES=1 \
        PIPENV_CACHE_DIR=$cache/pipenv PATH=$python_home/bin:$PATH \
        "$tool" install --deploy --system ${INSTALL_TEST:+--dev} 2>&1 | indent ||
        fail 'pipenv could not install Pipfile.lock.' \
            'If it is out of date, run pipenv lock and commit it.' \
            "If it names another Python: the stack has $python_version."
}

install_with_poetry() {
    tool poetry
    local groups=(--only main)
    [[ -z ${INSTALL_TEST:-} ]] || groups=()
    VIRTUAL_ENV=$python_home POETRY_VIRTUALENVS_CREATE=false POETRY_CACHE_DIR=$cache/poetry \
        POETRY_INSTALLER_RE_RESOLVE=false PATH=$python_home/bin:$PATH \
        "$tool" sync "${groups[@]}" --no-root --no-interaction --no-ansi 2>&1 | indent ||
        fail 'poetry could not install poetry.lock.' \
            'If it is out of date, run poetry lock and commit it.' \
            "If it names another Python: the stack has $python_version."
}

install_with_uv() {
    tool uv
    local groups=(--no-default-groups)
    [[ -z ${INSTALL_TEST:-} ]] || groups=()
    if [[ -n ${PIP_INDEX_URL:-} ]]; then
        export UV_DEFAULT_INDEX=${UV_DEFAULT_INDEX:-$PIP_INDEX_URL}
    fi
    UV_PROJECT_ENVIRONMENT=$python_home VIRTUAL_ENV=$python_home UV_PYTHON_DOWNLOADS=never \
        UV_PYTHON=$python_home/bin/python UV_CACHE_DIR=$cache/uv UV_LINK_MODE=hardlink \
        UV_NO_PROGRESS=1 "$tool" sync --locked "${groups[@]}" --inexact 2>&1 | indent ||
        fail 'uv could not install uv.lock.' \
            'If it is out of date, run uv lock and commit it.' \
            "If it names another Python: the stack has $python_version."
}
