"""One simulated machine: the physics of all kinds, driven by their tables.

Each component's wear grows from 0 to its limit with running hours and the day's intensity, at a pace of its own (its
life is drawn from a Weibull distribution). Wear moves metrics by `gain · (wear · visibility) ** power`, so late and
ever faster; visibility differs from one instance to the next. In the last quarter of its life a component raises
error events, ever more often. At its limit it fails: a critical event, and the machine stands still until it is
replaced. A few instances fail early, without a sign.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from careloop.contract.messages import Event
from edge_agent.simulator.climate import SECONDS_A_DAY, Chance, own_chance
from edge_agent.simulator.kinds import RUNNING_HOURS, Component, Kind, Metric
from edge_agent.sources.source import Row

# What a tick's draws are for: metrics from 0 on, then the chances of events.
SYMPTOMS_AT = 16
NUISANCE_AT = 31
SUDDEN_SHARE = 0.03
VISIBILITY_SPREAD = 0.12
SYMPTOMS_FROM = 0.75
NORMAL_AMBIENT_CELSIUS = 18.0
MOST_WORN_AT_START = 0.9


class Failure(NamedTuple):
    """A component came to its end."""

    serial: str
    component: str
    failed_at: datetime


@dataclass
class Instance:
    """A component fitted in this machine.

    Attributes:
        wear: From 0 (new) to `limit`.
        limit: Where it fails: 1, or less for one that fails without a sign.
        life_hours: Running hours from new to 1 at normal intensity.
        visibility: How much of its wear shows.
        generation: 0 for the one from the factory, then counting replacements.
    """

    wear: float
    limit: float
    life_hours: float
    visibility: float
    generation: int


class Machine:
    """One asset.

    Args:
        kind: Its tables.
        serial: Its serial number.
        seed: The fleet's seed.
        chance: The fleet's draws.
        start_s: When the simulation begins, Unix seconds; the machine has been in use before.
        acceleration: How much faster than usual everything wears.
    """

    def __init__(
        self, kind: Kind, serial: str, *, seed: int, chance: Chance, start_s: float, acceleration: float
    ) -> None:
        self.kind = kind
        self.serial = serial
        self._seed = seed
        self._chance = chance
        self._acceleration = acceleration
        own = own_chance(seed, serial)
        self._offset = own.randrange(1 << 30)
        self._hours_a_day = own.uniform(*kind.hours_a_day)
        age_days = own.uniform(60.0, 700.0)
        self.installed_at_s = start_s - age_days * SECONDS_A_DAY
        self.running_hours = age_days * self._hours_a_day * (1 - kind.idle_days) * 0.5
        self._offsets = {metric.name: own.gauss(0.0, metric.spread) for metric in kind.metrics}
        self.instances = [self._fit(component, 0) for component in kind.components]
        for instance in self.instances:
            instance.wear = own.random() * MOST_WORN_AT_START * instance.limit
        self.failed: int | None = None
        self.failed_at_s = 0.0
        self._day = -1
        self._sessions: list[tuple[float, float]] = []
        self._intensity = 1.0
        # Place of the draw, metric, base with this machine's own offset.
        table = [(place, metric, metric.base + self._offsets[metric.name]) for place, metric in enumerate(kind.metrics)]
        self._when_running = table
        self._when_idle = [entry for entry in table if entry[1].always]

    def tick(
        self, tick: int, time_s: float, interval_hours: float, ambient: float
    ) -> tuple[Row, list[tuple[str, Event]], Failure | None]:
        """Live through one interval that begins at `time_s`, and report as of its beginning."""
        start = self._chance.start(self._offset, tick)
        running = self.failed is None and self._runs_at(time_s)
        events: list[tuple[str, Event]] = []
        failure = None
        if running:
            self.running_hours += interval_hours
            failure = self._wear_out(time_s, interval_hours)
            if failure is not None:
                running = False
                code = self.kind.components[self.failed or 0].failure_code
                events.append((self.serial, Event(failure.failed_at, code, "critical", {"stopped": True})))
            else:
                events = self._symptoms(start, time_s, interval_hours)
        return Row(self.serial, time_s, self._values(start, ambient, running=running)), events, failure

    def replace(self, component: str) -> float:
        """Fit a new instance; returns the wear of the old one."""
        place = self._place(component)
        old = self.instances[place]
        self.instances[place] = self._fit(self.kind.components[place], old.generation + 1)
        if self.failed == place:
            self.failed = None
        return old.wear

    def inspect(self, component: str) -> tuple[float, bool]:
        """Wear from 0 to 1, and whether it has failed."""
        place = self._place(component)
        return self.instances[place].wear, self.failed == place

    def snapshot(self) -> dict[str, Any]:
        """All that cannot be drawn again."""
        return {
            "running_hours": self.running_hours,
            "wear": [instance.wear for instance in self.instances],
            "generation": [instance.generation for instance in self.instances],
            "failed": self.failed,
            "failed_at_s": self.failed_at_s,
        }

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Be as `snapshot` says."""
        self.running_hours = snapshot["running_hours"]
        self.failed = snapshot["failed"]
        self.failed_at_s = snapshot["failed_at_s"]
        for place, component in enumerate(self.kind.components):
            instance = self._fit(component, snapshot["generation"][place])
            instance.wear = snapshot["wear"][place]
            self.instances[place] = instance

    def _place(self, component: str) -> int:
        names = [entry.name for entry in self.kind.components]
        if component not in names:
            raise ValueError(f"{self.serial} has no component {component!r}; it has {', '.join(names)}")
        return names.index(component)

    def _fit(self, component: Component, generation: int) -> Instance:
        own = own_chance(self._seed, self.serial, component.name, generation)
        life_hours = own.weibullvariate(component.life_hours, component.shape)
        sudden, share = own.random() < SUDDEN_SHARE, own.uniform(0.2, 0.7)
        visibility = max(0.7, own.gauss(1.0, VISIBILITY_SPREAD))
        # The shortest lives of a Weibull distribution are no wear but a part faulty from the start.
        return Instance(
            0.0, share if sudden else 1.0, max(life_hours, 0.2 * component.life_hours), visibility, generation
        )

    def _runs_at(self, time_s: float) -> bool:
        day, second = divmod(time_s, SECONDS_A_DAY)
        if day != self._day:
            self._day = int(day)
            self._plan_day(self._day)
        hour = second / 3600
        return any(begin <= hour < end for begin, end in self._sessions)

    def _plan_day(self, day: int) -> None:
        """When and how hard the machine is used on a day."""
        own = own_chance(self._seed, self.serial, "day", day)
        self._intensity = min(1.4, max(0.6, own.gauss(1.0, 0.12)))
        self._sessions = []
        if own.random() < self.kind.idle_days:
            return
        count = own.randint(*self.kind.sessions)
        begin, end = self.kind.window
        slot = (end - begin) / count
        length = min(slot, self._hours_a_day * own.uniform(0.7, 1.3) / count)
        for number in range(count):
            at = begin + number * slot + own.random() * (slot - length)
            self._sessions.append((at, at + length))

    def _wear_out(self, time_s: float, interval_hours: float) -> Failure | None:
        used = interval_hours * self._intensity * self._acceleration
        for place, instance in enumerate(self.instances):
            instance.wear += used / instance.life_hours
            if instance.wear >= instance.limit and self.failed is None:
                self.failed, self.failed_at_s = place, time_s
        if self.failed is None:
            return None
        return Failure(self.serial, self.kind.components[self.failed].name, datetime.fromtimestamp(time_s, UTC))

    def _symptoms(self, start: int, time_s: float, interval_hours: float) -> list[tuple[str, Event]]:
        uniform = self._chance.uniform
        found: dict[str, Event] = {}
        draw = start + SYMPTOMS_AT
        for component, instance in zip(self.kind.components, self.instances, strict=True):
            late = (instance.wear * instance.visibility - SYMPTOMS_FROM) / (1 - SYMPTOMS_FROM)
            for symptom in component.symptoms:
                if late > 0 and uniform[draw] < symptom.per_hour * late * late * interval_hours:
                    # One code at one time is one event, whichever component raised it.
                    time = datetime.fromtimestamp(time_s, UTC)
                    found[symptom.code] = Event(time, symptom.code, symptom.severity)
                draw += 1
        nuisance = self.kind.nuisance
        if uniform[start + NUISANCE_AT] < nuisance.per_hour * interval_hours:
            found[nuisance.code] = Event(datetime.fromtimestamp(time_s, UTC), nuisance.code, nuisance.severity)
        return [(self.serial, event) for event in found.values()]

    def _values(self, start: int, ambient: float, *, running: bool) -> dict[str, float]:
        normal = self._chance.normal
        load = self._intensity - 1.0 if running else 0.0
        season = ambient - NORMAL_AMBIENT_CELSIUS
        shifts = self._shifts()
        values = {}
        table: list[tuple[int, Metric, float]] = self._when_running if running else self._when_idle
        for place, metric, base in table:
            value = base + metric.load * load + metric.season * season + metric.noise * normal[start + place]
            value += shifts.get(metric.name, 0.0)
            values[metric.name] = round(min(metric.high, max(metric.low, value)), metric.decimals)
        values[RUNNING_HOURS] = round(self.running_hours, 3)
        return values

    def _shifts(self) -> dict[str, float]:
        """What wear does to each metric now."""
        shifts: dict[str, float] = {}
        for component, instance in zip(self.kind.components, self.instances, strict=True):
            visible = instance.wear * instance.visibility
            for effect in component.effects:
                shifts[effect.metric] = shifts.get(effect.metric, 0.0) + effect.gain * visible**effect.power
        return shifts
