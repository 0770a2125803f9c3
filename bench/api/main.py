"""Fills a database as large as a large maker's desk, and asks one API process over HTTP as its users do."""

import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from bench.api import bare, desk
from bench.api.desk import Size
from bench.api.load import Ask, median, mixed, rate
from bench.api.wire import Asked, request
from bench.own_database import own_database
from bench.served import served_api, wait_for
from careloop.database.engine import connect
from careloop.database.migrations import migrate, require_migrated
from careloop.stack.ports import free_port

SEED = 4
# Of creating, the API and the bare route in turn, so that the machine's moods meet both.
ROUNDS = 5
ROUND_S = 4.0
RATE_S = 5.0


def run(
    *,
    size: Size,
    per_s: float,
    seconds: float,
    database_url: str | None,
    database: str,
    keep: bool,
    reuse: bool,
) -> Mapping[str, Any]:
    """Load, ask, and tell.

    Args:
        size: Customers, assets, tickets.
        per_s: Requests a second of the mixed phase.
        seconds: Its length.
        database_url: A server on which this login may make a database and load without triggers (a superuser); None
            starts an embedded one.
        database: Name of the database made.
        keep: Leave it in place.
        reuse: Take the one that was left in place, and load nothing.

    Returns:
        One object per operation with `p50_ms`, `p99_ms`, `per_s`; `create_ratio`; what was loaded, and how long it
        took.
    """
    now = datetime.now(UTC)
    with own_database(database_url, database, keep=keep or reuse, reuse=reuse) as url:
        began = time.monotonic()
        with connect(url) as connection:
            engine = require_migrated(connection) if reuse else migrate(connection)[0]
        if not reuse:
            desk.load(url, size, now, SEED)
        with connect(url) as connection:
            connection.execute(bare.TABLE)
        figures: dict[str, Any] = {"engine": str(engine), "load_seconds": round(time.monotonic() - began, 1)}
        figures |= _counts(url)
        with served_api(url, "agent", now) as (host, key), _bare(url) as bare_host:
            asks = _asks(host, key, figures["assets"], now)
            for ask in asks.values():
                # The first answers are slower: statements are prepared, pages read.
                rate(host, ask, 1.0, 4)
            _tell(f"asking {per_s:g} times a second for {seconds:g} s")
            times = mixed(host, asks, per_s, seconds)
            for name, ask in asks.items():
                _tell(f"{name}, as fast as it answers")
                figures[name] = {
                    "p50_ms": times.percentile(name, 50),
                    "p99_ms": times.percentile(name, 99),
                    "per_s": round(rate(host, ask, RATE_S), 1),
                }
            figures |= _against_bare(host, bare_host, asks["ticket_create"], figures["assets"])
    return figures


def _counts(url: str) -> dict[str, int]:
    with connect(url) as connection:
        row = connection.execute(
            "SELECT (SELECT count(*) FROM service.customer) AS customers,"
            " (SELECT count(*) FROM service.asset) AS assets, (SELECT count(*) FROM service.ticket) AS tickets"
        ).fetchone()
    if row is None:
        raise RuntimeError("a count gave no row")
    return dict(row)


@contextmanager
def _bare(url: str) -> Iterator[str]:
    port = free_port()
    command = [sys.executable, "-m", "bench.api.bare", url, str(port)]
    with subprocess.Popen(command) as process:
        try:
            wait_for(f"http://127.0.0.1:{port}/openapi.json")
            yield f"127.0.0.1:{port}"
        finally:
            process.terminate()


def _asks(host: str, key: str, assets: int, now: datetime) -> dict[str, Ask]:
    """Each operation as its users ask it, about things taken at random."""
    chance = random.Random(SEED)  # noqa: S311 - picks machines, keeps nothing secret

    def get(path: str) -> Asked:
        return request("GET", path, host, status=200, key=key)

    def create() -> Asked:
        return request("POST", "/v1/tickets", host, status=201, body=_new_ticket(chance, assets), key=key)

    def listing() -> Asked:
        return get(
            f"/v1/tickets?filter={chance.choice(('to_do', 'to_claim', 'to_review', 'waiting_customer'))}&limit=50"
        )

    def search() -> Asked:
        return get(f"/v1/tickets/search?q={quote(desk.question(chance))}&limit=50")

    def timeline() -> Asked:
        return get(f"/v1/assets/{_any_serial(chance, assets)}/timeline?limit=50")

    def warranty() -> Asked:
        component = chance.choice(desk.COMPONENTS)
        return get(f"/v1/assets/{_any_serial(chance, assets)}/warranty?on={desk.today(now)}&component={component}")

    return {
        "ticket_create": create,
        "ticket_list": listing,
        "ticket_search": search,
        "timeline": timeline,
        "warranty": warranty,
    }


def _any_serial(chance: random.Random, assets: int) -> str:
    return desk.serial(1 + chance.randrange(assets))


def _new_ticket(chance: random.Random, assets: int) -> bytes:
    ticket = {
        "serial": _any_serial(chance, assets),
        "kind": "repair",
        "priority": "normal",
        "title": desk.question(chance),
        "description": " ".join(chance.choices(desk.MORE, k=4)),
    }
    return json.dumps(ticket).encode()


def _against_bare(host: str, bare_host: str, create: Ask, assets: int) -> dict[str, float]:
    """How fast cases are opened, against a bare route with one INSERT, in turn."""
    chance = random.Random(SEED)  # noqa: S311 - picks machines, keeps nothing secret

    def bare_create() -> Asked:
        return request("POST", "/tickets", bare_host, status=201, body=_new_ticket(chance, assets))

    ours: list[float] = []
    theirs: list[float] = []
    for _ in range(ROUNDS):
        ours.append(rate(host, create, ROUND_S))
        theirs.append(rate(bare_host, bare_create, ROUND_S))
    _tell(
        f"created a second: {', '.join(f'{one:.0f}' for one in ours)}; bare {', '.join(f'{one:.0f}' for one in theirs)}"
    )
    ratios = [one / other for one, other in zip(ours, theirs, strict=True)]
    return {
        "create_per_s": round(median(ours), 1),
        "bare_per_s": round(median(theirs), 1),
        "create_ratio": round(median(ratios), 3),
    }


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
