"""A mirror on 127.0.0.1 with scripted answers, and IDX content built with struct."""

import http.server
import struct
import threading
import time
from typing import NamedTuple

import pytest


class Answer(NamedTuple):
    status: int = 200
    body: bytes = b""
    missing: int = 0  # bytes promised by Content-Length but not sent
    endless: bool = False  # repeats the body, without Content-Length
    slow: str = ""  # "headers" or "body": sent byte by byte, for ever


class Mirror:
    """Answers each path from its list and repeats the last answer; records the requested paths."""

    def __init__(self):
        self.answers = {}
        self.requested = []
        self.sent = 0  # of endless answers, in bytes
        self.is_closed = threading.Event()
        mirror = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                mirror.requested.append(self.path)
                script = mirror.answers.get(self.path, [Answer(404)])
                answer = script.pop(0) if len(script) > 1 else script[0]
                try:
                    self.send(answer)
                except OSError:  # The other side has had enough.
                    self.close_connection = True

            def send(self, answer):
                self.send_response(answer.status)
                if answer.slow == "headers":
                    self.flush_headers()
                    self.drip()
                if not answer.endless:
                    self.send_header("Content-Length", str(len(answer.body) + answer.missing))
                self.end_headers()
                self.wfile.write(answer.body)
                while answer.endless:
                    self.wfile.write(answer.body)
                    mirror.sent += len(answer.body)
                if answer.slow == "body":
                    self.drip()

            def drip(self):
                while not mirror.is_closed.wait(0.01):
                    self.wfile.write(b"x")

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        thread.start()

    def close(self):
        self.is_closed.set()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def mirror(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    mirror = Mirror()
    yield mirror
    mirror.close()


@pytest.fixture
def waits(monkeypatch):
    """Makes `time.sleep` return at once; collects the requested seconds."""
    waits = []
    monkeypatch.setattr(time, "sleep", waits.append)
    return waits


@pytest.fixture
def answer():
    return Answer


@pytest.fixture
def idx_bytes():
    def make(shape, elements):
        return struct.pack(f">BBBB{len(shape)}I", 0, 0, 8, len(shape), *shape) + elements

    return make
