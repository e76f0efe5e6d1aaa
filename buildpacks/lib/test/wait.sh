# shellcheck shell=bash
# The first process of a build's container.

test_it_becomes_the_command_it_is_told() {
    out=$(printf '2\0A=1 2\0B=x\ny\0003\0bash\0-c\0echo "$A|$B"; pwd; cat\0more' | "$home/lib/wait" "$root")
    equal "$out" $'1 2|x\ny\n'"$root"
    status=0
    printf '0\0003\0bash\0-c\0exit 7\0' | "$home/lib/wait" "$root" || status=$?
    equal "$status" 7
}

test_an_input_that_ends_early_runs_nothing() {
    for input in '' '1' '1\0A=1' '0\0002\0touch\0' '0\0002\0touch\0ran'; do
        status=0
        # shellcheck disable=SC2059 # the zeros are escapes of the format
        printf "$input" | "$home/lib/wait" "$root" || status=$?
        equal "$status" 199
    done
    test ! -e "$root/ran"
}
