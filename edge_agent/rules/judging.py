"""Rows through the rules."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import isfinite

from careloop.contract.messages import Event
from careloop.contract.senml import ABSOLUTE_FROM_S
from edge_agent.rules.book import RuleBook
from edge_agent.rules.memory import AssetMemory, RuleMemory, Watched
from edge_agent.rules.rule import FUTURE_S, Findings
from edge_agent.sources.source import Row


@dataclass(frozen=True)
class Judged:
    """What the rules left of some rows.

    Attributes:
        rows: What is to be sent; for each asset nearly in the order of time.
        events: Serial number and event: what thresholds raised.
        thinned: Values left out for adding little.
        windowed: Values that went into a window instead.
    """

    rows: list[Row]
    events: list[tuple[str, Event]]
    thinned: int
    windowed: int


def judge(book: RuleBook, memory: RuleMemory, rows: Iterable[Row], now_s: float) -> Judged:
    """Apply the rules to rows in their order; `memory` is brought up to date.

    Args:
        book: The rules; another book than last time takes over counters, alarms and windows that are in both.
        memory: What the rules remember.
        rows: Possibly none; what waits for values that do not come may be sent nonetheless.
        now_s: The agent's clock in Unix seconds; only whether an asset has fallen silent is told by it.
    """
    found = Findings(now_s)
    memory.follow(book, found)
    if not book:
        return Judged([*found.rows, *rows], found.events, 0, 0)
    latest_s = now_s + FUTURE_S
    for row in rows:
        asset = memory.of(row.serial)
        # A time that cannot be is refused and counted further on; here it would upset what is remembered.
        if asset.watched.keys().isdisjoint(row.values) or not ABSOLUTE_FROM_S <= row.time_s <= latest_s:
            found.rows.append(row)
            continue
        _judge_row(asset, row, found)
        if found.changed:
            memory.note(row.serial)
    memory.expire(found)
    return Judged(found.rows, found.events, found.thinned, found.windowed)


def _judge_row(asset: AssetMemory, row: Row, found: Findings) -> None:
    found.serial = row.serial
    found.changed = False
    left: dict[str, float] = {}
    found.values = left
    time_s = row.time_s
    for metric, value in row.values.items():
        rules = asset.watched.get(metric)
        if rules is not None and ((value.__class__ is float and isfinite(value)) or _is_number(value)):
            if _is_left(rules, time_s, value, found):
                left[metric] = value
        else:
            left[metric] = value
    if left:
        found.rows.append(Row(row.serial, time_s, left))


def _is_left(rules: Watched, time_s: float, value: float, found: Findings) -> bool:
    for observer in rules.observers:
        observer.see(time_s, value, found)
    replaced = False
    for window in rules.windows:
        if window.take(time_s, value, found) and window.replaces:
            replaced = True
    if replaced:
        found.windowed += 1
        return False
    return rules.thinner is None or rules.thinner.keeps(time_s, value, found)


def _is_number(value: float) -> bool:
    """Whether it is a whole number or a truth value that a float can hold; `value` is no finite float."""
    try:
        return value.__class__ in (int, bool) and isfinite(value)
    except OverflowError:
        return False
