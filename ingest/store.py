"""One transaction for a batch of messages: identities, readings, events, states, dead letters, progress.

The identities go in first, `ON CONFLICT DO NOTHING RETURNING`; only messages whose identity came back are stored. So a
message delivered again, to whichever worker, changes nothing. Every transaction touches tables in the same order and
rows in the order of their keys, so workers wait for one another but never in a circle.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from operator import attrgetter
from typing import Any, Self
from uuid import UUID

import orjson
import psycopg
from psycopg import Connection
from psycopg.rows import DictRow

from careloop.contract.messages import AgentState, Event
from careloop.database.queries import load_queries
from ingest.arrays import BigintArray, IntegerArray, TimestampArray, UuidArray, register
from ingest.delivery import Announcement, Delivery
from ingest.rows import Packed
from ingest.validate import Problem

_BY_ASSET = attrgetter("asset_id")
_COPY_HEAD = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_COPY_END = b"\xff\xff"
_IDENTITY_BYTES = 16
_EPOCH_DAY = date(1970, 1, 1)
_LONGEST_DETAIL = 1000
_LONGEST_CONTENT_TYPE = 200


@dataclass(slots=True)
class Message:
    """A message ready to be stored.

    Attributes:
        delivery: As it came.
        identity: What makes it count once.
        asset_id: The asset it is from.
        packed: Its readings.
        events: Its events.
        problems: Reasons why some of it could not be stored.
        span_us: Times of its earliest and latest reading or event, in microseconds since 1970; None without any.
    """

    delivery: Delivery
    identity: UUID
    asset_id: int
    packed: Packed
    events: list[Event] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    span_us: tuple[int, int] | None = field(init=False)

    def __post_init__(self) -> None:
        self.span_us = self.packed.span_us
        if self.events:
            times_us = [*(self.span_us or ()), *(round(event.time.timestamp() * 1e6) for event in self.events)]
            self.span_us = min(times_us), max(times_us)


@dataclass(frozen=True, slots=True)
class StateChange:
    """The state that an agent reports, of an asset or of a gateway; the latest one counts."""

    delivery: Delivery
    agent_id: str
    state: AgentState


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """Why a message, or part of it, could not be stored.

    Attributes:
        delivery: As it came.
        identity: Of the message.
        problem: The reason and its detail.
    """

    delivery: Delivery
    identity: UUID
    problem: Problem

    @property
    def counts(self) -> bool:
        """Whether its message is counted as delivered; states are not, since a broker sends retained ones again."""
        return not self.delivery.topic.endswith("/state")


@dataclass(slots=True)
class Batch:
    """What goes into one transaction.

    Attributes:
        messages: Messages of known assets.
        states: State changes.
        dead_letters: Messages of which nothing can be stored.
        announcements: What devices announced of their later messages.
    """

    messages: list[Message] = field(default_factory=list)
    states: list[StateChange] = field(default_factory=list)
    dead_letters: list[DeadLetter] = field(default_factory=list)
    announcements: list[Announcement] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Stored:
    """What a transaction changed; the sum of `messages` and `duplicates` is what was given, but for states."""

    messages: int = 0
    duplicates: int = 0
    readings: int = 0
    events: int = 0
    dead_letters: int = 0

    def __add__(self, other: Self) -> "Stored":
        return Stored(
            self.messages + other.messages,
            self.duplicates + other.duplicates,
            self.readings + other.readings,
            self.events + other.events,
            self.dead_letters + other.dead_letters,
        )


class Store:
    """Writes batches over one connection.

    Args:
        connection: In autocommit mode.
        worker: Whose row of `telemetry.ingest_progress` counts.
    """

    def __init__(self, connection: Connection[DictRow], worker: str) -> None:
        self._connection = connection
        register(connection)
        self._worker = worker
        self._queries = load_queries("ingest")
        self._days: set[int] = set()

    def save(self, batch: Batch, now: datetime) -> Stored:
        """Store a batch, all or nothing, and commit.

        Raises:
            psycopg.Error: Nothing was stored.
        """
        try:
            return self._in_transaction(batch, now)
        except psycopg.errors.CheckViolation:
            # Retention dropped a day's partition that we remember: ask for every day again.
            self._days.clear()
            return self._in_transaction(batch, now)

    def _in_transaction(self, batch: Batch, now: datetime) -> Stored:
        self._ensure_days(batch.messages)
        with self._connection.transaction():
            return self._save(batch, now)

    def _save(self, batch: Batch, now: datetime) -> Stored:
        new = self._add_messages(batch.messages)
        rows = self._copy_readings(new)
        events = self._copy_events(new)
        self._set_states(batch.states)
        self._keep_announcements(batch.announcements)
        whole = self._add_dead_letters(batch.dead_letters)
        counted = [letter for letter in batch.dead_letters if letter.counts]
        new_dead = set(whole) & {letter.identity for letter in counted}
        partial = self._add_dead_letters(
            DeadLetter(message.delivery, message.identity, problem) for message in new for problem in message.problems
        )
        self._copy_rollup_due(new)
        messages = len(new) + len(new_dead)
        given = len(batch.messages) + len(counted)
        stored = Stored(messages, given - messages, rows, events, len(whole) + len(partial))
        if stored != Stored():
            self._count(stored, now)
        return stored

    def _ensure_days(self, messages: Iterable[Message]) -> None:
        """Make missing daily partitions before the transaction, which would hold their locks until its end."""
        days = {hour // 24 for message in messages for hour in message.packed.hours} - self._days
        for day in sorted(days):
            self._connection.execute(self._queries["ensure_reading_day"], {"day": _EPOCH_DAY + timedelta(days=day)})
        self._days |= days

    def _add_messages(self, messages: Sequence[Message]) -> list[Message]:
        """Record identities; returns the messages seen for the first time, each once."""
        if not messages:
            return []
        by_identity = {message.identity.bytes: message for message in reversed(messages)}
        ordered = sorted(by_identity)
        first = [by_identity[identity] for identity in ordered]
        spans_us = [message.span_us or (None, None) for message in first]
        row = self._connection.execute(
            self._queries["add_messages"],
            {
                "message_ids": UuidArray(ordered),
                "received_at": TimestampArray([message.delivery.received_at for message in first]),
                "asset_ids": IntegerArray([message.asset_id for message in first]),
                "readings": IntegerArray([message.packed.count for message in first]),
                "events": IntegerArray([len(message.events) for message in first]),
                "first_us": BigintArray([span_us[0] for span_us in spans_us]),
                "last_us": BigintArray([span_us[1] for span_us in spans_us]),
            },
            binary=True,
        ).fetchone()
        added = row["added"] if row else b""
        if len(added) == _IDENTITY_BYTES * len(ordered):
            return first
        return [by_identity[added[at : at + _IDENTITY_BYTES]] for at in range(0, len(added), _IDENTITY_BYTES)]

    def _copy_readings(self, messages: Sequence[Message]) -> int:
        count = sum([message.packed.count for message in messages])
        if count:
            with self._connection.cursor() as cursor, cursor.copy(self._queries["copy_readings"]) as copy:
                # In the order of the index, which then finds each asset's pages once a batch and not once a message.
                ordered = sorted(messages, key=_BY_ASSET)
                copy.write(b"".join([_COPY_HEAD, *[message.packed.rows for message in ordered], _COPY_END]))
        return count

    def _copy_events(self, messages: Iterable[Message]) -> int:
        rows = [
            (event.time, message.asset_id, event.code, event.severity, _json(event.detail))
            for message in messages
            for event in message.events
        ]
        self._copy(self._queries["copy_events"], rows)
        return len(rows)

    def _copy_rollup_due(self, messages: Iterable[Message]) -> None:
        hours = {hour for message in messages for hour in message.packed.hours}
        self._copy(
            self._queries["copy_rollup_due"], [(datetime.fromtimestamp(hour * 3600, UTC),) for hour in sorted(hours)]
        )

    def _copy(self, statement: Any, rows: Sequence[tuple[Any, ...]]) -> None:
        if rows:
            with self._connection.cursor() as cursor, cursor.copy(statement) as copy:
                for row in rows:
                    copy.write_row(row)

    def _set_states(self, states: Iterable[StateChange]) -> None:
        latest = {change.agent_id: change for change in states}
        if not latest:
            return
        ordered = [latest[agent_id] for agent_id in sorted(latest)]
        self._connection.execute(
            self._queries["set_states"],
            {
                "agent_ids": [change.agent_id for change in ordered],
                "online": [change.state.online for change in ordered],
                "agent_versions": [change.state.agent_version for change in ordered],
                "details": [_json(change.state.detail) for change in ordered],
                "changed_at": [change.delivery.received_at for change in ordered],
            },
        )

    def _keep_announcements(self, announcements: Iterable[Announcement]) -> None:
        latest = {(announcement.family.format, announcement.source): announcement for announcement in announcements}
        kept = [latest[key] for key in sorted(latest) if latest[key].body is not None]
        taken_back = sorted(key for key, announcement in latest.items() if announcement.body is None)
        if taken_back:
            self._connection.execute(
                self._queries["drop_announcements"],
                {"formats": [key[0] for key in taken_back], "sources": [key[1] for key in taken_back]},
            )
        if kept:
            self._connection.execute(
                self._queries["put_announcements"],
                {
                    "formats": [announcement.family.format for announcement in kept],
                    "sources": [announcement.source for announcement in kept],
                    "families": [announcement.family.name for announcement in kept],
                    "announced_at": [announcement.announced_at for announcement in kept],
                    "bodies": [_json(announcement.body) for announcement in kept],
                },
            )

    def _add_dead_letters(self, letters: Iterable[DeadLetter]) -> list[UUID]:
        """Keep dead letters; returns the identities of those that were not there yet."""
        ordered = sorted(letters, key=lambda letter: (letter.identity.int, letter.problem))
        if not ordered:
            return []
        found = self._connection.execute(
            self._queries["add_dead_letters"],
            {
                "message_ids": [letter.identity for letter in ordered],
                "received_at": [letter.delivery.received_at for letter in ordered],
                "topics": [_text(letter.delivery.topic) for letter in ordered],
                "content_types": [_text(letter.delivery.content_type)[:_LONGEST_CONTENT_TYPE] for letter in ordered],
                "reasons": [letter.problem.reason for letter in ordered],
                "details": [_text(letter.problem.detail)[:_LONGEST_DETAIL] for letter in ordered],
                "payloads": [letter.delivery.payload for letter in ordered],
                "payload_bytes": [letter.delivery.payload_bytes for letter in ordered],
            },
        ).fetchall()
        return [row["message_id"] for row in found]

    def _count(self, stored: Stored, now: datetime) -> None:
        self._connection.execute(
            self._queries["count_progress"],
            {
                "worker": self._worker,
                "messages": stored.messages,
                "duplicates": stored.duplicates,
                "readings": stored.readings,
                "events": stored.events,
                "dead_letters": stored.dead_letters,
                "now": now,
            },
        )


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()


def _text(text: str) -> str:
    """Text that PostgreSQL can hold: no zero character, no lone surrogate."""
    return text.replace("\0", "�").encode("utf-8", "replace").decode()
