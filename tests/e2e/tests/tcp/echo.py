"""Says which dyno it is and whom it takes for its client, then sends every line back in capitals.

On $PORT as it is; on 8883 over TLS, behind a header of the PROXY protocol. Connections that are open may end by
themselves once the dyno is told to."""

import os
import signal
import socket
import ssl
import threading


def serve(stream, client):
    with stream:
        stream.sendall(f"{os.environ['DYNO']} {client}\n".encode())
        for line in stream.makefile("rb"):
            stream.sendall(line.upper())


def plain(stream):
    serve(stream, "somebody")


context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("site.pem", "site.key")


def secure(stream):
    # PROXY TCP4 <client> <server> <port> <port>
    line = b""
    while not line.endswith(b"\r\n"):
        line += stream.recv(1)
    serve(context.wrap_socket(stream, server_side=True), line.decode().split()[2])


def listen(port, one):
    listener = socket.create_server(("0.0.0.0", port))

    def accept():
        while True:
            try:
                stream, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=one, args=(stream,), daemon=False).start()

    threading.Thread(target=accept, daemon=True).start()
    return listener


told_to_end = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: told_to_end.set())
listeners = [listen(int(os.environ["PORT"]), plain), listen(8883, secure)]
print("Listening", flush=True)
told_to_end.wait()
for listener in listeners:
    listener.shutdown(socket.SHUT_RDWR)
