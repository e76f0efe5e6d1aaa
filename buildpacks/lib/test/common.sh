# shellcheck shell=bash
# The shared library.

load() {
    # shellcheck source=../common.sh
    source "$home/lib/common.sh"
}

test_env_dir_never_breaks_the_build() {
    load
    config PATH /evil
    config BUILD_DIR /evil
    config LD_PRELOAD /evil
    config bad-name x
    config GOOD $'two\nlines\n'
    config OTHER no
    before=$PATH
    export_env_dir "$root/env" '^(GOOD|PATH|BUILD_DIR|LD_PRELOAD)$'
    equal "$GOOD" $'two\nlines\n'
    equal "$PATH" "$before"
    equal "${BUILD_DIR:-unset}${LD_PRELOAD:-unset}${OTHER:-unset}" unsetunsetunset
}

test_linked_trees_share_files_and_replace_whole() {
    load
    mkdir -p a/b c
    echo 1 >a/b/f
    touch c/left-over
    link_tree a c
    equal "$(stat -c %i a/b/f)" "$(stat -c %i c/b/f)"
    test ! -e c/left-over
    unshare c/b/f c/none
    echo 2 >c/b/f
    equal "$(<a/b/f)" 1
    equal "$(find . -name '*.new.*' -o -name '*.old.*')" ''
}

test_written_files_leave_what_they_were_shared_with_alone() {
    load
    echo 1 >a
    ln a b
    echo 2 | write_file a
    equal "$(<a)$(<b)" 21
    equal "$(find . -name '*.new.*')" ''
}

test_cache_key_sees_words_files_and_their_absence() {
    load
    echo 1 >f
    one=$(cache_key x @f)
    equal "$one" "$(cache_key x @f)"
    [[ $one != "$(cache_key y @f)" ]]
    echo 2 >f
    [[ $one != "$(cache_key x @f)" ]]
    rm f
    [[ $one != "$(cache_key x @f)" ]]
}

test_download_checks_the_checksum() {
    load
    echo content >source
    sum=$(sha256sum <source | cut -d' ' -f1)
    download_with_integrity "file://$PWD/source" "$sum" got
    equal "$(<got)" content
    status=0
    out=$(download_with_integrity "file://$PWD/source" "${sum/[0-9]/x}" bad) || status=$?
    expect_status 1
    expect 'is not what was expected'
    test ! -e bad
    equal "$(find . -name '*.part.*')" ''
}

test_an_answer_is_remembered_under_its_key_and_a_failure_is_not() {
    load
    ask() { echo asked >>asked; printf 'one\n  two %s\n' "$1"; }
    refuse() { echo refused >>asked; return 3; }
    equal "$(remember kept/a k1 ask x)" $'one\n  two x'
    equal "$(remember kept/a k1 ask y)" $'one\n  two x'
    equal "$(remember kept/a k2 ask y)" $'one\n  two y'
    status=0
    remember kept/b k1 refuse || status=$?
    equal "$status" 3
    remember kept/b k1 refuse || true
    equal "$(<asked)" $'asked\nasked\nrefused\nrefused'
    equal "$(find . -name '*.new.*')" ''
}
