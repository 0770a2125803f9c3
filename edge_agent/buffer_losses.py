"""What a buffer gives up, and in which order: the oldest telemetry first, events never."""

import sqlite3
from collections.abc import Collection, Sequence

from careloop.database.queries import load_queries
from edge_agent.buffer_lanes import Depth

# A stamp from before 2020 is that of a device whose clock was not set yet: it says nothing about age.
PLAUSIBLE_FROM_S = 1577836800.0

# Place, size in bytes and readings of a message.
Chosen = tuple[int, int, int]

_SQL = load_queries("edge_agent")


def oldest(sqlite: sqlite3.Connection, wanted_bytes: int, *, spared: Collection[int]) -> list[Chosen]:
    """The oldest telemetry that makes up so many bytes, or all there is."""
    chosen: list[Chosen] = []
    after = size_bytes = 0
    while size_bytes < wanted_bytes:
        rows = sqlite.execute(_SQL["oldest_telemetry"], (after,)).fetchall()
        if not rows:
            break
        for seq, size, readings, _ in rows:
            after = seq
            if seq in spared:
                continue
            chosen.append((seq, size, readings))
            size_bytes += size
            if size_bytes >= wanted_bytes:
                break
    return chosen


def too_old(sqlite: sqlite3.Connection, before_s: float, *, spared: Collection[int]) -> list[Chosen]:
    """Telemetry that was stored before a Unix time; what nobody knows the age of is not too old."""
    chosen: list[Chosen] = []
    after = 0
    while rows := sqlite.execute(_SQL["oldest_telemetry"], (after,)).fetchall():
        after = rows[-1][0]
        stamped = [row for row in rows if row[3] >= PLAUSIBLE_FROM_S]
        old = [row for row in stamped if row[3] < before_s]
        chosen += [row[:3] for row in old if row[0] not in spared]
        if len(old) < len(stamped):
            break
    return chosen


def drop_messages(sqlite: sqlite3.Connection, chosen: Sequence[Chosen]) -> Depth:
    """Delete messages and count them as lost; inside a transaction."""
    for seq, _, _ in chosen:
        sqlite.execute(_SQL["delete_message"], (seq,))
    lost = Depth(len(chosen), sum(row[2] for row in chosen), sum(row[1] for row in chosen))
    count_loss(sqlite, lost)
    return lost


def count_loss(sqlite: sqlite3.Connection, lost: Depth) -> None:
    """Remember on disk what was lost; inside a transaction."""
    if lost.messages:
        sqlite.execute(_SQL["count_up"], ("lost_messages", lost.messages))
        sqlite.execute(_SQL["count_up"], ("lost_readings", lost.readings))
