"""The demo: a simulated fleet wears out and is looked after, in simulated time, by the real processes."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from careloop.client import Job
from careloop.line.conductor import Line
from careloop.stepping import parse_time

STEP = timedelta(hours=12)
# The first models are trained on the failures of the time before; then again as more is seen.
FIRST_TRAINING = timedelta(days=40)
TRAIN_EVERY = timedelta(days=20)
# A component found less worn than this at a preventive visit is left in: no fault found.
WORTH_REPLACING = 0.6

Progress = Callable[[datetime], None]


@dataclass
class Course:
    """What the demo did itself: the customers' and technicians' part.

    Attributes:
        failures: Machines that stopped.
        announced: Of these, how many had a preventive ticket open already.
        before_training: Of these, how many happened before there was a model.
    """

    failures: int = 0
    announced: int = 0
    before_training: int = 0


class Demo:
    """The demo's course.

    Args:
        line: Started, with the simulated fleet registered.
        starts_at: Simulated start.
        days: How long.
    """

    def __init__(self, line: Line, starts_at: datetime, days: int) -> None:
        self._line = line
        self._starts_at = starts_at
        self._ends_at = starts_at + timedelta(days=days)
        self._next_training = starts_at + min(FIRST_TRAINING, timedelta(days=days) / 3)
        self._trained = False
        self.course = Course()

    def run(self, progress: Progress) -> None:
        """Let the days pass."""
        now = self._starts_at
        while now < self._ends_at:
            before, now = now, min(now + STEP, self._ends_at)
            answer = self._line.publish(now)
            self._report_failures(answer["failures"], now)
            self._predict(now)
            if now.date() != before.date():
                self._line.sweep_warranties(now)
            self._line.schedule(now)
            self._do_visits(now)
            progress(now)
        self._line.wait_for_alerts()

    def _predict(self, now: datetime) -> None:
        if now >= self._next_training:
            self._line.train(now)
            self._trained = True
            self._next_training = now + TRAIN_EVERY
        if self._trained:
            self._line.score(now)

    # Customers --------------------------------------------------------------------------------

    def _report_failures(self, failures: Iterable[Mapping[str, Any]], now: datetime) -> None:
        """A machine stopped: its customer calls, and the desk opens a repair ticket unless a visit is on its way."""
        client = self._line.client
        for failure in failures:
            serial, component = failure["serial"], failure["component"]
            fact = {"component": component, "failed_at": failure["failed_at"]}
            told = client.post(f"/v1/assets/{serial}/failures", fact, now=now)
            self.course.failures += 1
            self.course.before_training += not self._trained
            if told["ticket_ids"]:
                # Somebody is on the way already; the visit becomes urgent.
                self.course.announced += 1
                continue
            ticket = {
                "kind": "repair",
                "serial": serial,
                "component": component,
                "cause": f"failed:{component}",
                "title": f"{serial} has stopped: {component}",
                "priority": "urgent",
            }
            client.open_ticket(ticket, now=now)

    # Technicians ------------------------------------------------------------------------------

    def _do_visits(self, now: datetime) -> None:
        for job in self._line.client.jobs("dispatched"):
            visit = job["visit"]
            if visit is not None and parse_time(visit["ends_at"]) <= now:
                self._visit(job, now)

    def _visit(self, job: Job, now: datetime) -> None:
        """The technician looks, replaces what is worn, and reports."""
        client, serial, component = self._line.client, job["serial"], job["component"]
        if component is None:
            client.post(f"/v1/jobs/{job['job_id']}/complete", {"outcome": "done"}, now=now)
            return
        found = self._line.inspect(now, serial, component)
        if not found["failed"] and found["wear"] < WORTH_REPLACING:
            client.post(f"/v1/jobs/{job['job_id']}/complete", {"outcome": "no_fault_found"}, now=now)
            return
        self._line.replace(now, serial, component)
        reason = "failure" if found["failed"] else "preventive"
        fact = {"component": component, "replaced_at": now.isoformat(), "reason": reason}
        client.post(f"/v1/assets/{serial}/replacements", fact, now=now)
