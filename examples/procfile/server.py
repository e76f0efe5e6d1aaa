"""A web app that needs nothing but the stack: Python's standard library."""

import os
import signal
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

DYNO = os.environ.get("DYNO", "nowhere")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = f"Hello from {DYNO}, without a buildpack\n".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Server(ThreadingHTTPServer):
    # Requests that were begun are finished before the process ends.
    daemon_threads = False


server = Server(("0.0.0.0", int(os.environ.get("PORT", "5000"))), Handler)
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
print(f"Listening on {server.server_port}")
server.serve_forever()
server.server_close()
print("Stopped")
