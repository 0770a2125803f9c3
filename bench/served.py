"""The API as a process of its own, for benchmarks that ask it over HTTP."""

import asyncio
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from psycopg import AsyncConnection
from psycopg.rows import dict_row

from api.access.models import NewApiKey
from api.access.service import create_key
from api.conventions.roles import Role
from careloop.database.engine import connect
from careloop.database.roles import create_service_login, create_service_roles
from careloop.errors import CareloopError
from careloop.stack.ports import free_port
from careloop.stack.process import ServiceProcess

READY_WITHIN_S = 60.0


@contextmanager
def served_api(url: str, role: Role, now: datetime) -> Iterator[tuple[str, str]]:
    """One `careloop api` process with the rights of the API only; its address and a key of a role."""
    login, password = "careloop_api_bench", "bench-only"
    with connect(url) as connection:
        create_service_roles(connection)
        create_service_login(connection, "api", login, password)
    parts = urlsplit(url)
    place = f"{login}:{password}@{parts.hostname}:{parts.port}"
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="careloop-bench-") as name:
        environment = {
            "PATH": "/usr/bin:/bin",
            "CARELOOP_DATABASE_URL": urlunsplit(parts._replace(netloc=place)),
            "CARELOOP_API_PORT": str(port),
            "CARELOOP_LOG_LEVEL": "WARNING",
        }
        log_file = Path(name) / "api.log"
        process = ServiceProcess("api", [sys.executable, "-m", "careloop", "api"], environment, log_file)
        process.start()
        try:
            try:
                wait_for(f"http://127.0.0.1:{port}/ready")
            except CareloopError as error:
                raise CareloopError(f"{error}; its log: {log_file.read_text(encoding='utf-8')[-2000:]}") from error
            yield f"127.0.0.1:{port}", asyncio.run(_key(url, role, now))
        finally:
            process.stop()


def wait_for(url: str) -> None:
    """Return once a URL answers.

    Raises:
        CareloopError: It did not within a minute.
    """
    deadline = time.monotonic() + READY_WITHIN_S
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5):  # noqa: S310 - an address on this machine, made here
                return
        except OSError as error:
            if time.monotonic() > deadline:
                raise CareloopError(f"{url} did not answer within {READY_WITHIN_S:g} s") from error
            time.sleep(0.1)


async def _key(url: str, role: Role, now: datetime) -> str:
    async with await AsyncConnection.connect(url, row_factory=dict_row) as connection:
        key, _ = await create_key(connection, NewApiKey(name=f"bench {now.isoformat()}", role=role), now)
    return key
