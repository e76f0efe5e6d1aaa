# shellcheck shell=bash
# The Procfile buildpack.

test_procfile_alone() {
    file Procfile <<<'web: python3 -m http.server'
    build
    expect_status 0
    expect '-----> Procfile app detected'
    equal "$(<"$root/result/release.yml")" '--- {}'
}

test_null_marker() {
    file .null </dev/null
    build
    expect_status 0
}
