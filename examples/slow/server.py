"""Answers after a while, and a few requests at a time: an app to try autoscaling on."""

import http.server
import os
import signal
import threading
import time

PLACES = int(os.environ.get("PLACES", "5"))
MILLISECONDS = int(os.environ.get("MILLISECONDS", "50"))
DYNO = os.environ.get("DYNO", "nowhere")

places = threading.BoundedSemaphore(PLACES)
lock = threading.Lock()
busy = 0


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/metrics":
            text = f"# TYPE slow_busy gauge\nslow_busy{{dyno=\"{DYNO}\"}} {busy}\nslow_places {PLACES}\n"
        else:
            text = self.work()
        body = text.encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def work(self):
        global busy
        with places:
            with lock:
                busy += 1
            time.sleep(MILLISECONDS / 1000)
            with lock:
                busy -= 1
        return f"{DYNO} took {MILLISECONDS} ms\n"

    def log_message(self, *arguments):
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 512
    # Requests that were begun are finished before the process ends.
    daemon_threads = False


server = Server(("0.0.0.0", int(os.environ.get("PORT", "5000"))), Handler)
# A dyno is told to stop with SIGTERM: take no new connection, finish what was begun, leave.
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
print(f"{PLACES} requests at once, {MILLISECONDS} ms each", flush=True)
server.serve_forever()
server.server_close()
