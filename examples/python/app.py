"""A small Flask app: says which dyno answered, whether it is well, and answers slowly if asked."""

import os
import time

from flask import Flask, request

app = Flask(__name__)
DYNO = os.environ.get("DYNO", "nowhere")
LONGEST_MS = 60_000


@app.get("/")
def home():
    return f"Hello from {DYNO}\n", {"Content-Type": "text/plain; charset=utf-8"}


@app.get("/health")
def health():
    return {"status": "ok", "dyno": DYNO}


@app.get("/slow")
def slow():
    wanted = request.args.get("ms", default=1000, type=int)
    ms = min(max(wanted, 0), LONGEST_MS)
    time.sleep(ms / 1000)
    return f"{DYNO} took {ms} ms\n", {"Content-Type": "text/plain; charset=utf-8"}
