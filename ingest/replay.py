"""Dead letters tried again after their cause was mended: a unit declared, an asset registered, a bound raised.

A letter may be about a whole message or about some readings of one whose others were stored. Either way only what is
not there yet is added, so a replay can be repeated and broken off anywhere; and only letters whose cause is gone go.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from math import isfinite
from operator import itemgetter
from typing import Any
from uuid import UUID

import orjson
from psycopg import Connection
from psycopg.rows import DictRow

from careloop.contract.messages import Event
from careloop.database.queries import load_queries
from ingest.announcements import Announcements
from ingest.decode import Decoded, Delivery, identity_of
from ingest.registry import Registry
from ingest.validate import Problem, Row, Span, bad_records, is_unit, validate_events, validate_readings

QUERIES = load_queries("ingest")
WORKER = "replay-dead-letters"
MESSAGES_AT_A_TIME = 100
_EPOCH_DAY = date(1970, 1, 1)
_DAY_US = 86_400_000_000
_HOUR_US = 3_600_000_000
_LONGEST_DETAIL = 1000

Read = Callable[[Delivery], tuple[Delivery, Decoded | Problem]]


@dataclass(frozen=True, slots=True)
class Selection:
    """Which dead letters are meant; several conditions must all hold, none means all.

    Attributes:
        dead_letter_id: Those of the message that this one belongs to.
        reason: Of one reason.
        serial: Of one asset.
    """

    dead_letter_id: int | None = None
    reason: str | None = None
    serial: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a replay did.

    Attributes:
        messages: Messages tried.
        settled: Of those, messages with nothing left among the dead letters.
        readings: Readings added.
        events: Events added.
    """

    messages: int = 0
    settled: int = 0
    readings: int = 0
    events: int = 0

    def __add__(self, other: "Outcome") -> "Outcome":
        return Outcome(
            self.messages + other.messages,
            self.settled + other.settled,
            self.readings + other.readings,
            self.events + other.events,
        )


@dataclass(slots=True)
class _Sorted:
    """What of a message can be stored now, and what still cannot."""

    asset_id: int | None = None
    rows: Sequence[Row] = ()
    events: Sequence[Event] = ()
    problems: list[Problem] = field(default_factory=list)


class Replay:
    """Tries dead letters again over one connection.

    Args:
        connection: In autocommit mode, for this alone.
        registry: Assets and metrics; loaded anew for every replay, since what was mended is in there.
        read: Decodes a message.
        span: Times that are accepted as of a time.
    """

    def __init__(
        self,
        connection: Connection[DictRow],
        registry: Registry,
        *,
        read: Read,
        span: Callable[[datetime], Span],
    ) -> None:
        self._connection = connection
        self._registry = registry
        self._read = read
        self._announcements = Announcements()
        self._span = span

    def run_requested(self, now: datetime) -> int:
        """Do the replays that were asked for through the API and are not done yet; returns how many."""
        requests = self._connection.execute(QUERIES["find_replay_requests"]).fetchall()
        for row in requests:
            outcome = self.run(Selection(row["dead_letter_id"], row["reason"], row["serial"]), now)
            self._connection.execute(
                QUERIES["add_replay_result"],
                {
                    "replay_id": row["replay_id"],
                    "messages": outcome.messages,
                    "settled": outcome.settled,
                    "readings": outcome.readings,
                    "events": outcome.events,
                    "now": now,
                },
            )
        return len(requests)

    def run(self, selection: Selection, now: datetime) -> Outcome:
        """Try the selected dead letters again, oldest first.

        Those that come up meanwhile are left for another time.
        """
        self._registry.load(self._connection)
        self._announcements.forget()
        where = {"dead_letter_id": selection.dead_letter_id, "reason": selection.reason, "serial": selection.serial}
        newest = self._one("newest_dead_letter", {})["newest"]
        outcome, after = Outcome(), 0
        while True:
            rows = self._connection.execute(
                QUERIES["find_dead_letters"],
                {**where, "after": after, "newest": newest, "fetch": MESSAGES_AT_A_TIME},
            ).fetchall()
            if not rows:
                return outcome
            for row in sorted(rows, key=itemgetter("dead_letter_id")):
                outcome += self._try(row, now)
            after = rows[0]["last"]

    def _try(self, letter: Mapping[str, Any], now: datetime) -> Outcome:
        """Try one message; `letter` is the first of its dead letters."""
        payload = bytes(letter["payload"])
        delivery = Delivery(
            topic=letter["topic"],
            payload=payload,
            payload_bytes=letter["payload_bytes"],
            content_type=letter["content_type"],
            received_at=letter["received_at"].astimezone(UTC),
            identity=identity_of(letter["topic"], payload),
        )
        found = self._sort(delivery, letter["message_id"], now)
        for day in sorted({time_us // _DAY_US for time_us, _, _ in found.rows}):
            self._connection.execute(QUERIES["ensure_reading_day"], {"day": _EPOCH_DAY + timedelta(days=day)})
        with self._connection.transaction():
            key = {"message_id": letter["message_id"]}
            letters = self._connection.execute(QUERIES["lock_dead_letters"], key).fetchall()
            if not letters:
                # Another replay was quicker.
                return Outcome()
            readings, events = self._store(letter, found)
            left = self._settle(letter, found.problems, [row["dead_letter_id"] for row in letters])
            counted = {"worker": WORKER, "messages": 0, "duplicates": 0, "dead_letters": 0, "now": now}
            self._connection.execute(QUERIES["count_progress"], {**counted, "readings": readings, "events": events})
        return Outcome(1, int(left == 0), readings, events)

    def _sort(self, delivery: Delivery, message_id: UUID, now: datetime) -> _Sorted:
        decoded = self._decode(delivery, message_id)
        if decoded is None:
            return _Sorted()
        if isinstance(decoded, Problem):
            return _Sorted(problems=[decoded])
        if decoded.state is not None:
            # An old state says nothing any more.
            return _Sorted()
        asset_id = self._registry.asset_ids(self._connection, {decoded.serial}).get(decoded.serial)
        if asset_id is None:
            detail = f"no asset has the serial number {decoded.serial}; register it first"
            return _Sorted(problems=[Problem("unknown_asset", detail)])
        seen = {
            reading.metric: (reading.unit, decoded.serial)
            for reading in decoded.readings
            if isfinite(reading.value) and is_unit(reading.unit)
        }
        self._registry.learn(self._connection, seen, now)
        span = self._span(now)
        rows, problems = validate_readings(decoded.readings, self._registry.metrics, span)
        events, event_problems = validate_events(decoded.events, span)
        return _Sorted(asset_id, rows, events, [*problems, *event_problems, *bad_records(decoded.bad)])

    def _decode(self, delivery: Delivery, message_id: UUID) -> Decoded | Problem | None:
        """What a message says, or the part of it that is about the asset meant; None when it says nothing any more."""
        resolved, _ = self._announcements.resolve(self._connection, [self._read(delivery)])
        for part, item in resolved:
            identities = (part.identity_stored(timed_on_arrival=timed) for timed in (False, True))
            if not part.part or message_id in identities:
                return item
        return None

    def _store(self, letter: Mapping[str, Any], found: _Sorted) -> tuple[int, int]:
        """Add what is not there yet; returns readings and events added."""
        if found.asset_id is None or not (found.rows or found.events):
            return 0, 0
        added = self._connection.execute(
            QUERIES["add_missing_readings"],
            {
                "asset_id": found.asset_id,
                "times": [_time(time_us) for time_us, _, _ in found.rows],
                "metric_ids": [metric_id for _, metric_id, _ in found.rows],
                "values": [value for _, _, value in found.rows],
            },
        ).rowcount
        events = self._connection.execute(
            QUERIES["add_missing_events"],
            {
                "asset_id": found.asset_id,
                "times": [event.time for event in found.events],
                "codes": [event.code for event in found.events],
                "severities": [event.severity for event in found.events],
                "details": [orjson.dumps(event.detail).decode() for event in found.events],
            },
        ).rowcount
        times_us = [time_us for time_us, _, _ in found.rows]
        times_us += [round(event.time.timestamp() * 1e6) for event in found.events]
        hours = sorted({time_us // _HOUR_US for time_us, _, _ in found.rows})
        self._connection.execute(QUERIES["add_rollups_due"], {"buckets": [_time(hour * _HOUR_US) for hour in hours]})
        self._connection.execute(
            QUERIES["add_messages"],
            {
                "message_ids": [letter["message_id"]],
                "received_at": [letter["received_at"]],
                "asset_ids": [found.asset_id],
                "readings": [len(found.rows)],
                "events": [len(found.events)],
                "first_us": [min(times_us)],
                "last_us": [max(times_us)],
            },
        )
        return added, events

    def _settle(self, letter: Mapping[str, Any], problems: Sequence[Problem], letters: list[int]) -> int:
        """Keep the letters whose cause stands, drop the others; returns how many stand."""
        reasons = [problem.reason for problem in problems]
        details = [problem.detail.replace("\0", "\ufffd")[:_LONGEST_DETAIL] for problem in problems]
        self._connection.execute(
            QUERIES["drop_settled_letters"], {"ids": letters, "reasons": reasons, "details": details}
        )
        repeated = len(problems)
        self._connection.execute(
            QUERIES["add_dead_letters"],
            {
                "message_ids": [letter["message_id"]] * repeated,
                "received_at": [letter["received_at"]] * repeated,
                "topics": [letter["topic"]] * repeated,
                "content_types": [letter["content_type"]] * repeated,
                "reasons": reasons,
                "details": details,
                "payloads": [letter["payload"]] * repeated,
                "payload_bytes": [letter["payload_bytes"]] * repeated,
            },
        )
        return repeated

    def _one(self, query: str, parameters: Mapping[str, Any]) -> DictRow:
        row = self._connection.execute(QUERIES[query], parameters).fetchone()
        if row is None:
            raise LookupError(f"{query} returned no row")
        return row


def _time(time_us: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time_us)
