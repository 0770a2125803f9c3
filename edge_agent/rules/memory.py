"""What the rules remember, by asset, and what of it must survive a restart."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from edge_agent.rules.book import MetricRules, RuleBook, rules_of
from edge_agent.rules.dead_band import DeadBand
from edge_agent.rules.rate_of_change import RateOfChange
from edge_agent.rules.rule import Findings, Observer, State, Thinner
from edge_agent.rules.running import Running
from edge_agent.rules.swinging_door import SwingingDoor, SwingingDoorState
from edge_agent.rules.threshold import Threshold
from edge_agent.rules.window import Window, WindowState

ASSETS = "rule_assets"


class Watched:
    """The rules of one metric of one asset, at work."""

    __slots__ = ("observers", "thinner", "windows")

    def __init__(self, observers: Sequence[Observer], windows: Sequence[WindowState], thinner: Thinner | None) -> None:
        self.observers = observers
        self.windows = windows
        self.thinner = thinner


class AssetMemory:
    """What the rules remember of one asset.

    Attributes:
        watched: By metric; a metric without rules is not in it.
        waiting: By the rule's key, states that hold something back, which is sent when nothing more comes.
    """

    __slots__ = ("_states", "_unused", "waiting", "watched")

    def __init__(self, rules: Mapping[str, MetricRules], remembered: Mapping[str, Any]) -> None:
        self._unused = dict(remembered)
        self._states: dict[str, State] = {}
        self.waiting: dict[str, WindowState | SwingingDoorState] = {}
        self.watched = {metric: self._begin(of_metric) for metric, of_metric in rules.items()}

    def to_json(self) -> dict[str, Any]:
        """What it remembers by the rule's key; a counter whose rule is gone for now is kept."""
        counters = {key: said for key, said in self._unused.items() if key.startswith("running|")}
        return counters | {key: said for key, state in self._states.items() if (said := state.to_json()) is not None}

    def _begin(self, rules: MetricRules) -> Watched:
        observers: list[Observer] = []
        windows: list[WindowState] = []
        thinner: Thinner | None = None
        observing_rules: list[Running | Threshold] = [*rules.running, *rules.thresholds]
        for observing in observing_rules:
            observers.append(observing.begin(self._unused.pop(observing.key, None)))
            self._states[observing.key] = observers[-1]
        for window in rules.windows:
            windows.append(window.begin(self._unused.pop(window.key, None)))
            self._states[window.key] = self.waiting[window.key] = windows[-1]
        match rules.thinning:
            case SwingingDoor() as door:
                thinner = self.waiting[door.key] = door.begin(self._unused.pop(door.key, None))
                self._states[door.key] = thinner
            case DeadBand() | RateOfChange() as rule:
                thinner = rule.begin()
        return Watched(observers, windows, thinner)


class RuleMemory:
    """What the rules remember from one value to the next.

    Args:
        recall: The text stored under a name, or None; asked when the first rules are given.
    """

    def __init__(self, recall: Callable[[str], str | None] = lambda _name: None) -> None:
        self._recall = recall
        self._book: RuleBook | None = None
        self._assets: dict[str, AssetMemory] = {}
        self._stored: set[str] = set(json.loads(recall(ASSETS) or "[]"))
        self._changed: set[str] = set()
        self._expired_at_s = float("-inf")

    def follow(self, book: RuleBook, found: Findings) -> None:
        """Hold to these rules from now on; what rules that are gone held back is sent."""
        if book is self._book or book == self._book:
            self._book = book
            return
        before, self._assets, self._book = self._assets, {}, book
        for serial in {*self._stored, *before}:
            old = before.get(serial)
            remembered = old.to_json() if old else json.loads(self._recall(_name_of(serial)) or "{}")
            new = self._assets[serial] = AssetMemory(rules_of(book, serial), remembered)
            found.serial = serial
            # A restart may bring other rules, too.
            waiting = old.waiting if old else _held_back(remembered)
            for key, state in waiting.items():
                if key not in new.waiting:
                    state.let_go(found)
                    self._changed.add(serial)

    def of(self, serial: str) -> AssetMemory:
        """What is remembered of an asset, which may be a new one."""
        asset = self._assets.get(serial)
        if asset is None:
            asset = self._assets[serial] = AssetMemory(rules_of(self._book or {}, serial), {})
        return asset

    def note(self, serial: str) -> None:
        """The asset's memory changed in a way that must survive a restart."""
        self._changed.add(serial)

    def expire(self, found: Findings) -> None:
        """Send what waits for values that do not come, at most once a second of the agent's clock."""
        if 0 <= found.now_s - self._expired_at_s < 1:
            return
        self._expired_at_s = found.now_s
        for serial, asset in self._assets.items():
            if asset.waiting:
                found.serial, found.changed = serial, False
                for state in asset.waiting.values():
                    state.expire(found)
                if found.changed:
                    self._changed.add(serial)

    def to_store(self) -> dict[str, str]:
        """Text by name: what changed since `stored`, to be stored in the transaction of the values it came from."""
        texts = {
            _name_of(serial): json.dumps(self._assets[serial].to_json(), separators=(",", ":"))
            for serial in self._changed
        }
        if not self._changed <= self._stored:
            texts[ASSETS] = json.dumps(sorted(self._stored | self._changed))
        return texts

    def stored(self) -> None:
        """What `to_store` said is on disk."""
        self._stored |= self._changed
        self._changed.clear()


def _held_back(remembered: Mapping[str, Any]) -> dict[str, WindowState | SwingingDoorState]:
    """What was stored of values that had not been sent, whatever rule held them back."""
    held: dict[str, WindowState | SwingingDoorState] = {}
    for key, said in remembered.items():
        kind, _, rest = key.partition("|")
        if kind == "window":
            metric, _, every_s = rest.rpartition("|")
            held[key] = Window(metric=metric, every_s=float(every_s)).begin(said)
        elif kind == "swinging_door":
            held[key] = SwingingDoor(metric=rest, band=1.0).begin(said)
    return held


def _name_of(serial: str) -> str:
    return f"rules.{serial}"
