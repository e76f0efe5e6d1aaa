# shellcheck shell=bash
# The Python buildpack.
# shellcheck disable=SC2016 # what the dyno expands

stack_line() { python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])'; }

test_no_list_of_dependencies() {
    file app.py <<<'print(1)'
    build
    expect_status 82
    expect '-----> Python app detected'
    expect "Could not find the file that lists the app's dependencies."
    file pyproject.toml <<<'[project]'
    build
    expect 'run uv lock or poetry lock'
}

test_two_lists_of_dependencies() {
    file requirements.txt </dev/null
    file uv.lock </dev/null
    build
    expect_status 82
    expect "More than one package manager's file was found: requirements.txt uv.lock."
}

test_python_that_the_stack_lacks() {
    file requirements.txt </dev/null
    for asked in 3.6 3.99.1; do
        file .python-version <<<"$asked"
        build
        expect_status 82
        expect "Python $asked (from .python-version) is not available."
        expect "The stack debian-13 has: Python $(stack_line)"
    done
    config ROPEWALK_PYTHON_RELAX 0
    file .python-version <<<3.99
    build
    expect_status 82
}

test_version_files_with_mistakes() {
    file requirements.txt </dev/null
    file .python-version <<<$'3.13\n3.12'
    build
    expect_status 82
    expect 'It holds: 3.13 3.12'
    rm .python-version
    file runtime.txt <<<'python3'
    build
    expect_status 82
    expect 'runtime.txt says "python3"'
}

test_which_requirements_decide_alone() {
    key() { python3 -I "$home/python/lib/requirements.py" requirements.txt | xargs; }
    file requirements.txt <<<$'-r more/base.txt\nflask==1 # why\n--no-binary :all:'
    file more/base.txt <<<$'-c limits.txt\nx @ https://example.com/x-1.whl'
    file more/limits.txt </dev/null
    equal "$(key)" 'requirements.txt more/base.txt more/limits.txt'
    for line in '-e .' './package' 'x @ git+https://example.com/x@main' '-r none.txt' '--find-links wheels'; do
        file requirements.txt <<<"$line"
        if python3 -I "$home/python/lib/requirements.py" requirements.txt; then
            echo "taken as decided: $line"
            return 1
        fi
    done
}

test_online_requirements_and_reuse() {
    file requirements.txt <<<'itsdangerous==2.2.0'
    file .python-version <<<$'# the line\n3.99'
    file bin/pre_compile <<<$'#!/bin/bash\necho before with $SETTING'
    file bin/post_compile <<<$'#!/bin/bash\npython -c "import itsdangerous" && echo after'
    config SETTING it
    cp -a . "$root/source"
    build
    expect_status 0
    expect '       before with it'
    expect '       after'
    expect 'Python 3.99 was asked for'
    expect 'Successfully installed itsdangerous-2.2.0'
    equal "$(on_dyno 'python -c "import itsdangerous, sys; print(sys.prefix)"')" /app/.heroku/python
    equal "$(on_dyno 'head -n 1 .heroku/python/bin/pip')" '#!/app/.heroku/python/bin/python'
    equal "$(on_dyno 'echo $FORWARDED_ALLOW_IPS $GUNICORN_CMD_ARGS')" '* --access-logfile -'
    # Compiled once, valid whatever times the slug gives its files.
    equal "$(find app.py .heroku -name '*.pyc' -path '*itsdangerous*' 2>/dev/null | wc -l)" \
        "$(find .heroku -name '*.py' -path '*/itsdangerous/*' | wc -l)"
    push_again "$root/source"
    PIP_INDEX_URL=http://127.0.0.1:9/ build
    expect_not 'Reusing the environment'
    push_again "$root/source"
    build
    expect_status 0
    push_again "$root/source"
    build
    expect 'Reusing the environment'
    expect '       after'
}

test_online_nothing_required() {
    file requirements.txt </dev/null
    build
    expect_status 0
    on_dyno 'python -m pip --version'
}

test_online_requirement_that_does_not_exist() {
    file requirements.txt <<<'itsdangerous==99'
    build
    expect_status 82
    expect 'pip could not install requirements.txt.'
    expect 'No matching distribution found for itsdangerous==99'
}

test_online_django_static_files() {
    file requirements.txt <<<'django==5.2.1'
    file manage.py <<'X'
import sys
from django.conf import settings
settings.configure(SECRET_KEY="x", INSTALLED_APPS=["django.contrib.staticfiles"], STATIC_URL="s/", STATIC_ROOT="out", STATICFILES_DIRS=["in"])
from django.core.management import execute_from_command_line
execute_from_command_line(sys.argv)
X
    file in/a.css </dev/null
    cp -a . "$root/source"
    build
    expect_status 0
    expect '-----> Collecting static files'
    test -f out/a.css
    push_again "$root/source"
    config DISABLE_COLLECTSTATIC 1
    build
    expect_status 0
    test ! -e out
    rm "$root/env/DISABLE_COLLECTSTATIC"
    push_again "$root/source"
    sed -i 's/SECRET_KEY="x"/SECRET_KEY=missing/' manage.py
    build
    expect_status 82
    expect 'Collecting the static files failed.'
}

test_online_uv() {
    file pyproject.toml <<<$'[project]\nname = "a"\nversion = "1"\nrequires-python = ">=3.11"\ndependencies = []'
    file uv.lock <<<$'version = 1\nrequires-python = ">=3.11"\n\n[[package]]\nname = "a"\nversion = "1"\nsource = { virtual = "." }'
    build
    expect_status 0
    expect 'Installing dependencies using uv'
    sed -i 's/dependencies = \[\]/dependencies = ["itsdangerous"]/' pyproject.toml
    build
    expect_status 82
    expect 'uv could not install uv.lock.'
}

test_online_pipenv() {
    file Pipfile <<<$'[[source]]\nurl = "https://example.com/simple"\nverify_ssl = true\nname = "x"\n\n[packages]\n'
    file Pipfile.lock <<<'{"_meta": {"hash": {"sha256": "0"}, "pipfile-spec": 6, "requires": {}, "sources": []}, "default": {}, "develop": {}}'
    build
    expect_status 82
    expect 'pipenv could not install Pipfile.lock.'
}

test_online_tests_have_their_requirements() {
    file requirements.txt <<<'six'
    file requirements-test.txt <<<'pytest'
    file test_it.py <<<'def test_it(): import six'
    build --test auto
    expect_status 0
    expect 'Installing test dependencies from requirements-test.txt'
    on_dyno '.heroku/tests/1/bin/test "$PWD" /nonexistent' | grep -F '1 passed'
}
