# The first process of a container that starts before it is known what will run in it, as `bash -c` runs it. It reads
# words, each ended by NUL, from its input: the number of variables, the variables as NAME=VALUE, the number of the
# command's words, the words. Then it is that command, in the folder of its argument, without input. It runs nothing
# before, and ends with 199 when its input ends early.
# shellcheck shell=bash
set -euo pipefail

wait_word() { IFS= read -r -d '' "$1" || exit 199; }

wait_word wait_left
wait_variables=()
for ((; wait_left > 0; wait_left--)); do
    wait_word wait_part
    wait_variables+=("$wait_part")
done
wait_word wait_left
wait_words=()
for ((; wait_left > 0; wait_left--)); do
    wait_word wait_part
    wait_words+=("$wait_part")
done
cd "$1"
((${#wait_variables[@]} == 0)) || export "${wait_variables[@]}"
exec "${wait_words[@]}" </dev/null
