# shellcheck shell=bash
# The environment in .heroku/python: made under the path that it has on a dyno, reused as a whole
# while what it is made from stays the same.

# Programs in the environment must say /app/... in their first line: build through that path.
link_app_dir() {
    mkdir -p "$build_dir/.heroku"
    rm -rf "$build_dir/.heroku/python"
    if [[ $(readlink -m "$app_dir") != $(readlink -m "$build_dir") ]]; then
        mkdir -p "$app_dir/.heroku"
        ln -nsfT "$build_dir/.heroku/python" "$python_home"
    fi
}

# files_of FILE: prints the files that take part in a requirements file, or "!" where others decide too.
files_of() {
    local line plain='^[[:alnum:]][^/@:+\\]*$'
    # Names and versions alone need no reader that knows the rest.
    while IFS= read -r line || [[ -n $line ]]; do
        [[ -z ${line//[[:space:]]/} || $line == '#'* || $line =~ $plain ]] && continue
        "$stack_python" -I "$here/lib/requirements.py" "$1" || echo '!'
        return
    done <"$1"
    printf '%s\n' "$1"
}

# Everything that decides what an installation contains. Exits 1 where files of the app itself
# take part (a package in the repository) or nothing pins what a name means.
environment_key() {
    local files=("$lock_file") file settings
    case $manager in
        pip) mapfile -t files < <(files_of requirements.txt) ;;
        pipenv) files+=(Pipfile) ;;
        poetry | uv) files+=(pyproject.toml uv.toml poetry.toml) ;;
    esac
    if [[ -n ${INSTALL_TEST:-} && $manager == pip && -f requirements-test.txt ]]; then
        local more
        mapfile -t more < <(files_of requirements-test.txt)
        files+=("${more[@]}")
    fi
    [[ ${files[*]} != *'!'* ]] || return 1
    if [[ $manager == uv || $manager == poetry ]] && installs_itself; then
        return 1
    fi
    settings=$(compgen -e | grep -E '^(PIP|UV|PIPENV|POETRY)_' | grep -vE '_CACHE_DIR$' | sort |
        while IFS= read -r file; do printf '%s=%s\n' "$file" "${!file}"; done)
    cache_key "${STACK:-}" "$(uname -m)" "$python_version" "$manager" "$python_home" \
        "${INSTALL_TEST:+tests }$settings" "${files[@]/#/@$build_dir/}"
}

# Whether the project is a package that is installed beside its dependencies.
installs_itself() {
    "$stack_python" -I - "$manager" <<'PY'
import sys, tomllib
try:
    with open("pyproject.toml", "rb") as file:
        project = tomllib.load(file)
except (OSError, tomllib.TOMLDecodeError):
    sys.exit(0)
tool = project.get("tool", {})
if sys.argv[1] == "poetry":
    # The buildpack installs with --no-root; only path dependencies bring files of the app.
    own = "path =" in open("poetry.lock").read() or 'type = "directory"' in open("poetry.lock").read()
else:
    own = ("build-system" in project and tool.get("uv", {}).get("package", True)) or (
        tool.get("uv", {}).get("package", False) or "workspace" in tool.get("uv", {})
    ) or 'editable = "' in open("uv.lock").read() or 'directory = "' in open("uv.lock").read()
sys.exit(0 if own else 1)
PY
}

reuse_environment() {
    key=$(environment_key) || key=''
    [[ -n $key && -f $cache/environment.key && $(<"$cache/environment.key") == "$key" ]] || return 1
    link_tree "$cache/environment" "$build_dir/.heroku/python"
}

keep_environment() {
    rm -f "$cache/environment.key"
    if [[ -z $key ]]; then
        rm -rf "$cache/environment"
        return
    fi
    link_tree "$build_dir/.heroku/python" "$cache/environment"
    printf '%s' "$key" | write_file "$cache/environment.key"
}

# An environment that uses the stack's Python: it gets the stack's security updates. Written by
# hand because the venv module refuses a path that is a symbolic link.
make_environment() {
    local home=$build_dir/.heroku/python line=${python_version%.*} program
    mkdir -p "$home"/{bin,include,"lib/python$line/site-packages"}
    ln -s lib "$home/lib64"
    program=$(dirname "$stack_python")/python$line
    [[ -x $program ]] || program=$stack_python
    ln -s "$program" "$home/bin/python"
    ln -s python "$home/bin/python3"
    ln -s python "$home/bin/python$line"
    printf '%s\n' "home = $(dirname "$program")" 'include-system-site-packages = false' \
        "version = $python_version" "executable = $program" >"$home/pyvenv.cfg"
    # Commands that apps run in hooks and one-off dynos expect pip.
    "$stack_python" -m pip --python "$python_home/bin/python" install --quiet --no-compile \
        --no-index --find-links /usr/share/python-wheels pip 2>&1 | indent ||
        fail 'Could not put pip into the environment.'
}

use_environment() {
    export PATH=$python_home/bin:$PATH
    export VIRTUAL_ENV=$python_home
}

# Compiled files that Python takes without comparing times: the slug fixes all times.
compile_bytecode() {
    "$stack_python" -m compileall -q -j 0 --invalidation-mode unchecked-hash \
        "$build_dir"/.heroku/python/lib >/dev/null 2>&1 || true
}
