"""Loads a parts network, asks one API process for parts, plans all demand, and lets many want the last piece."""

import asyncio
import json
import statistics
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from bench.api.wire import Asked, Connection, request
from bench.own_database import own_database
from bench.parts import network
from bench.parts.network import SQL, Size, Want
from bench.served import served_api
from careloop.allocation.exchange import PlanOfAll, Snapshot
from careloop.client import CareloopClient
from careloop.database.engine import connect
from careloop.database.migrations import migrate
from scheduler.allocation.nightly import fetch, hand_over
from scheduler.allocation.reasons import choices
from scheduler.allocation.solver import Solved, solve

SEED = 5
# The first answers are slower: statements are prepared, pages read.
WARM_UP = 100
RIVALS = 64
PROBLEM = 409


def run(
    *,
    size: Size,
    batch: int,
    limit_s: float,
    gap: float,
    database_url: str | None,
    database: str,
    keep: bool,
) -> Mapping[str, Any]:
    """Load, ask, plan, and tell.

    Args:
        size: Warehouses, parts, movements, demands.
        batch: How many of the demands are planned together first; the others are answered one by one.
        limit_s: How long a plan is searched, in seconds.
        gap: Good enough this far above the proven bound.
        database_url: A server on which this login may make a database; None starts an embedded one.
        database: Name of the database made.
        keep: Leave it in place.

    Returns:
        `single` (times of one answer), `batch` and `all` (demands planned together), `last_piece`; what was loaded.
    """
    now = datetime.now(UTC)
    with own_database(database_url, database, keep=keep, reuse=False) as url:
        began = time.monotonic()
        with connect(url) as connection:
            engine = migrate(connection)[0]
        network.load(url, size, now, SEED)
        figures: dict[str, Any] = {"engine": str(engine), "load_seconds": round(time.monotonic() - began, 1)}
        figures |= _counts(url)
        wants = network.wants(url, size, now, SEED)
        with served_api(url, "service", now) as (host, key), CareloopClient(f"http://{host}", key) as client:
            _tell(f"{batch} demands are left to a plan of all")
            asyncio.run(_demand(host, key, wants[:batch], at_once=False))
            figures["batch"] = _plan(client, limit_s, gap)
            _tell(f"{len(wants) - batch} demands are answered one by one")
            figures["single"] = _single(asyncio.run(_demand(host, key, wants[batch:], at_once=True)))
            _tell("everything not shipped yet is planned together")
            figures["all"] = _plan(client, limit_s, gap)
            figures["last_piece"] = _last_piece(url, host, key, now)
        with connect(url) as connection:
            differing = connection.execute(SQL["count_differing"]).fetchone()
            figures["balances_differing"] = differing["balances"] if differing else None
    return figures


def _counts(url: str) -> dict[str, int]:
    with connect(url) as connection:
        row = connection.execute(SQL["count_rows"]).fetchone()
    if row is None:
        raise RuntimeError("a count gave no row")
    return dict(row)


async def _demand(host: str, key: str, wants: Sequence[Want], *, at_once: bool) -> list[tuple[float, dict[str, Any]]]:
    """Make demands one after the other; the time of each answer in milliseconds, and the answer."""
    answers = []
    connection = Connection(host)
    for want in wants:
        body = {
            "ticket_id": want.ticket_id,
            "sku": want.sku,
            "quantity": want.quantity,
            "needed_by": want.needed_by.isoformat(),
            "at_once": at_once,
        }
        asked = request("POST", "/v1/allocation/demands", host, status=201, body=json.dumps(body).encode(), key=key)
        began = time.perf_counter()
        answer = await connection.ask(asked)
        answers.append(((time.perf_counter() - began) * 1000, json.loads(answer)))
    await connection.close()
    return answers


def _single(answers: Sequence[tuple[float, dict[str, Any]]]) -> dict[str, Any]:
    times = [took for took, _ in answers[min(WARM_UP, len(answers) // 2) :]]
    cuts = statistics.quantiles(times, n=100, method="inclusive")
    kinds = Counter(answer["kind"] or "refused" for _, answer in answers)
    return {
        "answers": len(times),
        "p50_ms": round(cuts[49], 2),
        "p99_ms": round(cuts[98], 2),
        "max_ms": round(max(times), 2),
        "kinds": dict(kinds),
    }


def _plan(client: CareloopClient, limit_s: float, gap: float) -> dict[str, Any]:
    """Fetch, solve and hand back, as the scheduler does each night."""
    began = time.perf_counter()
    snapshot = fetch(client, now=None)
    fetched = time.perf_counter()
    solved = solve(snapshot, time_limit_s=limit_s, gap=gap)
    done = time.perf_counter()
    counts = hand_over(client, _as_plan(snapshot, solved), now=None)
    return {
        "demands": len(snapshot.demands),
        "options": sum(len(demand.options) for demand in snapshot.demands),
        "shelves": len(snapshot.shelves),
        "solver": solved.solver,
        "cost_minor": solved.cost_minor,
        "greedy_cost_minor": solved.greedy_cost_minor,
        "cost_to_greedy": round(solved.cost_minor / solved.greedy_cost_minor, 4) if solved.greedy_cost_minor else None,
        "bound_minor": solved.bound_minor,
        "gap": round(solved.gap, 5),
        "fetch_seconds": round(fetched - began, 2),
        "solve_seconds": round(done - fetched, 2),
        "apply_seconds": round(time.perf_counter() - done, 2),
        **counts,
    }


def _as_plan(snapshot: Snapshot, solved: Solved) -> PlanOfAll:
    return PlanOfAll(
        as_of=snapshot.as_of,
        solver=solved.solver,
        cost_minor=solved.cost_minor,
        greedy_cost_minor=solved.greedy_cost_minor,
        bound_minor=solved.bound_minor,
        choices=choices(snapshot, solved.plan),
    )


def _last_piece(url: str, host: str, key: str, now: datetime) -> dict[str, Any]:
    """One piece on hand in all the country, and many jobs that want it at the same moment."""
    with connect(url) as connection:
        connection.execute(SQL["make_last_piece"], {"now": now})
        jobs = connection.execute(SQL["make_rivals"], {"now": now, "rivals": RIVALS}).fetchall()
    statuses = asyncio.run(_rush(host, key, [row["job_id"] for row in jobs]))
    return {"rivals": len(jobs), "winners": statuses[201], "refused": statuses[PROBLEM]}


async def _rush(host: str, key: str, jobs: Sequence[int]) -> Counter[int]:
    ready = asyncio.Event()
    statuses: Counter[int] = Counter()

    async def one(job_id: int) -> None:
        connection = Connection(host)
        body = json.dumps({"job_id": job_id, "sku": "LAST-PIECE"}).encode()
        asked = request("POST", "/v1/parts/reservations", host, status=201, body=body, key=key)
        await ready.wait()
        statuses[await _status(connection, asked)] += 1
        await connection.close()

    async with asyncio.TaskGroup() as group:
        for job_id in jobs:
            group.create_task(one(job_id))
        ready.set()
    return statuses


async def _status(connection: Connection, asked: Asked) -> int:
    try:
        await connection.ask(asked)
    except RuntimeError as error:
        if f": {PROBLEM} instead" in str(error):
            return PROBLEM
        raise
    return asked.status


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
