"""As much of Redis's protocol as a queue needs."""

import os
import socket
from urllib.parse import unquote, urlsplit


class Redis:
    """A connection. A thread has one of its own."""

    def __init__(self, timeout=None):
        url = urlsplit(os.environ["QUEUE_URL"])
        self.socket = socket.create_connection((url.hostname, url.port or 6379), timeout)
        self.replies = self.socket.makefile("rb")
        if url.password:
            user = [unquote(url.username)] if url.username else []
            self("AUTH", *user, unquote(url.password))

    def __call__(self, *words):
        """Sends one command and returns its reply."""
        words = [str(word).encode() for word in words]
        parts = [b"$%d\r\n%s\r\n" % (len(word), word) for word in words]
        self.socket.sendall(b"*%d\r\n%s" % (len(words), b"".join(parts)))
        return self.reply()

    def reply(self):
        line = self.replies.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("the queue has hung up")
        kind, text = line[:1], line[1:-2].decode()
        if kind == b"-":
            raise RuntimeError(text)
        if kind == b"+":
            return text
        if kind == b":":
            return int(text)
        if int(text) < 0:
            return None
        if kind == b"$":
            return self.replies.read(int(text) + 2)[:-2].decode()
        return [self.reply() for _ in range(int(text))]
