"""A web server on loopback that keeps what is posted to it, for tests of notifications."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from tests.lab.world import PATIENCE_S


class Webhook:
    """Answers each request with the next of `answers`, the last one for ever. As a context manager it is served."""

    def __init__(self, answers: Sequence[int] = (200,), location: str = "") -> None:
        self.bodies: list[dict[str, Any]] = []
        self._news = threading.Condition()
        left = list(answers)

        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with hook._news:
                    status = left.pop(0) if len(left) > 1 else left[0]
                    hook.bodies.append(body)
                    hook._news.notify_all()
                self.send_response(status)
                if location:
                    self.send_header("Location", location)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Says nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/topic"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def wait_for(self, count: int, timeout_s: float = PATIENCE_S) -> None:
        """Returns when so many requests have come."""
        with self._news:
            assert self._news.wait_for(lambda: len(self.bodies) >= count, timeout_s), self.bodies
