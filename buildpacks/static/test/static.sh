# shellcheck shell=bash
# The static buildpack.
# shellcheck disable=SC2016 # dollars that must arrive as dollars

configuration() { cat "$root/app/.heroku/static/nginx.conf.in"; }

test_plain_site() {
    file index.html <<<hi
    build
    expect_status 0
    grep -q 'root "@APP@";' <(configuration)
    equal "$(tail -n 1 "$root/result/release.yml")" '  web: .heroku/static/start'
}

test_mistakes_are_named() {
    file static.json <<<'{"root": '
    build
    expect_status 82
    expect 'static.json is not valid JSON.'
    file static.json <<<'{"root": "../.."}'
    build
    expect '"root" in static.json must lie inside the app.'
    file static.json <<<'{}'
    build
    expect 'The folder "public_html" that static.json names as root does not exist.'
    file static.json <<<'{"root": ".", "proxies": {}}'
    build
    expect '"proxies" in static.json is not supported.'
    file static.json <<<'{"root": ".", "clean_urls": "yes"}'
    build
    expect '"clean_urls" in static.json must be true or false.'
    file static.json <<<'{"root": ".", "redirects": {"/a": {"url": "/b", "status": 200}}}'
    build
    expect 'a status that is no redirect'
    file static.json <<<'{"root": ".", "headers": {"/": {"X-A": "a\nb"}}}'
    build
    expect 'without control characters'
}

# Texts of static.json stay texts: nginx accepts the result and answers with them.
test_online_served_as_written() {
    file static.json <<'X'
{"root": ".", "clean_urls": true, "error_page": "404.html",
 "headers": {"/": {"X-Odd": "$1 \"; } {"}, "/a\"b$c;": {"X-B": "x"}},
 "routes": {"/app/**": "app.html"}, "redirects": {"/old/*": {"url": "/new$1", "status": 302}}}
X
    for name in index about app 404; do echo "$name page" >"$root/app/$name.html"; done
    build
    expect_status 0
    port=5871
    on_dyno .heroku/static/start >"$root/log" 2>&1 &
    pid=$!
    for _ in $(seq 100); do
        curl -s "http://127.0.0.1:$port/" >/dev/null && break
        read -rt 0.1 <> <(:) || true
    done
    ask() { out=$(curl -si --path-as-is "http://127.0.0.1:$port$1" | tr -d '\r'); }
    ask /
    expect 'index page'
    expect 'X-Odd: $1 "; } {'
    ask /about
    expect 'about page'
    ask '/about.html?q=1'
    expect 'Location: /about?q=1'
    ask //example.com/x.html
    expect_not 'Location:'
    ask '/\example.com/x.html'
    expect_not 'Location:'
    ask /app/deep/path
    expect 'app page'
    ask /old/x
    expect 'HTTP/1.1 302'
    expect 'Location: /new$1'
    ask /none
    expect 'HTTP/1.1 404'
    expect '404 page'
    ask /.heroku/static/start
    expect 'HTTP/1.1 404'
    ask /static.json
    expect 'HTTP/1.1 404'
    kill -TERM "$(pgrep -P "$pid" -f static/start || echo "$pid")"
    wait "$pid" || true
}
