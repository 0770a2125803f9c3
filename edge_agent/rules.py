"""Rules on the device: what is worth sending, and what is worth an event. Pure: times come in with the readings.

State is kept apart from the rules (`RuleMemory`), so that it can be stored with the readings it came from.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import isfinite

from careloop.contract.messages import Event, Severity
from edge_agent.sources.source import Row

_NUMBERS = (float, int)


@dataclass(frozen=True)
class DeadBand:
    """Send a value only when it moved, or when nothing was sent for long.

    Attributes:
        band: Smallest change that is sent, in the metric's unit.
        max_silence_s: A value is sent at least this often, in seconds.
    """

    band: float
    max_silence_s: float

    def keeps(self, sent: tuple[float, float] | None, time_s: float, value: float) -> bool:
        """Whether the value is sent, given the time and value sent last.

        >>> DeadBand(0.5, 3600).keeps((0.0, 20.0), 60.0, 20.4)
        False
        """
        if sent is None:
            return True
        sent_at_s, sent_value = sent
        return abs(value - sent_value) >= self.band or time_s - sent_at_s >= self.max_silence_s


@dataclass(frozen=True)
class Threshold:
    """An event when a value crosses a limit, and again only after it came back past `clear`.

    Attributes:
        limit: The limit, in the metric's unit.
        clear: Where the alarm ends: below `limit` for a high alarm, above it for a low one; the gap is the hysteresis.
        code: The event's code.
        severity: The event's severity.
        is_low: Whether the alarm is about values below the limit, not above it.
    """

    limit: float
    clear: float
    code: str
    severity: Severity = "warning"
    is_low: bool = False

    def is_active(self, was_active: bool, value: float) -> bool:
        """Whether the alarm stands after this value.

        >>> alarm = Threshold(limit=85.0, clear=80.0, code="HOT")
        >>> [alarm.is_active(False, 86.0), alarm.is_active(True, 82.0), alarm.is_active(True, 80.0)]
        [True, True, False]
        """
        edge = self.clear if was_active else self.limit
        return value < edge if self.is_low else value > edge


@dataclass(frozen=True)
class MetricRules:
    """The rules of one metric.

    Attributes:
        dead_band: At most one.
        thresholds: Any number, each with a code of its own.
    """

    dead_band: DeadBand | None = None
    thresholds: Sequence[Threshold] = ()


@dataclass
class RuleMemory:
    """What the rules remember from one reading to the next.

    Attributes:
        sent: Time and value sent last, by serial number and metric.
        active: Alarms that stand: serial number, metric, code. Stored, so that a restart raises none twice.
    """

    sent: dict[tuple[str, str], tuple[float, float]] = field(default_factory=dict)
    active: set[tuple[str, str, str]] = field(default_factory=set)


# By serial number and metric; the serial number None stands for every asset.
RuleBook = Mapping[tuple[str | None, str], MetricRules]


@dataclass(frozen=True)
class Judged:
    """What the rules left of some rows.

    Attributes:
        rows: What is to be sent.
        events: What the thresholds raised.
        thinned: Readings left out by dead bands.
    """

    rows: list[Row]
    events: list[tuple[str, Event]]
    thinned: int


def judge(book: RuleBook, memory: RuleMemory, rows: Iterable[Row]) -> Judged:
    """Apply the rules to rows in their order; `memory` is brought up to date."""
    kept: list[Row] = []
    events: list[tuple[str, Event]] = []
    thinned = 0
    for row in rows:
        left = {}
        for metric, value in row.values.items():
            rules = book.get((row.serial, metric)) or book.get((None, metric))
            if rules is None or value.__class__ not in _NUMBERS or not isfinite(value):
                # No number: the packer refuses and counts it.
                left[metric] = value
                continue
            events += _alarms(rules, memory, row, metric, value)
            key = (row.serial, metric)
            if rules.dead_band and not rules.dead_band.keeps(memory.sent.get(key), row.time_s, value):
                thinned += 1
                continue
            memory.sent[key] = (row.time_s, value)
            left[metric] = value
        if left:
            kept.append(Row(row.serial, row.time_s, left))
    return Judged(kept, events, thinned)


def _alarms(rules: MetricRules, memory: RuleMemory, row: Row, metric: str, value: float) -> list[tuple[str, Event]]:
    raised: list[tuple[str, Event]] = []
    for threshold in rules.thresholds:
        key = (row.serial, metric, threshold.code)
        was_active = key in memory.active
        is_active = threshold.is_active(was_active, value)
        if is_active and not was_active:
            memory.active.add(key)
            detail = {"metric": metric, "value": value, "limit": threshold.limit}
            time = datetime.fromtimestamp(row.time_s, UTC)
            raised.append((row.serial, Event(time, threshold.code, threshold.severity, detail)))
        elif was_active and not is_active:
            memory.active.discard(key)
    return raised
