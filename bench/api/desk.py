"""A large service organisation's desk, made up by a seed and loaded by COPY.

Customers own between one and a few dozen machines; a machine has between no and two dozen cases, most of them ended
years ago; words repeat as they do at a desk, in three languages. Triggers rest while it is loaded (a superuser may say
so), so what they would have written (search words, the change feed) is written here by the same functions or rows.
"""

import json
import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from psycopg import Connection, sql
from psycopg.rows import DictRow

from careloop.database.engine import connect

KINDS = ("pressure_washer", "scrubber", "robot_vacuum", "water_heater", "washing_machine")
MODELS_OF_A_KIND = 4
COMPONENTS = ("pump", "motor", "valve", "controller", "seal", "heater")
PROVIDERS = 200
TECHNICIANS = 800
QUEUES = ("desk", "field", "workshop", "complaints")
STATES = ("closed", "open", "waiting_customer", "scheduled", "in_progress", "resolved", "cancelled")
STATE_WEIGHTS = (900, 30, 10, 15, 10, 20, 15)
TICKET_KINDS = ("repair", "preventive", "consultation", "complaint", "installation")
KIND_WEIGHTS = (60, 20, 10, 5, 5)
PRIORITIES = ("normal", "high", "low", "urgent")
PRIORITY_WEIGHTS = (80, 12, 5, 3)
WHAT = (
    "pump",
    "motor",
    "hose",
    "valve",
    "display",
    "battery",
    "Düse",
    "Heizung",
    "Dichtung",
    "水泵",
    "电机",
    "加热器",
    "喷嘴",
)
HOW = (
    "leaks",
    "makes noise",
    "does not start",
    "stops suddenly",
    "loses pressure",
    "undicht",
    "läuft heiß",
    "漏水",
    "不启动",
    "噪音大",
)
MORE = ("since yesterday", "after the last visit", "in the basement", "again", "beim Hochdruck", "nach dem Winter",
        "客户要求尽快上门", "已更换密封圈",
        "under load", "with error E21", "in eco mode", "as told by phone")  # fmt: skip
NAMES = (
    "Müller",
    "Schmidt",
    "Wang",
    "Li",
    "Zhang",
    "Dupont",
    "Rossi",
    "Novak",
    "Hansen",
    "Okafor",
    "王伟",
    "李娜",
    "张敏",
)
# The oldest case is so many days old.
YEARS_BACK_DAYS = 5 * 365
CHUNK = 20_000


@dataclass(frozen=True)
class Size:
    """How many of what."""

    customers: int
    assets: int
    tickets: int


def load(url: str, size: Size, now: datetime, seed: int) -> None:
    """Fill a migrated, empty database.

    Args:
        url: Of a superuser, who may let triggers rest.
        size: How many of what.
        now: The newest case is from just before.
        seed: The same seed and time give the same desk.
    """
    chance = random.Random(seed)  # noqa: S311 - makes up cases, keeps nothing secret
    with connect(url, options="-c synchronous_commit=off -c session_replication_role=replica") as connection:
        _catalogue(connection, now)
        _customers(connection, size, now, chance)
        owners = _assets(connection, size, now, chance)
        _promises(connection)
        _tickets(connection, size, owners, now, chance)
        _clocks(connection)
        _feed(connection)
        _sequences(connection)
    with connect(url, options="-c synchronous_commit=off") as connection:
        for first in range(1, size.tickets + 1, CHUNK * 5):
            connection.execute("SELECT service.index_tickets(%s, %s)", (first, first + CHUNK * 5 - 1))
            _tell(f"{min(first + CHUNK * 5 - 1, size.tickets):,} tickets indexed")
        connection.execute("VACUUM ANALYZE")
        connection.execute("CHECKPOINT")


def serial(number: int) -> str:
    """The serial number of the n-th machine, from 1."""
    return f"D{number:07d}"


def question(chance: random.Random) -> str:
    """Words that somebody looks for: two of those that titles are made of."""
    return f"{chance.choice(WHAT)} {chance.choice(HOW)}"


def _catalogue(connection: Connection[DictRow], now: datetime) -> None:
    models = [(f"{kind}-{n}", f"{kind} {n}", kind) for kind in KINDS for n in range(MODELS_OF_A_KIND)]
    _copy(connection, "product_model", ("code", "name", "kind"), models)
    numbers = range(1, len(models) + 1)
    _copy(connection, "component", ("model_id", "name"), [(model, name) for model in numbers for name in COMPONENTS])
    providers = [(f"P{n:03d}", f"Service partner {n}", now) for n in range(1, PROVIDERS + 1)]
    _copy(connection, "provider", ("code", "name", "created_at"), providers)
    technicians = [
        (f"Technician {n}", 1 + n % PROVIDERS, "{general}", f"{{T{n % 40}}}") for n in range(1, TECHNICIANS + 1)
    ]
    _copy(connection, "technician", ("name", "provider_id", "skills", "territories"), technicians)


def _promises(connection: Connection[DictRow]) -> None:
    """A service level for all cases, by a calendar of working days."""
    week = json.dumps([[[480, 1080]]] * 5 + [[], []])
    connection.execute(
        "INSERT INTO service.calendar (code, name, time_zone, week, created_at) VALUES "
        "('desk', 'Desk', 'Europe/Berlin', %s, now())",
        (week,),
    )
    connection.execute(
        "INSERT INTO service.sla_policy (name, place, calendar_id, first_response_minutes, appointment_minutes, "
        "solution_minutes) SELECT 'all', 1, calendar_id, 60, 480, 1440 FROM service.calendar"
    )


def _clocks(connection: Connection[DictRow]) -> None:
    """The clocks of cases that are not over, and of a tenth of the others."""
    connection.execute(
        "INSERT INTO service.ticket_clock (ticket_id, kind, policy_id, calendar_id, calendar_version, target_minutes, "
        "warn_percent, started_at, stopped_at, due_at, warn_at) "
        "SELECT t.ticket_id, k.kind, 1, 1, 1, k.minutes, 80, t.opened_at, t.closed_at, "
        "t.opened_at + k.minutes * interval '4 minutes', t.opened_at + k.minutes * interval '3 minutes' "
        "FROM service.ticket t, (VALUES ('first_response', 60), ('solution', 1440)) AS k (kind, minutes) "
        "WHERE t.closed_at IS NULL OR t.ticket_id % 10 = 0"
    )


def _customers(connection: Connection[DictRow], size: Size, now: datetime, chance: random.Random) -> None:
    numbers = range(1, size.customers + 1)
    names = [f"{chance.choice(NAMES)} {chance.choice(NAMES)} {n}" for n in numbers]
    kinds = ["business" if chance.random() < 0.2 else "consumer" for _ in numbers]
    _copy(
        connection, "customer", ("name", "kind", "created_at"), [(*one, now) for one in zip(names, kinds, strict=True)]
    )
    sites = [(n, f"Site {n}", f"T{n % 40}") for n in numbers]
    _copy(connection, "site", ("customer_id", "name", "territory"), sites)
    contacts = [(n, names[n - 1], f"+49151{n:08d}", f"c{n}@example.com", now) for n in numbers]
    _copy(connection, "contact", ("customer_id", "name", "phone", "email", "created_at"), contacts)


def _assets(connection: Connection[DictRow], size: Size, now: datetime, chance: random.Random) -> list[int]:
    """Load the machines, and return each one's owner."""
    models = len(KINDS) * MODELS_OF_A_KIND
    owners = [1 + int(size.customers * chance.random() ** 2) for _ in range(size.assets)]

    def rows() -> Iterator[Sequence[Any]]:
        for n, owner in enumerate(owners, 1):
            installed = now - timedelta(days=chance.randrange(30, YEARS_BACK_DAYS))
            yield serial(n), 1 + n % models, owner, owner, installed, installed, f"B{n % 500:03d}"

    columns = ("serial", "model_id", "site_id", "customer_id", "installed_at", "created_at", "batch")
    _copy(connection, "asset", columns, rows())
    connection.execute(
        "INSERT INTO service.asset_owner (asset_id, customer_id, site_id, from_at, reason, recorded_by, recorded_at) "
        "SELECT asset_id, customer_id, site_id, installed_at, 'registered', 'bench', created_at FROM service.asset"
    )
    connection.execute(
        "INSERT INTO service.warranty_term (asset_id, name, starts_on, ends_on) SELECT asset_id, 'standard', "
        "installed_at::date, (installed_at + interval '2 years')::date FROM service.asset"
    )
    return owners


def _tickets(
    connection: Connection[DictRow], size: Size, owners: Sequence[int], now: datetime, chance: random.Random
) -> None:
    """Load cases in the order of time, with their history, jobs, visits and changes of state."""
    began = now - timedelta(days=YEARS_BACK_DAYS)
    step = timedelta(days=YEARS_BACK_DAYS) / (size.tickets + 1)
    for first in range(1, size.tickets + 1, CHUNK):
        tickets, events, jobs = [], [], []
        changes: list[tuple[Any, ...]] = []
        for n in range(first, min(first + CHUNK, size.tickets + 1)):
            asset = 1 + int(len(owners) * chance.random())
            opened = began + n * step
            recent = now - opened < timedelta(days=60)
            state = chance.choices(STATES, STATE_WEIGHTS)[0] if recent or chance.random() < 0.02 else "closed"
            ended = (
                opened + timedelta(days=chance.uniform(0.1, 20))
                if state in {"closed", "resolved", "cancelled"}
                else None
            )
            kind = chance.choices(TICKET_KINDS, KIND_WEIGHTS)[0]
            what = chance.choice(WHAT)
            provider = 1 + chance.randrange(PROVIDERS) if chance.random() < 0.6 else None
            tickets.append((
                n, kind, state, chance.choices(PRIORITIES, PRIORITY_WEIGHTS)[0], asset, chance.choice(COMPONENTS), "",
                f"{what} {chance.choice(HOW)} {n % 977}", " ".join(chance.choices(MORE, k=4)), "bench", opened,
                opened + timedelta(days=3), min(ended, now) if ended else None, owners[asset - 1], provider,
                chance.choice(QUEUES), ended or opened,
            ))  # fmt: skip
            events.append((n, opened, "bench", "opened", json.dumps({"kind": kind})))
            changes.append((opened, "bench", "ticket", str(n), n, asset, owners[asset - 1], provider, None, "open"))
            if state != "open":
                at = ended or opened
                events.append((n, at, "bench", "state", json.dumps({"from": "open", "to": state})))
                changes.append((at, "bench", "ticket", str(n), n, asset, owners[asset - 1], provider, "open", state))
            if kind in {"repair", "preventive"} and state == "closed" and n % 3 == 0:
                jobs.append((asset, n, "completed", opened, ended))
        _copy(connection, "ticket", TICKET, tickets)
        _copy(connection, "ticket_event", ("ticket_id", "at", "actor", "kind", "detail"), events)
        _copy(connection, "change", CHANGE, changes)
        _copy(connection, "job", JOB, [(a, t, s, "general", 60, o, e, "confirmed") for a, t, s, o, e in jobs])
        if (first // CHUNK) % 10 == 0:
            _tell(f"{first + len(tickets) - 1:,} tickets loaded")
    connection.execute(
        "INSERT INTO service.visit (job_id, technician_id, starts_at, ends_at, state, dispatched_at) "
        "SELECT job_id, 1 + job_id %% %s, completed_at - interval '2 hours', completed_at, 'completed', created_at "
        "FROM service.job",
        (TECHNICIANS,),
    )


TICKET = (
    "ticket_id", "kind", "state", "priority", "asset_id", "component", "cause", "title", "description", "raised_by",
    "opened_at", "due_by", "closed_at", "customer_id", "provider_id", "queue", "updated_at",
)  # fmt: skip
CHANGE = (
    "at", "actor", "thing", "thing_key", "ticket_id", "asset_id", "customer_id", "provider_id", "from_state",
    "to_state",
)  # fmt: skip
JOB = ("asset_id", "ticket_id", "state", "skill", "labour_minutes", "created_at", "completed_at", "outcome")


def _copy(
    connection: Connection[DictRow], table: str, columns: Sequence[str], rows: Iterator[Sequence[Any]] | Sequence[Any]
) -> None:
    statement = sql.SQL("COPY service.{} ({}) FROM STDIN").format(
        sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, columns))
    )
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row(row)


def _feed(connection: Connection[DictRow]) -> None:
    """Give all changes their places in the feed, as the API would have done day by day."""
    connection.execute("INSERT INTO service.feed (change_id) SELECT change_id FROM service.change ORDER BY change_id")
    connection.execute(
        "UPDATE service.feed_mark SET settled_id = last.change_id, next_id = last.change_id "
        "FROM (SELECT coalesce(max(change_id), 0) AS change_id FROM service.change) last"
    )


def _sequences(connection: Connection[DictRow]) -> None:
    """Numbers that were given here are not given again."""
    connection.execute("SELECT setval('service.ticket_ticket_id_seq', (SELECT max(ticket_id) FROM service.ticket))")


def today(now: datetime) -> date:
    """The day in UTC."""
    return now.astimezone(UTC).date()


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
