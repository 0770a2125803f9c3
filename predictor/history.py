"""What is known as of `now`: telemetry by SQL, business facts by REST; what cannot change is kept between steps."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from psycopg import Connection
from psycopg.rows import DictRow

from careloop.client import CareloopClient, ComponentFact
from careloop.stepping import parse_time
from predictor import telemetry
from predictor.features.matrix import FORGOTTEN_AFTER_HOURS, LONGEST_HOURS
from predictor.fleet import Fleet, History, fleets
from predictor.moments import Moments
from predictor.readings import EARLY_LIFE_HOURS, EarlyLife, ReadingGrid
from predictor.timeline import HOUR_MS, FloatArray, IntArray, to_ms

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Fact:
    """A failure or a replacement, its time in milliseconds since 1970."""

    fact_id: int
    serial: str
    component: str
    at_ms: int
    reason: str


@dataclass
class _Seen:
    """What is kept of one fleet between steps.

    Attributes:
        fleet: The fleet.
        window: The latest `LONGEST_HOURS` hours of readings, None before the first step.
        first_hour: Of each asset's readings, -1 while it has none.
        early_means: Hourly means of each asset's first week.
        early_until: Up to which hour the first week was read.
    """

    fleet: Fleet
    window: ReadingGrid | None
    first_hour: IntArray
    early_means: FloatArray
    early_until: IntArray


class HistoryReader:
    """Reads histories as of a full hour.

    Between steps it keeps the catalogue, the facts and the latest window of readings. Of the window it reads the last
    `reread_hours` again each time, since readings may come late; when time goes backwards it forgets everything.

    Args:
        database: Gives a working connection with the right to read `telemetry`.
        client: Of the REST API.
        reread_hours: How late a reading may come to be seen by the next step.
        catalogue_every_hours: How old the catalogue may get.
    """

    def __init__(
        self,
        database: Callable[[], Connection[DictRow]],
        client: CareloopClient,
        *,
        reread_hours: int,
        catalogue_every_hours: int,
    ) -> None:
        self._database = database
        self._client = client
        self._reread_hours = reread_hours
        self._catalogue_every_hours = catalogue_every_hours
        self._seen: list[_Seen] = []
        self._catalogue_hour: int | None = None
        self._latest_hour = -1
        self._failures: list[_Fact] = []
        self._replacements: list[_Fact] = []
        self._numbers: dict[str, int] = {}

    def for_scoring(self, hour: int) -> list[History]:
        """Each fleet's history as of `hour`, as far back as features look."""
        self._move_to(hour, renew=False)
        events = telemetry.read_events(self._database(), hour - FORGOTTEN_AFTER_HOURS - 1, hour)
        return [self._history(seen, self._window(seen, hour), events, hour) for seen in self._seen]

    def for_training(self, hour: int, days: int) -> list[History]:
        """Each fleet's history of the `days` before `hour`; everything is read anew."""
        self._move_to(hour, renew=True)
        events = telemetry.read_events(self._database(), hour - days * 24, hour)
        return [self._history(seen, self._everything(seen, hour, days), events, hour) for seen in self._seen]

    # What is kept -----------------------------------------------------------------------------

    def _move_to(self, hour: int, *, renew: bool) -> None:
        backwards = hour < self._latest_hour
        self._latest_hour = hour
        stale = self._catalogue_hour is None or hour >= self._catalogue_hour + self._catalogue_every_hours
        if renew or backwards or stale:
            self._read_catalogue(keep=not (renew or backwards))
            self._catalogue_hour = hour
        if renew or backwards:
            self._failures.clear()
            self._replacements.clear()
        self._failures += map(_fact, self._client.failures(since_id=_last_id(self._failures)))
        self._replacements += map(_fact, self._client.replacements(since_id=_last_id(self._replacements)))
        self._numbers = telemetry.metric_numbers(self._database())

    def _read_catalogue(self, *, keep: bool) -> None:
        known = {seen.fleet.kind: seen for seen in self._seen} if keep else {}
        found = fleets(self._client.product_models(), list(self._client.assets()))
        self._seen = [
            known[fleet.kind] if fleet.kind in known and _same(known[fleet.kind].fleet, fleet) else _unseen(fleet)
            for fleet in found
        ]

    def _window(self, seen: _Seen, hour: int) -> ReadingGrid:
        first_hour = hour - LONGEST_HOURS
        if seen.window is None or seen.window.end_hour < first_hour or seen.window.end_hour > hour:
            window = telemetry.read_grid(self._database(), seen.fleet, self._numbers, first_hour, hour)
        else:
            read_from = max(first_hour, min(seen.window.end_hour, hour) - self._reread_hours)
            window = seen.window.moved(first_hour, hour)
            window.put(telemetry.read_grid(self._database(), seen.fleet, self._numbers, read_from, hour))
        seen.window = window
        return window

    def _everything(self, seen: _Seen, hour: int, days: int) -> ReadingGrid:
        first = self._first_hours(seen, np.arange(len(seen.fleet)), hour)
        known = first[first >= 0]
        first_hour = max(hour - days * 24, int(known.min()) if len(known) else hour - LONGEST_HOURS)
        grid = telemetry.read_grid(self._database(), seen.fleet, self._numbers, min(first_hour, hour - 1), hour)
        seen.window = grid.moved(hour - LONGEST_HOURS, hour)
        return grid

    def _first_hours(self, seen: _Seen, assets: IntArray, hour: int) -> IntArray:
        missing = assets[seen.first_hour[assets] < 0]
        if len(missing):
            seen.first_hour[missing] = telemetry.first_hours(self._database(), seen.fleet, self._numbers, missing, hour)
        return seen.first_hour[assets]

    def _early_life(self, seen: _Seen, grid: ReadingGrid, hour: int) -> EarlyLife:
        heard = ~np.isnan(grid.means).all(axis=(1, 2))
        self._first_hours(seen, np.flatnonzero(heard & (seen.first_hour < 0)), hour)
        complete_at = seen.first_hour + EARLY_LIFE_HOURS
        growing = np.flatnonzero((seen.first_hour >= 0) & (seen.early_until < np.minimum(hour, complete_at)))
        if len(growing):
            seen.early_means[growing] = telemetry.read_early_life(
                self._database(),
                seen.fleet,
                self._numbers,
                assets=growing,
                first_hour=seen.first_hour[growing],
                end_hour=hour,
            )
            seen.early_until[growing] = hour
        return EarlyLife.of(seen.first_hour, seen.early_means)

    # Put together -----------------------------------------------------------------------------

    def _history(self, seen: _Seen, grid: ReadingGrid, events: Sequence[tuple[int, str, int]], hour: int) -> History:
        fleet = seen.fleet
        position = {int(number): index for index, number in enumerate(fleet.asset_ids)}
        own = [(position[asset], code, at_ms) for asset, code, at_ms in events if asset in position]
        codes = tuple(sorted({code for _, code, _ in own}))
        number = {code: index for index, code in enumerate(codes)}
        renewals = [fact for fact in self._replacements if fact.reason != "failure"]
        return History(
            fleet=fleet,
            grid=grid,
            early_life=self._early_life(seen, grid, hour),
            event_codes=codes,
            events=_moments([(asset * len(codes) + number[code], at_ms) for asset, code, at_ms in own]),
            failures=_facts(fleet, self._failures, hour),
            replacements=_facts(fleet, self._replacements, hour),
            renewals=_facts(fleet, renewals, hour),
        )


def _unseen(fleet: Fleet) -> _Seen:
    shape = (len(fleet), len(fleet.metrics), EARLY_LIFE_HOURS)
    nowhere = np.full(len(fleet), -1, dtype=np.int64)
    return _Seen(fleet, None, nowhere, np.full(shape, np.nan), nowhere.copy())


def _same(old: Fleet, new: Fleet) -> bool:
    """Whether what is kept of the old fleet is right for the new one."""
    return (
        old.serials == new.serials
        and old.metrics == new.metrics
        and old.models == new.models
        and old.components == new.components
        and old.declared == new.declared
        and old.attributes == new.attributes
        and bool(np.array_equal(old.attribute_values, new.attribute_values, equal_nan=True))
        and old.horizon_hours == new.horizon_hours
    )


def _fact(told: ComponentFact) -> _Fact:
    at_ms = to_ms(parse_time(told["at"]))
    return _Fact(told["fact_id"], told["serial"], told["component"], at_ms, told.get("reason", ""))


def _last_id(facts: Sequence[_Fact]) -> int:
    return facts[-1].fact_id if facts else 0


def _facts(fleet: Fleet, facts: Sequence[_Fact], hour: int) -> Moments:
    """Facts before `hour` about a fleet's components; others are none of its business."""
    series = {
        (serial, name): asset * len(fleet.components) + component
        for asset, serial in enumerate(fleet.serials)
        for component, name in enumerate(fleet.components)
    }
    until_ms = hour * HOUR_MS
    return _moments(
        [
            (series[fact.serial, fact.component], fact.at_ms)
            for fact in facts
            if fact.at_ms < until_ms and (fact.serial, fact.component) in series
        ]
    )


def _moments(pairs: Sequence[tuple[int, int]]) -> Moments:
    if not pairs:
        return Moments.none()
    columns = np.array(pairs, dtype=np.int64)
    return Moments(columns[:, 0], columns[:, 1])
