#!/usr/bin/python3
"""What a Python server makes of a request: as WSGI, ASGI and CGI. Notes it, and answers with its path."""

import json
import os
import sys

FIELDS = ("content-length", "transfer-encoding", "host", "x-request-id")


def note(method, path, body, headers, connection):
    line = {
        "method": method,
        "path": path,
        "body": body.decode("latin-1"),
        "connection": str(connection),
        "headers": {name: headers.get(name, "") for name in FIELDS},
    }
    with open(os.environ["SEEN"], "a", encoding="ascii") as seen:
        seen.write(json.dumps(line) + "\n")


def is_cut_off(body, headers):
    length = headers.get("content-length", "")
    return length.isdigit() and len(body) < int(length)


def noted(environ, body):
    """By WSGI and CGI, which use the same names. False when its end never came."""
    headers = {name: environ.get(name.replace("-", "_").upper(), "") for name in FIELDS}
    for name in FIELDS:
        headers[name] = headers[name] or environ.get("HTTP_" + name.replace("-", "_").upper(), "")
    if is_cut_off(body, headers):
        return False
    note(environ["REQUEST_METHOD"], path_of(environ), body, headers, environ.get("REMOTE_PORT", ""))
    return True


def path_of(environ):
    return environ.get("RAW_URI") or environ.get("REQUEST_URI", "")


def wsgi(environ, start_response):
    is_whole = noted(environ, environ["wsgi.input"].read())
    start_response("200 OK" if is_whole else "400 Bad Request", [("Content-Type", "text/plain")])
    return [path_of(environ).encode("latin-1")]


async def asgi(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    body = b""
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    path = scope.get("raw_path") or scope["path"].encode()
    if scope["query_string"]:
        path += b"?" + scope["query_string"]
    note(scope["method"], path.decode("latin-1"), body, headers, scope["client"][1])
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": path})


if __name__ == "__main__":
    is_whole = noted(os.environ, sys.stdin.buffer.read())
    status = "" if is_whole else "Status: 400 Bad Request\n"
    print(f"{status}Content-Type: text/plain\n\n{path_of(os.environ)}", end="")
