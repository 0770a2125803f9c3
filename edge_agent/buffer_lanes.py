"""The order in which buffered messages are handed out: a live lane beside a backlog, each in its own order.

What was stored since `part` is the live lane, what lies before it the backlog; whoever takes decides how they share the
link. Telemetry that was never handed to the network is merged into larger messages when it is about to be. `sealed`
says on disk, before the network sees it, that a message must stay as it is to the byte, for its identity is made of its
bytes.
"""

import sqlite3
from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple

from careloop.database.queries import load_queries
from edge_agent.buffer_file import Transaction
from edge_agent.packing import Message, merge

ROW_OVERHEAD_BYTES = 64
# So much of the backlog is sealed in one synced transaction, which must find room on a full disk, too.
SEALED_AT_ONCE_BYTES = 128 * 1024

_SQL = load_queries("edge_agent")


@dataclass
class Depth:
    """How much waits, or was lost.

    Attributes:
        messages: Messages.
        readings: Readings in them.
        size_bytes: Bytes, with row overhead; 0 where only losses are counted.
    """

    messages: int = 0
    readings: int = 0
    size_bytes: int = 0


class Stored(NamedTuple):
    """A buffered message, as it goes on the wire."""

    seq: int
    topic: str
    content_type: str
    payload: bytes
    readings: int

    @property
    def size_bytes(self) -> int:
        """What it takes on the wire, about."""
        return len(self.payload) + len(self.topic) + ROW_OVERHEAD_BYTES


class Room(NamedTuple):
    """How much may be taken: so many messages, of so many bytes together.

    Attributes:
        messages: Most messages.
        size_bytes: Most bytes.
        first_may_be_larger: Whether one message is taken also when it alone is more than that.
    """

    messages: int
    size_bytes: int
    first_may_be_larger: bool = True


class Lanes:
    """Cursors over the messages of one file.

    Args:
        max_readings: Most readings in a message that is merged.
        synced: Whether sealing must survive a power loss, too.

    Attributes:
        in_flight: Places of the messages that were taken and neither deleted nor released.
        last: Place of the newest message.
    """

    def __init__(self, max_readings: int, *, synced: bool) -> None:
        self.in_flight: set[int] = set()
        self.last = 0
        self.max_readings = max_readings
        self._synced = synced
        self._backlog_cursor = self._live_cursor = 0
        self._live_from = 0

    @property
    def live_is_behind(self) -> bool:
        """Whether messages of the live lane wait to be taken."""
        return self._live_cursor < self.last

    @property
    def has_backlog(self) -> bool:
        """Whether messages of the backlog wait to be taken."""
        return self._backlog_cursor < self._live_from - 1

    def part(self) -> None:
        """Make everything stored so far the backlog, so that what is stored from now on need not wait for it."""
        if not self.has_backlog:
            self._backlog_cursor = self._live_cursor
        self._live_from = self.last + 1
        self._live_cursor = self.last

    def release(self, returned: Collection[int]) -> None:
        """Put messages that were in flight back in their place."""
        self.in_flight.difference_update(returned)
        backlog = [seq for seq in returned if seq < self._live_from]
        live = [seq for seq in returned if seq >= self._live_from]
        self._backlog_cursor = min(self._backlog_cursor, min(backlog, default=self.last + 1) - 1)
        self._live_cursor = min(self._live_cursor, min(live, default=self.last + 1) - 1)

    def take_live(self, sqlite: sqlite3.Connection, room: Room, depth: Depth) -> list[Stored]:
        """The next messages of the live lane that are not in flight, oldest first."""
        if not self.live_is_behind:
            return []
        start = max(self._live_cursor, self._live_from - 1)
        taken, self._live_cursor = self._take(sqlite, _Stretch(start, self.last + 1), room, depth)
        return taken

    def take_backlog(self, sqlite: sqlite3.Connection, room: Room, depth: Depth, merged_bytes: int) -> list[Stored]:
        """The same of the backlog; messages are merged up to `merged_bytes`, and `depth` is brought up to date."""
        if not self.has_backlog:
            return []
        stretch = _Stretch(self._backlog_cursor, self._live_from)
        taken, self._backlog_cursor = self._take(sqlite, stretch, room, depth, merged_bytes)
        return taken

    def _take(
        self, sqlite: sqlite3.Connection, stretch: "_Stretch", room: Room, depth: Depth,
        merged_bytes: int = SEALED_AT_ONCE_BYTES,
    ) -> tuple[list[Stored], int]:  # fmt: skip
        """Messages after a cursor and before an end, and the cursor after them."""
        taken: list[Stored] = []
        cursor, end = stretch
        free_bytes = room.size_bytes
        while len(taken) < room.messages:
            unsealed = False
            rows = sqlite.execute(_SQL["next_messages"], (cursor, end))
            for *wire, sealed in rows:
                stored = Stored(*wire)
                if stored.seq not in self.in_flight:
                    if not sealed:
                        unsealed = True
                        break
                    if len(taken) == room.messages or (
                        stored.size_bytes > free_bytes and (taken or not room.first_may_be_larger)
                    ):
                        break
                    free_bytes -= stored.size_bytes
                    taken.append(stored)
                cursor = stored.seq
            else:
                cursor = end - 1
            rows.close()
            if not unsealed:
                break
            self._seal(sqlite, _Stretch(cursor, end), depth, merged_bytes)
        self.in_flight.update(stored.seq for stored in taken)
        return taken, cursor

    def _seal(
        self,
        sqlite: sqlite3.Connection,
        stretch: "_Stretch",
        depth: Depth,
        merged_bytes: int,
    ) -> None:
        """Merge the next messages that were never handed to the network, and note on disk that they now may be."""
        rows: list[tuple[int, Message]] = []
        size = 0
        found = sqlite.execute(_SQL["next_unsealed"], stretch)
        for seq, *fields in found:
            rows.append((seq, Message(*fields)))
            size += len(rows[-1][1].payload) + len(rows[-1][1].topic) + ROW_OVERHEAD_BYTES
            if size >= SEALED_AT_ONCE_BYTES:
                break
        found.close()
        saved = Depth()
        with Transaction(sqlite, synced=self._synced):
            for seqs, message in merge(rows, self.max_readings, merged_bytes):
                if len(seqs) == 1:
                    sqlite.execute(_SQL["seal_message"], seqs)
                    continue
                for seq in seqs:
                    saved.size_bytes += sqlite.execute(_SQL["size_of_message"], (seq,)).fetchone()[0]
                for seq in seqs[1:]:
                    sqlite.execute(_SQL["delete_message"], (seq,))
                size = len(message.payload) + len(message.topic) + ROW_OVERHEAD_BYTES
                sqlite.execute(
                    _SQL["merge_message"],
                    (message.payload, message.readings, size, seqs[0]),
                )
                saved.messages += len(seqs) - 1
                saved.size_bytes -= size
        depth.messages -= saved.messages
        depth.size_bytes -= saved.size_bytes


class _Stretch(NamedTuple):
    """Places after a cursor and before an end."""

    cursor: int
    end: int
