"""The durable buffer: messages in SQLite until the store has confirmed them.

What `add` returned from is on disk, through kill -9 and power loss: WAL with a synced commit, one fsync a batch; not
`synced`, through kill -9 only. Deleting what was confirmed is never synced: after a power cut such a message may be
sent again, to the byte the same, and ingest knows it by its identity.

Bound: the sum of payload, topic and row overhead stays under `max_bytes`, and telemetry is kept for `max_age_s`. To
make room the oldest telemetry goes first, counted in `lost`; messages in flight are spared, as the broker may have them
already; events are never dropped, so only events can exceed the bound. The file itself may be a tenth larger (pages,
write-ahead log) and does not shrink, but re-uses its room.

In which order they are handed out, and what is merged before, stands in `buffer_lanes`.

A damaged file is set aside and a new one begun, counted; of memory and counters what can be read is carried over.

One process at a time: a second one is refused when it opens the file.
"""

import logging
import sqlite3
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

from careloop.database.queries import load_queries
from edge_agent.buffer_file import (
    Reserve,
    Transaction,
    has_free_pages,
    is_damage,
    is_no_room,
    open_file,
    set_aside,
    what_can_be_read,
)
from edge_agent.buffer_lanes import (
    ROW_OVERHEAD_BYTES,
    SEALED_AT_ONCE_BYTES,
    Depth,
    Lanes,
    Room,
    Stored,
)
from edge_agent.buffer_losses import count_loss, drop_messages, oldest, too_old
from edge_agent.packing import Message, halve

LEAST_ROOM_BYTES = 16 * 1024

_SQL = load_queries("edge_agent")

Result = TypeVar("Result")

log = logging.getLogger(__name__)


class BufferFullError(Exception):
    """The disk has no room, and dropping old telemetry did not make enough."""


class Buffer:
    """An ordered queue on disk.

    Args:
        file: The SQLite file; made when missing.
        max_bytes: The bound.
        max_age_s: Telemetry that is older is dropped.
        max_readings: Most readings in a message that is merged.
        synced: Whether what is stored must survive a power loss, too.
    """

    def __init__(
        self,
        file: Path,
        max_bytes: int,
        *,
        max_age_s: float = float("inf"),
        max_readings: int = 500,
        synced: bool = True,
    ) -> None:
        self.file = file
        self._max_bytes = max_bytes
        self._max_age_s = max_age_s
        self._synced = synced
        self.lanes = Lanes(max_readings, synced=synced)
        # Confirmed, but a full disk did not let them be deleted yet.
        self._owed: set[int] = set()
        self._reserve = Reserve(file)
        self._told_losses = 0
        try:
            self._sqlite = open_file(file)
            self._reserve.hold()
            self._read_depth()
        except sqlite3.DatabaseError as error:
            self._replace(error)
        self._first_seq = self.lanes.last + 1

    def close(self) -> None:
        """Close the file; what waits stays in it."""
        self._sqlite.close()

    def set_bounds(self, max_bytes: int, max_age_s: float, max_readings: int) -> None:
        """Hold to other bounds from the next `add` on, as in the constructor."""
        self._max_bytes = max_bytes
        self._max_age_s = max_age_s
        self.lanes.max_readings = max_readings

    @property
    def damaged_files(self) -> int:
        """How many files had to be set aside."""
        return self._counters.get("damaged_files", 0)

    def recall(self, name: str) -> str | None:
        """What was remembered under a name."""
        try:
            row = self._sqlite.execute(_SQL["recall"], (name,)).fetchone()
        except sqlite3.DatabaseError as error:
            self._replace(error)
            row = self._sqlite.execute(_SQL["recall"], (name,)).fetchone()
        return None if row is None else str(row[0])

    def add(
        self,
        messages: Sequence[Message],
        memory: Mapping[str, str] | None = None,
        *,
        now_s: float = 0.0,
        sealed: bool = True,
    ) -> None:
        """Store messages, and what is to be remembered with them, in one synced transaction.

        Args:
            messages: In the order they are to be sent.
            memory: Text by name, e.g. where a source is.
            now_s: Unix time, which their age counts from; 0 when it is not known.
            sealed: Whether they may be handed to the network as they are; else telemetry may be merged before.

        Raises:
            BufferFullError: The disk is full; nothing of this was stored.
        """
        if not messages and not memory:
            return
        batch = _Batch(messages, memory or {}, now_s, sealed)
        try:
            stored = self._try_add(batch) or self._add_to_full_disk(batch)
        except sqlite3.DatabaseError as error:
            self._replace(error)
            stored = self._try_add(batch)
        if not stored:
            raise BufferFullError(f"no room on the disk of {self.file}")

    def take_live(self, room: Room) -> list[Stored]:
        """The next messages of the live lane that are not in flight, oldest first; they are in flight from now on."""
        return self._outlast(lambda: self.lanes.take_live(self._sqlite, room, self.depth)) or []

    def take_backlog(self, room: Room, merged_bytes: int = SEALED_AT_ONCE_BYTES) -> list[Stored]:
        """The same of the backlog; what was never handed to the network is merged up to so many bytes a message."""
        return self._outlast(lambda: self.lanes.take_backlog(self._sqlite, room, self.depth, merged_bytes)) or []

    def release(self, returned: Collection[int]) -> None:
        """Put messages that were in flight back in their place."""
        self.lanes.release(returned)

    def settle(self, delivered: Collection[int]) -> None:
        """Delete what is confirmed."""
        self._delete(delivered, lost=False)

    def give_up(self, refused: Collection[int]) -> None:
        """Delete what the broker will never take, and count it as lost."""
        self._delete(refused, lost=True)

    def halve(self, too_large: Collection[int]) -> None:
        """Put two messages of half the readings each in place of one; what cannot be parted is given up.

        The broker took nothing of it, so nobody has it, and its parts are not the same readings again.
        """
        # None: a full disk took nothing; it stays in flight, until the next start tries again.
        self.give_up([seq for seq in too_large if self._outlast(partial(self._halve, seq)) is False])

    def expire(self, now_s: float) -> None:
        """Drop telemetry that is older than the bound; called now and then."""
        self._reserve.hold()

        def drop() -> None:
            chosen = too_old(self._sqlite, now_s - self._max_age_s, spared=self.lanes.in_flight)
            if chosen:
                with Transaction(self._sqlite, synced=False):
                    lost = drop_messages(self._sqlite, chosen)
                self._note_loss(self.depth, lost, "too old")

        self._outlast(drop)

    def oldest_s(self) -> float | None:
        """When the message that waits longest was stored, Unix time; None when none does or that is not known."""
        row = self._outlast(lambda: self._sqlite.execute(_SQL["oldest_stored"]).fetchone())
        return float(row[0]) if row and row[0] else None

    def shift_clock(self, seconds: float) -> None:
        """The device's clock was set: what this process stored is as old as before."""

        def shift() -> None:
            with Transaction(self._sqlite, synced=False):
                self._sqlite.execute(_SQL["shift_stored"], (seconds, self._first_seq))

        self._outlast(shift)

    def _read_depth(self) -> None:
        self.depth = Depth(*self._sqlite.execute(_SQL["depth"]).fetchone())
        self._counters: dict[str, int] = dict(self._sqlite.execute(_SQL["counters"]).fetchall())
        self.lost = Depth(
            self._counters.get("lost_messages", 0),
            self._counters.get("lost_readings", 0),
        )
        self.lanes.last = max(self.lanes.last, *self._sqlite.execute(_SQL["last_seq"]).fetchone())

    def _replace(self, error: sqlite3.DatabaseError) -> None:
        """Set a damaged file aside and begin a new one; any other error is raised."""
        if not is_damage(error):
            raise error
        known = getattr(self, "depth", Depth())
        if hasattr(self, "_sqlite"):
            self._sqlite.close()
        memory, counters = what_can_be_read(self.file)
        lost = {
            "lost_messages": known.messages,
            "lost_readings": known.readings,
            "damaged_files": 1,
        }
        set_aside(self.file, error)
        self._sqlite = open_file(self.file)
        with Transaction(self._sqlite, synced=True):
            # Numbers of messages that are still on the wire must not mean others.
            self._sqlite.execute(_SQL["continue_after_seq"], (self.lanes.last,))
            for name, text in memory.items():
                self._sqlite.execute(_SQL["remember"], (name, text))
            for counts in (counters, lost):
                for name, value in counts.items():
                    self._sqlite.execute(_SQL["count_up"], (name, value))
        self.lanes.in_flight.clear()
        self._owed.clear()
        self._read_depth()

    def _outlast(self, work: Callable[[], Result]) -> Result | None:
        """Do what can also be done later, or without; on a full disk with the reserve, for deleting writes, too."""
        try:
            return work()
        except sqlite3.DatabaseError as error:
            if not is_no_room(error):
                self._replace(error)
                return None
        self._reserve.spend(self._sqlite)
        try:
            return work()
        except sqlite3.DatabaseError as error:
            if not is_no_room(error):
                raise
            log.warning("the disk of the buffer %s takes nothing (%s)", self.file, error)
            return None
        finally:
            self._reserve.hold()

    def _add_to_full_disk(self, batch: "_Batch") -> bool:
        """Drop old telemetry until there is room; whether there was enough."""
        self._reserve.spend(self._sqlite)
        try:
            # What was dropped before may have left room inside the file that only the log had no room to use.
            if has_free_pages(self._sqlite, LEAST_ROOM_BYTES) and self._try_add(batch):
                return True
            # Rows share pages, and only whole pages come free: ask for more until it is enough or nothing is left.
            wanted_bytes = LEAST_ROOM_BYTES
            while self._make_room(wanted_bytes):
                if self._try_add(batch):
                    return True
                wanted_bytes *= 4
            return False
        finally:
            self._reserve.hold()

    def _try_add(self, batch: "_Batch") -> bool:
        """Whether the disk had room."""
        depth, lost = Depth(**vars(self.depth)), Depth()
        try:
            with Transaction(self._sqlite, synced=self._synced):
                last_seq = self._insert(batch, depth)
                if depth.size_bytes > self._max_bytes:
                    lost = self._drop_oldest(depth.size_bytes - self._max_bytes)
        except sqlite3.OperationalError as error:
            if not is_no_room(error):
                raise
            return False
        self.lanes.last = max(self.lanes.last, last_seq)
        self._note_loss(depth, lost, "buffer full")
        return True

    def _insert(self, batch: "_Batch", depth: Depth) -> int:
        last_seq, insert = 0, _SQL["add_message"]
        for kind, topic, content_type, payload, readings in batch.messages:
            size = len(payload) + len(topic) + ROW_OVERHEAD_BYTES
            row = (kind, topic, content_type, payload, readings, size, batch.now_s, batch.sealed)
            last_seq = self._sqlite.execute(insert, row).lastrowid or 0
            depth.messages += 1
            depth.readings += readings
            depth.size_bytes += size
        for name, text in batch.memory.items():
            self._sqlite.execute(_SQL["remember"], (name, text))
        return last_seq

    def _halve(self, seq: int) -> bool:
        """Whether it could be parted."""
        found = self._sqlite.execute(_SQL["whole_message"], (seq,)).fetchone()
        parts = halve(Message(*found[:-1])) if found else []
        if not parts:
            return False
        depth = Depth(**vars(self.depth))
        with Transaction(self._sqlite, synced=self._synced):
            size_bytes, readings = self._sqlite.execute(_SQL["size_of_message"], (seq,)).fetchone()
            self._sqlite.execute(_SQL["delete_message"], (seq,))
            last_seq = self._insert(_Batch(parts, {}, found[-1], sealed=True), depth)
        self.lanes.last = max(self.lanes.last, last_seq)
        self.lanes.in_flight.discard(seq)
        self.depth = _less(depth, Depth(1, readings, size_bytes))
        return True

    def _make_room(self, wanted_bytes: int) -> bool:
        """On a full disk: drop old telemetry; whether there was any, and room to note that it went."""
        try:
            with Transaction(self._sqlite, synced=False):
                lost = self._drop_oldest(wanted_bytes)
        except sqlite3.OperationalError as error:
            if not is_no_room(error):
                raise
            return False
        self._note_loss(Depth(**vars(self.depth)), lost, "disk full")
        return lost.messages > 0

    def _drop_oldest(self, wanted_bytes: int) -> Depth:
        """Drop the oldest telemetry until so many bytes are free; inside a transaction."""
        return drop_messages(self._sqlite, oldest(self._sqlite, wanted_bytes, spared=self.lanes.in_flight))

    def _note_loss(self, depth: Depth, lost: Depth, why: str) -> None:
        """After the transaction: what was in it is true now."""
        self.depth = _less(depth, lost)
        if lost.messages:
            self.lost = Depth(self.lost.messages + lost.messages, self.lost.readings + lost.readings)
            # Not every time, for a full buffer drops with every message that comes.
            if self.lost.messages >= 2 * self._told_losses:
                self._told_losses = self.lost.messages
                log.warning(
                    "%s: the oldest telemetry is dropped; %d messages (%d readings) are lost by now",
                    why, self.lost.messages, self.lost.readings,
                )  # fmt: skip

    def _delete(self, seqs: Collection[int], *, lost: bool) -> None:
        # What a full disk did not let us delete stays in flight, so that it is not sent again, and is deleted later.
        self._owed.update(seqs)
        if not self._owed:
            return
        gone = self._outlast(lambda: self._delete_owed(lost=lost))
        if gone is None:
            return
        self.lanes.in_flight.difference_update(self._owed)
        self._owed.clear()
        self.depth = _less(self.depth, gone)
        if lost:
            self.lost = Depth(self.lost.messages + gone.messages, self.lost.readings + gone.readings)

    def _delete_owed(self, *, lost: bool) -> Depth:
        gone = Depth()
        with Transaction(self._sqlite, synced=False):
            for seq in self._owed:
                if found := self._sqlite.execute(_SQL["size_of_message"], (seq,)).fetchone():
                    self._sqlite.execute(_SQL["delete_message"], (seq,))
                    gone.messages += 1
                    gone.size_bytes += found[0]
                    gone.readings += found[1]
            if lost:
                count_loss(self._sqlite, gone)
        return gone


class _Batch(NamedTuple):
    """What one transaction adds."""

    messages: Sequence[Message]
    memory: Mapping[str, str]
    now_s: float
    sealed: bool


def _less(depth: Depth, gone: Depth) -> Depth:
    return Depth(
        depth.messages - gone.messages,
        depth.readings - gone.readings,
        depth.size_bytes - gone.size_bytes,
    )
