"""A fleet of simulated machines on one grid of ticks."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from math import ceil
from typing import Any

from careloop.errors import CareloopError
from edge_agent.simulator.catalogue import KINDS
from edge_agent.simulator.climate import Chance, ambient_celsius
from edge_agent.simulator.machine import Failure, Machine
from edge_agent.sources.source import Harvest

SECONDS_AN_HOUR = 3600


class Fleet:
    """Machines by serial number, and the time they have come to.

    Ticks lie on multiples of the interval since 1970; a tick's readings carry its time. What the fleet does depends on
    the seed and the ticks alone, not on how many ticks are run at once.

    Args:
        counts: Number of machines by kind.
        seed: The same seed gives the same fleet.
        start: Where the simulation begins.
        interval_s: Seconds between readings of a machine.
        acceleration: How much faster than usual everything wears.
        replaced_after_hours: Failed components are replaced by themselves after this time; None leaves it to others.
    """

    def __init__(
        self,
        counts: Mapping[str, int],
        *,
        seed: int,
        start: datetime,
        interval_s: float,
        acceleration: float = 1.0,
        replaced_after_hours: float | None = None,
    ) -> None:
        self._seed = seed
        self._interval_s = self._first_interval_s = interval_s
        self._replaced_after_hours = replaced_after_hours
        self._next_tick = ceil(start.timestamp() / interval_s)
        chance = Chance(seed)
        self._machines = {
            serial: Machine(
                kind, serial, seed=seed, chance=chance, start_s=start.timestamp(), acceleration=acceleration
            )
            for kind in KINDS
            for serial in (f"{kind.prefix}-{number:04d}" for number in range(1, counts.get(kind.kind, 0) + 1))
        }
        # What makes one fleet another; a checkpoint of another fleet is no use.
        self._identity = json.dumps([sorted(counts.items()), seed, start.isoformat(), interval_s, acceleration])

    def __len__(self) -> int:
        return len(self._machines)

    def __contains__(self, serial: str) -> bool:
        return serial in self._machines

    @property
    def serials(self) -> Sequence[str]:
        """All serial numbers."""
        return list(self._machines)

    def machine(self, serial: str) -> Machine:
        """One machine.

        Raises:
            ValueError: There is none of that serial number.
        """
        if serial not in self._machines:
            raise ValueError(f"no simulated asset {serial!r}")
        return self._machines[serial]

    def run_until(self, now: datetime) -> tuple[Harvest, list[Failure]]:
        """Run every tick before `now`; returns what the machines said, in the order of time, and what failed."""
        end = ceil(now.timestamp() / self._interval_s)
        rows, events, failures = [], [], []
        interval_hours = self._interval_s / SECONDS_AN_HOUR
        machines = self._machines.values()
        for tick in range(self._next_tick, end):
            time_s = tick * self._interval_s
            ambient = ambient_celsius(self._seed, int(time_s // SECONDS_AN_HOUR))
            for machine in machines:
                self._mend(machine, time_s)
                row, said, failure = machine.tick(tick, time_s, interval_hours, ambient)
                rows.append(row)
                if said:
                    events += said
                if failure is not None:
                    failures.append(failure)
        self._next_tick = max(self._next_tick, end)
        return Harvest(rows, events), failures

    def skip_until(self, now: datetime) -> None:
        """Let time pass without the machines: they were switched off."""
        self._next_tick = max(self._next_tick, ceil(now.timestamp() / self._interval_s))

    def set_interval(self, interval_s: float) -> None:
        """Let machines speak so often from now on."""
        self._next_tick = _in_ticks(self._next_tick, self._interval_s, interval_s)
        self._interval_s = interval_s

    def inspect(self, serial: str, component: str) -> tuple[float, bool]:
        """Wear of a component from 0 to 1, and whether it has failed.

        Raises:
            ValueError: There is no such machine or component.
        """
        return self.machine(serial).inspect(component)

    def replace(self, serial: str, component: str) -> float:
        """Fit a new component; returns the old one's wear.

        Raises:
            ValueError: There is no such machine or component.
        """
        return self.machine(serial).replace(component)

    def to_json(self) -> list[dict[str, Any]]:
        """Serial number, kind, model code and time of installation of every machine."""
        return [
            {
                "serial": machine.serial,
                "kind": machine.kind.kind,
                "model": machine.kind.code,
                "installed_at": datetime.fromtimestamp(int(machine.installed_at_s), UTC).isoformat(),
            }
            for machine in self._machines.values()
        ]

    def checkpoint(self) -> str:
        """All that cannot be drawn again, as text."""
        machines = {serial: machine.snapshot() for serial, machine in self._machines.items()}
        # In ticks of the first interval, which the next start begins with.
        next_tick = _in_ticks(self._next_tick, self._interval_s, self._first_interval_s)
        return json.dumps({"fleet": self._identity, "next_tick": next_tick, "machines": machines})

    def restore(self, checkpoint: str) -> None:
        """Be as `checkpoint` says.

        Raises:
            CareloopError: It is of another fleet.
        """
        state = json.loads(checkpoint)
        if state["fleet"] != self._identity:
            raise CareloopError(
                "the simulator's settings changed since this buffer was written; "
                "change them back, or move the buffer file away"
            )
        self._next_tick = _in_ticks(state["next_tick"], self._first_interval_s, self._interval_s)
        for serial, snapshot in state["machines"].items():
            self._machines[serial].restore(snapshot)

    def _mend(self, machine: Machine, time_s: float) -> None:
        if machine.failed is None or self._replaced_after_hours is None:
            return
        if time_s - machine.failed_at_s >= self._replaced_after_hours * SECONDS_AN_HOUR:
            machine.replace(machine.kind.components[machine.failed].name)


def _in_ticks(tick: int, interval_s: float, other_interval_s: float) -> int:
    """A tick of one interval as the first one of another interval that is not before it."""
    return tick if interval_s == other_interval_s else ceil(tick * interval_s / other_interval_s)
