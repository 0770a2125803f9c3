"""A simulated fleet as a source."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from edge_agent.simulator.catalogue import KINDS
from edge_agent.simulator.fleet import Fleet
from edge_agent.simulator.kinds import RUNNING_HOURS
from edge_agent.simulator.machine import Failure
from edge_agent.sources.simulator_config import SimulatorConfig
from edge_agent.sources.source import Clock, Harvest, Source


class Simulator(Source):
    """Runs the fleet up to each poll's time."""

    def __init__(self, config: SimulatorConfig) -> None:
        self.name = config.name or config.kind
        self.interval_s = config.interval_s
        self.fleet = Fleet(
            {str(kind): count for kind, count in config.fleet.items()},
            seed=config.seed,
            start=config.start,
            interval_s=config.interval_s,
            acceleration=config.acceleration,
            replaced_after_hours=config.replaced_after_hours,
        )
        self._failures: list[Failure] = []
        self._units = {
            kind.kind: {metric.name: metric.unit for metric in kind.metrics} | {RUNNING_HOURS: "h"} for kind in KINDS
        }

    def open(self, checkpoint: str | None, since: datetime | None) -> None:
        """Go on where the fleet was; time that passed without the agent passed without the machines."""
        if checkpoint is not None:
            self.fleet.restore(checkpoint)
        if since is not None:
            self.fleet.skip_until(since)

    def set_interval(self, interval_s: float) -> None:
        """Machines speak so often from now on, too."""
        self.interval_s = interval_s
        self.fleet.set_interval(interval_s)

    def units_of(self, serial: str) -> Mapping[str, str]:
        """The units of the machine's kind."""
        return self._units[self.fleet.machine(serial).kind.kind] if serial in self.fleet else {}

    def serials(self) -> Sequence[str]:
        """The whole fleet."""
        return self.fleet.serials

    def poll(self, now: datetime) -> Harvest:
        """What the machines said before `now`."""
        harvest, failures = self.fleet.run_until(now)
        self._failures += failures
        return harvest

    def checkpoint(self) -> str:
        """The fleet's state."""
        return self.fleet.checkpoint()

    def take_failures(self) -> list[Failure]:
        """Failures since the last call."""
        failures, self._failures = self._failures, []
        return failures


def simulator_source(config: SimulatorConfig, clock: Clock) -> Source:  # noqa: ARG001 - a poll's time is the fleet's
    """A simulated fleet."""
    return Simulator(config)
