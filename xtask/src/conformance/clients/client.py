#!/usr/bin/python3
"""Python's clients through the router: http.client, requests and httpx, the last in HTTP/2 too. A line for each case,
`passed NAME` or `failed NAME: WHY`. PLAIN and TLS are the router's addresses."""

import hashlib
import http.client
import os
import ssl
import warnings

import httpx
import requests

PLAIN, TLS = os.environ["PLAIN"], os.environ["TLS"]
MIB = 1024 * 1024
LARGE = os.urandom(2 * MIB)
LIMIT = 30
warnings.simplefilter("ignore")


def said(method, body):
    return f"{method} {len(body)} {hashlib.sha256(body).hexdigest()}"


def pieces():
    for at in range(0, len(LARGE), 50_000):
        yield LARGE[at : at + 50_000]


def check(name, expected, ask):
    try:
        got = ask()
    except Exception as error:  # whatever a client throws is a failure of the case
        print(f"failed {name}: {error!r}")
        return
    print(f"passed {name}" if got == expected else f"failed {name}: {got!r} and not {expected!r}")


def low(name, connect):
    """http.client: one connection for everything."""
    connection = connect()

    def ask(method, path, body=None, headers=None, **more):
        connection.request(method, path, body=body, headers=headers or {}, **more)
        response = connection.getresponse()
        return response.status, response.read()

    def both(method, path, body=None, **more):
        status, text = ask(method, path, body, **more)
        return f"{status} {text.decode()}"

    check(f"{name}, GET", "200 " + said("GET", b""), lambda: both("GET", "/"))
    check(f"{name}, POST", "200 " + said("POST", b"hello"), lambda: both("POST", "/", b"hello"))
    check(
        f"{name}, chunked",
        "200 " + said("POST", LARGE),
        lambda: both("POST", "/", pieces(), encode_chunked=True, headers={"Transfer-Encoding": "chunked"}),
    )
    check(
        f"{name}, Expect",
        "200 " + said("PUT", b"hello"),
        lambda: both("PUT", "/", b"hello", headers={"Expect": "100-continue"}),
    )
    check(f"{name}, HEAD", (200, b""), lambda: ask("HEAD", "/large/4096"))
    check(f"{name}, 204", (204, b""), lambda: ask("GET", "/status/204"))
    check(f"{name}, 32 MiB", (200, 32 * MIB), lambda: (lambda got: (got[0], len(got[1])))(ask("GET", f"/large/{32 * MIB}")))
    check(f"{name}, trailers", (200, b"hello"), lambda: ask("GET", "/trailers"))
    connection.close()


def high(name, client, base, upload):
    """requests and httpx, which are asked alike but for uploads."""
    check(f"{name}, GET", said("GET", b""), lambda: client.get(base + "/").text)
    check(f"{name}, POST", said("POST", b"hello"), lambda: client.post(base + "/", data=b"hello").text)
    check(f"{name}, of unknown length", said("POST", LARGE), lambda: client.post(base + "/", **upload()).text)
    check(
        f"{name}, Expect",
        said("PUT", b"hello"),
        lambda: client.put(base + "/", data=b"hello", headers={"Expect": "100-continue"}).text,
    )
    check(f"{name}, HEAD", ("4096", b""), lambda: (lambda got: (got.headers["content-length"], got.content))(client.head(base + "/large/4096")))
    check(f"{name}, 304", 304, lambda: client.get(base + "/status/304").status_code)
    check(f"{name}, 32 MiB", 32 * MIB, lambda: len(client.get(f"{base}/large/{32 * MIB}").content))
    check(f"{name}, 32 MiB of unknown length", 32 * MIB, lambda: len(client.get(f"{base}/chunked/{32 * MIB}").content))
    check(f"{name}, trailers", b"hello", lambda: client.get(base + "/trailers").content)


anybody = ssl._create_unverified_context()
low("http.client", lambda: http.client.HTTPConnection(PLAIN, timeout=LIMIT))
low("http.client with TLS", lambda: http.client.HTTPSConnection(TLS, timeout=LIMIT, context=anybody))
for scheme, address in (("http", PLAIN), ("https", TLS)):
    session = requests.Session()
    session.verify = session.trust_env = False
    high(f"requests, {scheme}", session, f"{scheme}://{address}", lambda: {"data": pieces()})
    with httpx.Client(verify=False, timeout=LIMIT, trust_env=False) as client:
        high(f"httpx, {scheme}", client, f"{scheme}://{address}", lambda: {"content": pieces()})
with httpx.Client(verify=False, timeout=LIMIT, trust_env=False, http2=True) as client:
    check("httpx speaks HTTP/2", "HTTP/2", lambda: client.get(f"https://{TLS}/").http_version)
    high("httpx, HTTP/2", client, f"https://{TLS}", lambda: {"content": pieces()})
