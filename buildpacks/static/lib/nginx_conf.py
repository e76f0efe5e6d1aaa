"""Turns static.json into an nginx configuration (with @PORT@, @WORK@ and @APP@ left open).

    nginx_conf.py BUILD_DIR OUTPUT

Every text of static.json is quoted or escaped: a site must not be able to write directives.
Prints what it did; on an error prints what is wrong and what to do, and exits 1.
"""

import json
import os
import re
import sys

KNOWN = {"root", "clean_urls", "routes", "redirects", "error_page", "headers", "https_only",
         "encoding"}
LATER = {"proxies", "basic_auth", "basic_auth_list"}


def stop(*lines: str) -> None:
    print("\n".join(lines))
    sys.exit(1)


def load(build_dir: str) -> tuple[dict, bool]:
    path = os.path.join(build_dir, "static.json")
    if not os.path.exists(path):
        return {}, False
    try:
        with open(path, encoding="utf-8-sig") as file:
            site = json.load(file)
    except (ValueError, UnicodeDecodeError) as error:
        stop("static.json is not valid JSON.", str(error))
    if not isinstance(site, dict):
        stop("static.json must hold one object: { ... }")
    return site, True


def need(site: dict, key: str, kind: type, fallback):
    value = site.get(key, fallback)
    if not isinstance(value, kind):
        names = {str: "a text", bool: "true or false", dict: "an object"}
        stop(f'"{key}" in static.json must be {names[kind]}.')
    return value


def text(value, what: str) -> str:
    if not isinstance(value, str) or re.search(r"[\x00-\x1f\x7f]", value):
        stop(f"{what} in static.json must be a text without control characters.")
    if "@PORT@" in value or "@WORK@" in value or "@APP@" in value:
        stop(f"{what} in static.json must not contain @PORT@, @WORK@ or @APP@.")
    return value


def quoted(value: str) -> str:
    """A text as nginx takes it in every place where it would expand variables."""
    value = value.replace("\\", "\\\\").replace('"', '\\"').replace("$", "${dollar}")
    return f'"{value}"'


def pattern(glob: str) -> str:
    """The regular expression for a path in which * is one segment and ** is any rest."""
    out = "".join(
        ".*" if part == "**" else "[^/]*" if part == "*" else re.escape(part)
        for part in re.split(r"(\*\*|\*)", glob)
    )
    # nginx takes one level of backslashes away inside quotes.
    return '"~^' + out.replace("\\", "\\\\").replace('"', '\\"') + '$"'


def inside(build_dir: str, root: str) -> str:
    full = os.path.realpath(os.path.join(build_dir, root))
    base = os.path.realpath(build_dir)
    if full != base and not full.startswith(base + os.sep):
        stop('"root" in static.json must lie inside the app.')
    if not os.path.isdir(full):
        stop(f'The folder "{root}" that static.json names as root does not exist.',
             "Check that it is committed, or that an earlier buildpack builds it.")
    return os.path.relpath(full, base)


def headers(site: dict) -> tuple[list[str], list[str]]:
    """Maps (one for each header name, longest path first) and the lines that add them."""
    by_name: dict[str, list[tuple[str, str]]] = {}
    for path, fields in need(site, "headers", dict, {}).items():
        if not isinstance(fields, dict):
            stop(f'"headers" for {path} in static.json must be an object.')
        for name, value in fields.items():
            if not re.fullmatch(r"[A-Za-z0-9-]+", name):
                stop(f'"{name}" in static.json is not the name of a header.')
            by_name.setdefault(name, []).append((text(path, "A path"), text(value, f"Header {name}")))
    maps, adds = [], []
    for number, (name, rules) in enumerate(sorted(by_name.items())):
        maps.append(f"map $asked $header_{number} {{")
        maps.append('    default "";')
        for path, value in sorted(rules, key=lambda rule: (-len(rule[0]), rule[0])):
            maps.append(f"    {pattern(path)} {quoted(value)};")
        maps.append("}")
        adds.append(f"add_header {name} $header_{number} always;")
    return maps, adds


def redirects(site: dict) -> list[str]:
    lines = []
    for path, rule in need(site, "redirects", dict, {}).items():
        rule = {"url": rule} if isinstance(rule, str) else rule
        if not isinstance(rule, dict) or "url" not in rule:
            stop(f'The redirect for {path} in static.json needs a "url".')
        status = rule.get("status", 301)
        if status not in (301, 302, 303, 307, 308):
            stop(f"The redirect for {path} in static.json has a status that is no redirect.")
        where = pattern(text(path, "A path"))[2:]
        lines.append(f'location ~ "{where} {{ return {status} {quoted(text(rule["url"], "A url"))}; }}')
    return lines


def routes(site: dict) -> list[str]:
    lines = ["map $asked $route {", '    default "";']
    for path, target in sorted(need(site, "routes", dict, {}).items(), key=lambda r: (-len(r[0]), r[0])):
        target = "/" + text(target, "A route").lstrip("/")
        lines.append(f"    {pattern(text(path, 'A path'))} {quoted(target)};")
    return lines + ["}"]


def build(build_dir: str) -> tuple[str, list[str]]:
    site, configured = load(build_dir)
    for key in site:
        if key in LATER:
            stop(f'"{key}" in static.json is not supported.',
                 "Take it out, or serve the site with an nginx configuration of your own.")
        if key not in KNOWN:
            stop(f'"{key}" in static.json is not known.', "Known are: " + ", ".join(sorted(KNOWN)))
    if need(site, "encoding", str, "UTF-8").lower() not in ("utf-8", "utf8"):
        stop('"encoding" in static.json can only be UTF-8.')
    root = inside(build_dir, text(site.get("root", "public_html" if configured else "."), '"root"'))
    said = [f"Serving {'the whole app' if root == '.' else root + '/'}"]
    served = "@APP@" if root == "." else "@APP@/" + root
    clean = need(site, "clean_urls", bool, False)
    https = need(site, "https_only", bool, False)
    header_maps, header_lines = headers(site)
    error = site.get("error_page")

    tries = "$uri" + (" $uri.html" if clean else "") + " $uri/index.html @route"
    server = [
        "listen @PORT@;", "listen [::]:@PORT@;", "server_name _;",
        f"root {quoted_path(served)};", "index index.html;", "charset utf-8;",
        "absolute_redirect off;", "server_tokens off;", *header_lines,
    ]
    if error is not None:
        page = "/" + text(error, '"error_page"').lstrip("/")
        server += [f"error_page 404 500 502 503 504 {quoted(page)};"]
    if https:
        server += ['if ($http_x_forwarded_proto = "http") { return 301 https://$host$request_uri; }']
    # Nothing of the build and no dot file is served, but /.well-known/ is.
    server += [r'location ~ "/\.(?!well-known/)" { return 404; }']
    if root == ".":
        server += [r'location ~ "^/(Procfile|app\.json|static\.json|package(-lock)?\.json)$" { return 404; }']
    server += redirects(site)
    if clean:
        # Never to a path that starts with two slashes: that would be another host.
        server += [r'location ~ "^(.+)\.html$" {',
                   r'    if ($request_uri ~ "^(/[^/\\\\?][^?]*)\.html(\?.*)?$") { return 301 $1$2; }',
                   "    try_files $uri @route;", "}"]
    server += ["location / {", f"    try_files {tries};", "}",
               "location @route {", '    if ($route = "") { return 404; }',
               "    rewrite ^ $route break;", "    try_files $uri $uri/index.html =404;", "}"]
    maps = [*header_maps, *routes(site),
            "# A dollar sign in a text of static.json.", "geo $dollar {", '    default "$";', "}",
            "# The path as it was asked for, whatever it is rewritten to.",
            "map $request_uri $asked {", '    "~^(?<path>[^?]*)" $path;', "}"]
    lines = [
        "# Written by the build from static.json.",
        "worker_processes 1;", "pid @WORK@/nginx.pid;", "error_log stderr;",
        "events { worker_connections 1024; }", "http {",
        *indented([
            "include /etc/nginx/mime.types;", "default_type application/octet-stream;",
            "log_format dyno '$request_method $request_uri $status $body_bytes_sent "
            "request_id=$http_x_request_id';",
            "access_log /dev/stdout dyno;",
            *(f"{kind}_temp_path @WORK@/tmp/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")),
            "sendfile on;", "tcp_nopush on;", "keepalive_timeout 95s;",
            "gzip on;", "gzip_comp_level 5;", "gzip_min_length 1024;", "gzip_proxied any;", "gzip_vary on;",
            "gzip_types text/css text/plain text/xml application/javascript application/json "
            "application/xml application/wasm image/svg+xml font/ttf;",
            "map_hash_bucket_size 512;",
            *maps, "server {", *indented(server), "}",
        ]),
        "}",
    ]
    for key in ("clean_urls", "routes", "redirects", "error_page", "headers", "https_only"):
        if site.get(key):
            said.append(f"With {key.replace('_', ' ')}")
    return "\n".join(lines) + "\n", said


def quoted_path(path: str) -> str:
    return '"' + path.replace("\\", "\\\\").replace('"', '\\"').replace("$", "${dollar}") + '"'


def indented(lines: list[str]) -> list[str]:
    return ["    " + line for line in lines]


if __name__ == "__main__":
    configuration, messages = build(sys.argv[1])
    with open(sys.argv[2], "w", encoding="utf-8") as output:
        output.write(configuration)
    print("\n".join(messages))
