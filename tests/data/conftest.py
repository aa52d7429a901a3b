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


class Mirror:
    """Answers each path from its list and repeats the last answer; records the requested paths."""

    def __init__(self):
        self.answers = {}
        self.requested = []
        mirror = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                mirror.requested.append(self.path)
                script = mirror.answers.get(self.path, [Answer(404)])
                answer = script.pop(0) if len(script) > 1 else script[0]
                self.send_response(answer.status)
                self.send_header("Content-Length", str(len(answer.body) + answer.missing))
                self.end_headers()
                self.wfile.write(answer.body)

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        thread.start()

    def close(self):
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
