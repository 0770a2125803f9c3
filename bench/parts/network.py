"""A parts network as large as a country's, made up by hashes of numbers and loaded through the ledger itself.

Four central warehouses have most parts, partners a few pieces of some; the ledger tells how each balance came about by
receipts and consumption over two years. Cases want few parts often and most of them hardly ever.
"""

import random
import sys
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from psycopg import Connection
from psycopg.rows import DictRow

from careloop.database.engine import connect
from careloop.database.queries import load_queries

SQL = load_queries("bench.parts")
NETWORK = (
    "make_providers",
    "make_warehouses",
    "make_lanes",
    "make_parts",
    "make_alternatives",
    "make_suppliers",
    "make_supplier_parts",
    "set_currency",
)
CASES = ("make_model", "make_customers", "make_sites", "make_assets", "make_tickets")

CENTRALS = 4
PLACES_PER_PART = 8
# Parts per statement: the ledger's trigger adds up a statement at a time.
CHUNK = 3_000
# How wide the country is, in degrees.
SPAN = 20.0
SKEW = 4
SKU = "P-{:05d}"


@dataclass(frozen=True)
class Size:
    """How many of what."""

    warehouses: int
    parts: int
    movements: int
    demands: int


@dataclass(frozen=True)
class Want:
    """A demand to be made."""

    ticket_id: int
    sku: str
    quantity: int
    needed_by: datetime


def load(url: str, size: Size, now: datetime, seed: int) -> None:
    """Fill a migrated database."""
    values = {
        "warehouses": size.warehouses,
        "parts": size.parts,
        "centrals": CENTRALS,
        "places": PLACES_PER_PART,
        "now": now,
        "span": SPAN,
        "seed": seed,
        "demands": size.demands,
    }
    with connect(url) as connection:
        for name in NETWORK:
            connection.execute(SQL[name], values)
        _tell("warehouses, lanes, parts and suppliers loaded")
        _ledger(connection, size, values)
        for name in CASES:
            connection.execute(SQL[name], values)
        connection.execute("VACUUM ANALYZE")


def wants(url: str, size: Size, now: datetime, seed: int) -> list[Want]:
    """The demands, in the order in which they come up."""
    chance = random.Random(seed)  # noqa: S311 - picks parts, keeps nothing secret
    with connect(url) as connection:
        rows = connection.execute("SELECT ticket_id FROM service.ticket ORDER BY ticket_id").fetchall()
    numbers = [row["ticket_id"] for row in rows]
    return [
        Want(
            ticket_id=numbers[place],
            sku=SKU.format(1 + int(size.parts * chance.random() ** SKEW)),
            quantity=chance.choice((1, 1, 1, 2)),
            needed_by=now + timedelta(days=chance.randint(1, 14)),
        )
        for place in range(size.demands)
    ]


def _ledger(connection: Connection[DictRow], size: Size, values: dict[str, Any]) -> None:
    """Per part and place a receipt, then pieces used one by one; some get one more, to make up the number."""
    each, more = divmod(size.movements, size.parts * PLACES_PER_PART)
    for first in range(1, size.parts + 1, CHUNK):
        last = min(first + CHUNK - 1, size.parts)
        chunk = {"each": each, "more": more, "first": first, "last": last}
        connection.execute(SQL["make_movements"], {**values, **chunk})
        _tell(f"movements of {last:,} parts loaded")


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
