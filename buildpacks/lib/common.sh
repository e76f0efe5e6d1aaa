# shellcheck shell=bash
# What the buildpacks of this folder share: how they speak, read config vars, and use the cache.
# It must not know any language, and sourcing it must do nothing.

# === Output, in the form that people and tools know from Heroku

output_section() { printf -- '-----> %s\n' "$*"; }

output_line() { printf '       %s\n' "$*"; }

# Filter: puts every line of a command's output below the current section, as it comes.
indent() { sed -u '/./s/^/       /'; }

# warn TITLE [LINE...]
warn() {
    local line
    for line in "$@"; do
        printf ' !     %s\n' "$line"
    done
}

# fail TITLE [WHAT TO DO...]: ends the build.
fail() {
    printf ' !\n'
    warn "$@"
    printf ' !\n'
    exit 1
}

# run_or_fail TITLE COMMAND...: runs the command below the current section.
run_or_fail() {
    local title=$1
    shift
    if ! "$@" 2>&1 | indent; then
        fail "$title" "The command that failed: $*"
    fi
}

# === Config vars

# export_env_dir DIR [ALLOW] [DENY]: exports the config vars whose names match the extended
# regular expression ALLOW and not DENY. Names that would break the build are never taken.
export_env_dir() {
    local dir=$1 allow=${2:-.} deny=${3:-^$}
    local always='^(PATH|HOME|GIT_DIR|CPATH|CPPATH|LD_PRELOAD|LD_LIBRARY_PATH|LIBRARY_PATH|IFS|BASH_ENV|ENV|SHELLOPTS|BUILD_DIR|CACHE_DIR|ENV_DIR|STACK|LANG|PORT|DYNO)$'
    local file name value
    for file in "$dir"/*; do
        [[ -f $file ]] || continue
        name=${file##*/}
        [[ $name =~ ^[A-Za-z_][A-Za-z0-9_]*$ && $name =~ $allow ]] || continue
        [[ $name =~ $always || $name =~ $deny ]] && continue
        # Reading up to NUL keeps trailing newlines, which $(<file) would drop.
        IFS= read -r -d '' value <"$file" || true
        export "$name=$value"
    done
}

# === Cache. Build and cache directory are on one mount, so a tree is linked or renamed into
# place, never copied file by file. A linked tree shares its files with the original: replace
# files in it, do not edit them in place.

# link_tree FROM TO: TO appears as a whole or not at all.
link_tree() {
    local from=$1 to=$2
    local fresh=$to.new.$$
    mkdir -p "$(dirname "$to")"
    rm -rf "$fresh"
    if ! cp -al "$from" "$fresh" 2>/dev/null; then
        rm -rf "$fresh"
        cp -a --reflink=auto "$from" "$fresh"
    fi
    replace_tree "$fresh" "$to"
}

# replace_tree FROM TO: renames, whatever TO was before.
replace_tree() {
    local from=$1 to=$2
    local old=$to.old.$$
    mkdir -p "$(dirname "$to")"
    if [[ -e $to || -L $to ]]; then
        mv -T "$to" "$old"
    fi
    mv -T "$from" "$to"
    rm -rf "$old"
}

# unshare FILE...: gives a file of a linked tree a life of its own, for tools that write in place.
unshare() {
    local file
    for file in "$@"; do
        [[ -f $file ]] || continue
        cp -p "$file" "$file.own.$$"
        mv -T "$file.own.$$" "$file"
    done
}

# write_file FILE: puts stdin in the place of the file, which may be shared with another tree.
write_file() {
    cat >"$1.new.$$"
    mv -T "$1.new.$$" "$1"
}

# cache_key PART...: one checksum over words and files; a file is written as @PATH, and one
# that is missing counts as such.
cache_key() {
    local part
    for part in "$@"; do
        if [[ $part == @* ]]; then
            part=${part#@}
            printf 'file %s ' "${part##*/}"
            if [[ -f $part ]]; then sha256sum <"$part"; else echo missing; fi
        else
            printf 'word %s\n' "$part"
        fi
    done | sha256sum | cut -d' ' -f1
}

# remember FILE KEY COMMAND...: prints what the command prints; under the same key as the last time it is not run again.
# KEY is a word that stands for everything on which the output depends. A failure is not remembered.
remember() {
    local file=$1 key=$2 kept='' answer
    shift 2
    if [[ -f $file ]]; then
        { IFS= read -r kept && [[ $kept == "$key" ]] && cat; } <"$file" && return
    fi
    answer=$("$@") || return
    mkdir -p "$(dirname "$file")"
    printf '%s\n' "$key" "$answer" | write_file "$file"
    printf '%s\n' "$answer"
}

# fresh_file FILE MINUTES: whether the file is there and younger than that.
fresh_file() {
    [[ -s $1 && -n $(find "$1" -mmin "-$2" 2>/dev/null) ]]
}

# === Network

# download_with_integrity URL SHA256 FILE: three tries; the file appears only when its checksum
# is right.
download_with_integrity() {
    local url=$1 sha256=$2 file=$3 actual
    local part=$file.part.$$
    mkdir -p "$(dirname "$file")"
    if ! curl --fail --silent --show-error --location --retry 2 --retry-connrefused \
        --connect-timeout "${CURL_CONNECT_TIMEOUT:-30}" --max-time "${CURL_TIMEOUT:-180}" \
        --output "$part" "$url"; then
        rm -f "$part"
        fail "Could not download $url" \
            "Check that the build can reach that address (proxy, mirror) and push again."
    fi
    actual=$(sha256sum <"$part" | cut -d' ' -f1)
    if [[ $actual != "$sha256" ]]; then
        rm -f "$part"
        fail "What $url sent is not what was expected." \
            "Expected SHA-256 $sha256" "     got SHA-256 $actual"
    fi
    mv -T "$part" "$file"
}
