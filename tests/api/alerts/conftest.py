"""Alerts put into the outbox as every capability does it, real receivers, and API processes that deliver."""

import asyncio
import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import psycopg
import pytest
from psycopg.rows import dict_row

from careloop.database.engine import connect
from careloop.stack.ports import free_port
from careloop.stack.process import careloop_command

LONG_AGO = datetime(2015, 7, 1, 3, tzinfo=UTC)


@pytest.fixture
def announce(database_url) -> Callable[..., None]:
    """Announce causes in one transaction."""
    from api.alerts import service
    from api.conventions.call import Call
    from api.conventions.roles import Principal

    async def put(causes, topic, asset_id, now) -> None:
        connection = await psycopg.AsyncConnection.connect(database_url, row_factory=dict_row)
        async with connection:
            call = Call(connection, now, Principal("key:1", "test", "service"))
            for cause in causes:
                await service.announce(
                    call,
                    topic=topic,
                    cause=cause,
                    asset_id=asset_id,
                    subject=f"about {cause}",
                    body="Eine Zeile,\nnoch eine – 洗衣机",
                    payload={"due_by": now, "score": 0.83},
                )

    def announce_all(*causes: str, topic: str = "ticket.opened", asset_id: int | None = None, now=LONG_AGO) -> None:
        asyncio.run(put(causes, topic, asset_id, now))

    return announce_all


@pytest.fixture
def alerts(database_url) -> Callable[[], list[dict]]:
    """All alerts as they stand in the database."""

    def read() -> list[dict]:
        with connect(database_url) as connection:
            return connection.execute("SELECT * FROM service.alert ORDER BY alert_id").fetchall()

    return read


@pytest.fixture
def until(alerts) -> Callable[..., list[dict]]:
    """Wait until alerts are as wished."""

    def wait(condition, within_s: float = 20.0) -> list[dict]:
        deadline = time.monotonic() + within_s
        while True:
            rows = alerts()
            if condition(rows):
                return rows
            assert time.monotonic() < deadline, [
                (row["alert_id"], row["state"], row["attempts"], row["last_error"]) for row in rows
            ]
            time.sleep(0.02)

    return wait


class Receiver:
    """An HTTP server that keeps what it gets and answers as told.

    Attributes:
        requests: Headers and body of each request, in order.
        answers: Status codes to give first; 200 after them.
        hold: While cleared, requests are kept waiting for their answer.
    """

    def __init__(self) -> None:
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.answers: list[int] = []
        self.hold = threading.Event()
        self.hold.set()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.requests.append((dict(self.headers.items()), body))
                status = receiver.answers.pop(0) if receiver.answers else 200
                receiver.hold.wait(30)
                try:
                    self.send_response(status)
                    if status == 302:
                        self.send_header("Location", receiver.url + "/elsewhere")
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                except BrokenPipeError:
                    pass  # the deliverer was killed meanwhile

            def log_message(self, *arguments: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"

    @property
    def identities(self) -> list[str]:
        """The webhook-id of each request."""
        return [headers["webhook-id"] for headers, _ in self.requests]

    @property
    def causes(self) -> list[str]:
        """What each request was about."""
        return [json.loads(body)["data"]["cause"] for _, body in self.requests]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver of webhooks."""
    running = Receiver()
    thread = threading.Thread(target=running.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield running
    running.hold.set()
    running.server.shutdown()
    running.server.server_close()


@pytest.fixture
def start_api(database_url, tmp_path) -> Iterator[Callable[..., subprocess.Popen]]:
    """Start `careloop api` processes; each delivers alerts."""
    started: list[subprocess.Popen] = []

    def start(**settings: str) -> subprocess.Popen:
        environment = {
            **os.environ,
            "CARELOOP_DATABASE_URL": database_url,
            "CARELOOP_API_PORT": str(free_port()),
            "CARELOOP_ALERT_LEASE_S": "1",
            **settings,
        }
        with (tmp_path / f"api-{len(started)}.log").open("w") as output:
            process = subprocess.Popen(
                careloop_command("api"), env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.terminate()
    for process in started:
        process.wait(30)
