"""An asset with a customer, and a receiver of webhooks that checks what it gets."""

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from standardwebhooks import Webhook, WebhookVerificationError


class Receiver:
    """Takes events over HTTP, unless told to refuse; keeps those whose signature holds, in order."""

    def __init__(self, url):
        self.url = url
        self.secrets = []
        self.refuse = lambda event: False
        self.taken = []
        self.refused = []
        self.bad_signatures = 0
        self.changed = threading.Condition()

    def answer(self, headers, body):
        for secret in self.secrets:
            try:
                event = Webhook(secret).verify(body, headers)
                break
            except WebhookVerificationError:
                continue
        else:
            self.bad_signatures += 1
            return 401
        with self.changed:
            refused = self.refuse(event)
            (self.refused if refused else self.taken).append(event)
            self.changed.notify_all()
        return 500 if refused else 204

    def wait_for(self, fits, within_s=30.0):
        with self.changed:
            assert self.changed.wait_for(lambda: fits(self), within_s), (self.taken, self.refused)


@contextmanager
def receiving():
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(receiver.answer(dict(self.headers.items()), body))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver = Receiver(f"http://127.0.0.1:{server.server_address[1]}/events")
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield receiver
        server.shutdown()
        thread.join()


@pytest.fixture
def receiver():
    with receiving() as one:
        yield one


def register(client, serials=("W1", "W2")):
    client.post("/v1/product-models", {"code": "HD5", "name": "HD 5", "kind": "pressure_washer"})
    for serial in serials:
        client.post("/v1/assets", {"serial": serial, "model": "HD5", "installed_at": "2026-01-01T00:00:00Z"})


def open_ticket(client, serial="W1"):
    return client.post("/v1/tickets", {"serial": serial, "kind": "repair", "title": "leaks"})["ticket_id"]


def move(client, ticket_id, to):
    return client.post(f"/v1/tickets/{ticket_id}/transitions", {"to": to})
