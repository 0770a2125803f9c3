"""Turns maintenance plans that have fallen due into jobs, through the API.

Read every time: the plans, and the meters. Read again only after `refresh_every`, or when a plan changes: the assets
and which occurrences have jobs. Both only delay: a new asset's calendar plan is seen that much later, and before
anything is made the occurrences are read afresh, the API being the judge in the end.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from psycopg import Connection

from careloop.client import CareloopClient, Plan, ProblemError
from careloop.database.queries import load_queries
from scheduler.instant import Instant
from scheduler.meters import Meters
from scheduler.plans import (
    CalendarTrigger,
    MeterTrigger,
    calendar_occurrence,
    meter_occurrence,
    newly_due,
    parse_trigger,
)

QUERIES = load_queries("scheduler")

log = logging.getLogger(__name__)


@dataclass
class _Register:
    """What was read at one time."""

    read_at: datetime
    plans: frozenset[tuple[int, int]]
    installed_at: dict[str, dict[str, datetime]] = field(default_factory=dict)
    occurrences: dict[int, dict[str, int]] = field(default_factory=dict)
    # Occurrences whose job the API would not make; asked again with the next register.
    refused: set[tuple[int, str, int]] = field(default_factory=set)


class DuePlans:
    """The duty `plans`.

    Args:
        client: Of the API.
        connection: Of the database; telemetry is read, obstacles are noted in the scheduler's own schema.
        refresh_every: How old the list of assets may get.
    """

    def __init__(self, client: CareloopClient, connection: Connection[Any], refresh_every: timedelta) -> None:
        self._client = client
        self._connection = connection
        self._meters = Meters(connection)
        self._refresh_every = refresh_every
        self._register: _Register | None = None
        # None until the table's rows, which an earlier process may have left, were brought in line.
        self._obstacles: dict[int, str] | None = None

    def run(self, instant: Instant, stopping: Callable[[], bool]) -> int:
        """Make a job for every occurrence that has fallen due by `instant`, and return how many were made."""
        plans = list(self._client.plans())
        register = self._current_register(plans, instant.now)
        made = 0
        obstacles: dict[int, str] = {}
        for plan in plans:
            try:
                reached = self._reached(plan, register, instant.now)
            except ValueError as error:
                obstacles[plan["plan_id"]] = str(error)
                continue
            made += self._make_jobs(plan, reached, register, instant, stopping)
        self._note(obstacles, instant.now)
        return made

    def _current_register(self, plans: list[Plan], now: datetime) -> _Register:
        versions = frozenset((plan["plan_id"], plan["version"]) for plan in plans)
        register = self._register
        if (
            register is None
            or register.plans != versions
            or not register.read_at <= now < register.read_at + self._refresh_every
        ):
            register = self._register = _Register(now, versions)
        return register

    def _reached(self, plan: Plan, register: _Register, now: datetime) -> Mapping[str, int]:
        """The latest occurrence that each asset has reached.

        Raises:
            ValueError: The plan can't fall due as things are; the text says why.
        """
        trigger = parse_trigger(plan["trigger"])
        if isinstance(trigger, CalendarTrigger):
            installed = self._installed_at(plan["model"], register)
            if not installed:
                raise ValueError(f"no active asset of the model {plan['model']!r}")
            return {serial: calendar_occurrence(trigger, at, now) for serial, at in installed.items()}
        return self._reached_by_meter(plan["model"], trigger, now)

    def _reached_by_meter(self, model: str, trigger: MeterTrigger, now: datetime) -> Mapping[str, int]:
        meters = self._meters.latest(model, trigger.metric, now)
        if not meters:
            who = f"asset of the model {model!r}" if self._meters.reported(trigger.metric) else "asset at all"
            raise ValueError(f"no {who} has reported the metric {trigger.metric!r}")
        return {serial: meter_occurrence(trigger, meter) for serial, meter in meters.items()}

    def _installed_at(self, model: str, register: _Register) -> dict[str, datetime]:
        if model not in register.installed_at:
            register.installed_at[model] = {
                asset["serial"]: datetime.fromisoformat(asset["installed_at"])
                for asset in self._client.assets(model=model)
            }
        return register.installed_at[model]

    def _make_jobs(
        self,
        plan: Plan,
        reached: Mapping[str, int],
        register: _Register,
        instant: Instant,
        stopping: Callable[[], bool],
    ) -> int:
        plan_id = plan["plan_id"]
        if plan_id in register.occurrences and not any(_due(plan_id, reached, register)):
            return 0
        # Another scheduler may have made some since they were last read.
        register.occurrences[plan_id] = self._client.plan_occurrences(plan_id)
        made = 0
        for serial, occurrence in list(_due(plan_id, reached, register)):
            if stopping():
                break
            try:
                self._client.create_job(
                    {"plan_id": plan_id, "serial": serial, "occurrence": occurrence}, now=instant.told
                )
            except ProblemError as error:
                if error.status >= 500:
                    raise
                # One asset that the API refuses (retired since, say) must not keep the others from their service.
                about = {"plan": plan_id, "serial": serial}
                log.warning(
                    "plan %s, asset %s, occurrence %d: %s", plan["name"], serial, occurrence, error, extra=about
                )
                register.refused.add((plan_id, serial, occurrence))
                continue
            register.occurrences[plan_id][serial] = occurrence
            made += 1
        return made

    def _note(self, obstacles: dict[int, str], now: datetime) -> None:
        if obstacles == self._obstacles:
            return
        noted = self._obstacles or {}
        with self._connection.transaction():
            self._connection.execute(QUERIES["keep_obstacles"], {"plan_ids": list(obstacles)})
            for plan_id, reason in obstacles.items():
                if noted.get(plan_id) != reason:
                    log.warning("plan %d can't fall due: %s", plan_id, reason, extra={"plan": plan_id})
                self._connection.execute(QUERIES["note_obstacle"], {"plan_id": plan_id, "reason": reason, "now": now})
        self._obstacles = obstacles


def _due(plan_id: int, reached: Mapping[str, int], register: _Register) -> Iterator[tuple[str, int]]:
    with_job = register.occurrences[plan_id]
    for serial, occurrence in sorted(reached.items()):
        new = newly_due(occurrence, with_job.get(serial, 0))
        if new is not None and (plan_id, serial, new) not in register.refused:
            yield serial, new
