#!/usr/bin/env bash
# curl through the router, in each version of HTTP: a line for each case, `passed NAME` or `failed NAME: WHY`.
# PLAIN and TLS are the router's addresses, FOLDER is empty and ours.
set -uo pipefail

MIB=$((1024 * 1024))
head --bytes "$((2 * MIB))" /dev/urandom > "$FOLDER/upload"
SUM=$(sha256sum "$FOLDER/upload" | cut --delimiter ' ' --fields 1)
EMPTY=$(printf '' | sha256sum | cut --delimiter ' ' --fields 1)
HELLO=$(printf hello | sha256sum | cut --delimiter ' ' --fields 1)

# How curl is told the version, and the address. Name, expected output, arguments.
check() {
  local name="$VERSION, $1" expected=$2 got
  shift 2
  if ! got=$(curl --silent --show-error --insecure --max-time 30 "${HOW[@]}" "$@" 2>&1); then
    echo "failed $name: ${got:0:200}"
  elif [[ "$got" != "$expected" ]]; then
    echo "failed $name: ${got:0:200} and not ${expected:0:200}"
  else
    echo "passed $name"
  fi
}

all() {
  local written='%{http_code} %{http_version} %{size_download}'
  check "GET" "GET 0 $EMPTY" "$BASE/"
  check "HEAD" "200 $NUMBER 0" --head --output /dev/null --write-out "$written" "$BASE/large/4096"
  check "POST" "POST 5 $HELLO" --data hello "$BASE/"
  check "PUT a file" "PUT $((2 * MIB)) $SUM" --upload-file "$FOLDER/upload" --header "Expect:" "$BASE/"
  check "PUT of unknown length" "PUT $((2 * MIB)) $SUM" --upload-file - "$BASE/" < "$FOLDER/upload"
  check "Expect" "PUT $((2 * MIB)) $SUM" --upload-file "$FOLDER/upload" --header "Expect: 100-continue" \
    --expect100-timeout 20 "$BASE/"
  check "64 MiB" "200 $NUMBER $((64 * MIB))" --output /dev/null --write-out "$written" "$BASE/large/$((64 * MIB))"
  check "64 MiB of unknown length" "200 $NUMBER $((64 * MIB))" --output /dev/null --write-out "$written" \
    "$BASE/chunked/$((64 * MIB))"
  check "304" "304 $NUMBER 0" --output /dev/null --write-out "$written" "$BASE/status/304"
  # The second on the connection of the first.
  check "again on the same connection" "200 1;200 0;" --output /dev/null --output /dev/null \
    --write-out '%{http_code} %{num_connects};' "$BASE/" "$BASE/status/200"
}

VERSION="HTTP/1.1" NUMBER=1.1 BASE="http://$PLAIN" HOW=(--http1.1)
all
VERSION="HTTP/1.1 with TLS" NUMBER=1.1 BASE="https://$TLS" HOW=(--http1.1)
all
VERSION="HTTP/2" NUMBER=2 BASE="http://$PLAIN" HOW=(--http2-prior-knowledge)
all
VERSION="HTTP/2 with TLS" NUMBER=2 BASE="https://$TLS" HOW=(--http2)
all
