# shellcheck shell=bash
# The driver against buildpacks made up here.

test_nothing_detected() {
    file notes.txt </dev/null
    build
    expect_status 80
    expect '-----> Determining which buildpack to use for this app'
    expect ' !     No default language could be detected for this app.'
    equal "$(<"$root/result/phase")" detect
}

test_auto_takes_the_first_of_the_order() {
    file index.html <<<hi
    file Procfile <<<'web: true'
    build
    expect_status 0
    expect '-----> Static app detected'
    equal "$(<"$root/result/detected")" $'ropewalk/static\tStatic'
    equal "$(<"$root/result/phase")" "done"
}

test_named_buildpack_that_does_not_apply() {
    build "$home/nodejs"
    expect_status 81
    expect '-----> Using buildpack: heroku/nodejs'
    expect 'No package.json was found'
    expect ' !     App not compatible with buildpack: heroku/nodejs'
    equal "$(<"$root/result/failed")" $'heroku/nodejs\theroku/nodejs'
}

test_several_in_order_with_exports_between() {
    one=$(third_party one <<'X'
detect: echo One
compile: echo "export GREETING='from one'" >"$(dirname "$0")/../export"; touch "$1/one"
release: echo 'default_process_types: {web: one}'
report: echo '{"a": 1}'
X
    )
    two=$(third_party two <<'X'
detect: test -e "$1/one" && echo "Two ${GREETING:-}"
compile: echo "       greeting $GREETING"; echo 'web: dynamic' >"$1/Procfile"
release: echo "default_process_types: {web: two}"; echo "# ${GREETING:-clean}"
X
    )
    build "https://example.com/one?x=1=$one" "$two"
    expect_status 0
    expect '-----> Using buildpacks:'
    expect '       1. https://example.com/one?x=1'
    expect "       2. $two"
    equal "$(grep -n -e 'app detected' -e greeting <<<"$out" | cut -d: -f2-)" \
        $'-----> One app detected\n-----> Two  app detected\n       greeting from one'
    equal "$(<"$root/result/release.yml")" $'default_process_types: {web: two}\n# clean'
    equal "$(<"$root/result/report.1")" '{"a": 1}'
    test ! -e "$root/result/report.2"
    test ! -e "$one/export"
    equal "$(cut -f1 "$root/result/phases" | xargs)" 'detect compile release report'
}

test_a_later_buildpack_that_does_not_apply_ends_the_build_where_it_stands() {
    one=$(third_party one <<'X'
detect: echo One
compile: echo '       compiled one'
report: echo 'one: yes'
X
    )
    two=$(third_party two <<'X'
detect: exit 1
report: echo 'two: yes'
X
    )
    three=$(third_party three <<'X'
detect: echo '       three was asked' >&2; echo Three
X
    )
    build "$one" "$two" "$three"
    expect_status 81
    expect '       compiled one'
    expect " !     App not compatible with buildpack: $two"
    expect_not 'three was asked'
    equal "$(<"$root/result/detected")" "$one"$'\tOne'
    equal "$(<"$root/result/report.1")" 'one: yes'
    equal "$(cut -f1 "$root/result/phases" | xargs)" 'detect compile report'
}

test_detect_and_report_have_times_of_their_own() {
    one=$(third_party one <<'X'
detect: sleep 600
report: sleep 600
X
    )
    sed 's/^short=30$/short=1/' "$home/lib/driver" >"$root/driver"
    mkdir -p "$root/lib"
    install -m 755 "$root/driver" "$root/lib/driver"
    cp "$home/order" "$root/order"
    status=0
    out=$("$root/lib/driver" "$one") || status=$?
    expect_status 81
    test ! -e "$root/result/report.1"
}

test_compile_fails_and_reports_are_still_made() {
    one=$(third_party one <<'X'
detect: echo One
compile: echo '       broken' >&2; exit 3
report: echo 'why: broken'; exit 0
X
    )
    build "$one"
    expect_status 82
    expect '       broken'
    equal "$(<"$root/result/report.1")" 'why: broken'
    equal "$(<"$root/result/failed")" "$one"$'\t'"One"
    equal "$(<"$root/result/phase")" compile
}

test_report_failure_is_not_the_builds() {
    one=$(third_party one <<'X'
detect: echo One
compile: true
report: echo half; echo 'noise' >&2; exit 1
X
    )
    build "$one"
    expect_status 0
    expect_not noise
    test ! -e "$root/result/report.1"
}

test_release_script_fails() {
    one=$(third_party one <<'X'
detect: echo One
compile: true
release: exit 9
X
    )
    build "$one"
    expect_status 83
    equal "$(<"$root/result/phase")" release
}

test_environment_is_clean() {
    one=$(third_party one <<'X'
detect: echo One
compile: env | cut -d= -f1 | sort | tr '\n' ' '; cat "$3/SECRET"
X
    )
    config SECRET s3cret
    export SECRET_OF_HOST=1 GIT_DIR=/nowhere SOURCE_VERSION=abc REQUEST_ID=r PIP_CERT=/ca https_proxy=p
    export MAVEN_ARGS=-o MAVEN_REPOSITORY_URL=u GONOPROXY=g GOINSECURE=g
    out=$(env -u LANG "$home/lib/driver" "$one")
    expect_not SECRET_OF_HOST
    expect_not GIT_DIR
    expect_not ROPEWALK_DRIVER_CLEAN
    for name in HOME LANG PATH STACK SOURCE_VERSION REQUEST_ID PIP_CERT https_proxy \
        MAVEN_ARGS MAVEN_REPOSITORY_URL GONOPROXY GOINSECURE; do
        expect "$name "
    done
    expect s3cret
}

test_wrong_use() {
    status=0
    out=$("$home/lib/driver") || status=$?
    expect_status 64
}

test_for_tests_a_buildpack_prepares_and_goes_with_the_app() {
    one=$(third_party one <<'X'
detect: echo One
compile: echo '       compiled'
test-compile: echo "       prepared for $CI"
test: echo "tested $(<"$2/SECRET")"; exit 3
release: echo '--- {}'
X
    )
    two=$(third_party two <<'X'
detect: echo Two
compile: echo '       compiled two'
X
    )
    config SECRET hush
    CI=true build --test "$one" "$two"
    expect_status 0
    expect '       prepared for true'
    expect '       compiled two'
    equal "$(<"$root/result/tests")" 1
    equal "$(<.heroku/tests/config-vars)" SECRET
    code=0
    said=$(.heroku/tests/1/bin/test "$PWD" "$root/env") || code=$?
    equal "$said $code" 'tested hush 3'
    test -f .heroku/tests/lib/common.sh
    test ! -e .heroku/tests/2
    build "$one" "$two"
    expect '       compiled'
    test ! -e "$root/result/tests"
}
