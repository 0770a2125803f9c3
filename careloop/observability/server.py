"""A small HTTP server beside a process's work: `/metrics`, `/live`, `/ready`.

In threads of its own, so that it answers while the process's loops hang. It has no login: it listens on this machine
only, unless told otherwise.
"""

import json
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import urlsplit

from careloop.errors import CareloopError
from careloop.observability.probes import Answer, Probes

# Of a client's Accept header, the content type and the body of the metrics.
Render = Callable[[str], tuple[str, bytes]]
REQUEST_WITHIN_S = 10.0

log = logging.getLogger(__name__)


class ObservabilityServer:
    """Serves until closed.

    Args:
        host: Address to listen on.
        port: Port; 0 takes a free one.
        probes: Answers `/live` and `/ready`.
        render: Answers `/metrics`.

    Raises:
        CareloopError: The port cannot be had.
    """

    def __init__(self, host: str, port: int, probes: Probes, render: Render) -> None:
        try:
            self._server = ThreadingHTTPServer((host, port), _handler(probes, render))
        except OSError as error:
            raise CareloopError(
                f"the metrics port {host}:{port} cannot be had ({error.strerror}); set CARELOOP_METRICS_PORT"
            ) from error
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True)
        self._thread.start()
        log.info("metrics, /live and /ready on http://%s:%d", host, self.port)

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextmanager
def serving(host: str, port: int, probes: Probes, render: Render) -> Iterator[None]:
    """Serve as long as the context lasts; with port 0 not at all."""
    if port == 0:
        yield
        return
    with ObservabilityServer(host, port, probes, render):
        yield


def _handler(probes: Probes, render: Render) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        server_version = "careloop"
        sys_version = ""
        timeout = REQUEST_WITHIN_S

        def do_GET(self) -> None:
            match urlsplit(self.path).path:
                case "/metrics":
                    content_type, body = render(self.headers.get("Accept", ""))
                    self._send(200, content_type, body)
                case "/live":
                    self._send_json(probes.live())
                case "/ready":
                    self._send_json(probes.ready())
                case _:
                    self._send_json(Answer(404, {"detail": "there are /metrics, /live and /ready"}))

        do_HEAD = do_GET  # noqa: N815 - http.server names it

        def _send_json(self, answer: Answer) -> None:
            self._send(answer.status, "application/json", json.dumps(answer.document, indent=1).encode() + b"\n")

        def _send(self, status: int, content_type: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server names it
            log.debug(format, *args)

    return Handler
