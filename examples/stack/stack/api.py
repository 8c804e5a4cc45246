"""Takes jobs over HTTP and says how many have been done."""

import json
import os
import signal
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from .redis import Redis

VERSION = Path(__file__).with_name("version.txt").read_text().strip()
connections = threading.local()


def queue(*words):
    """Asks the queue on this thread's connection; a broken one is used once."""
    try:
        if not hasattr(connections, "redis"):
            connections.redis = Redis(timeout=5)
        return connections.redis(*words)
    except OSError:
        vars(connections).pop("redis", None)
        raise


class Api(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/":
            self.answer(200, {"name": "stack", "version": VERSION})
        elif self.path == "/health":
            self.answer(200, {"queue": queue("PING")})
        elif self.path == "/jobs":
            done = queue("HGETALL", "done")
            counts = {key: int(value) for key, value in zip(done[::2], done[1::2])}
            self.answer(200, {"waiting": queue("LLEN", "jobs"), "done": counts})
        else:
            self.answer(404, {"error": f"there is no {self.path}"})

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/jobs":
            self.answer(202, {"waiting": queue("RPUSH", "jobs", "api")})
        else:
            self.answer(404, {"error": f"nothing is taken at {self.path}"})

    def answer(self, status, value):
        body = json.dumps(value).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """What is asked is not logged."""


server = ThreadingHTTPServer(("", int(os.environ.get("PORT", 8000))), Api)
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
print(f"api {VERSION} listens on {server.server_port}")
server.serve_forever()
