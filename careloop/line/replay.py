"""Replays the Azure PdM recording through the whole line, as if it happened now."""

import math
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from careloop.client import Job
from careloop.line.azure_pdm import COMPONENTS, METRIC_UNITS, Fact, Recording
from careloop.line.conductor import Line
from careloop.stepping import parse_time

DAY = timedelta(days=1)
SCORE_EVERY = timedelta(hours=3)
# A ticket whose component did not fail within this time is closed as "no fault found"; acceptance counts it as false.
NO_FAULT_AFTER = timedelta(hours=48)
KIND = "azure-pdm"
TERRITORIES = ("north", "south")
YEAR = timedelta(days=365.25)

Progress = Callable[[datetime], None]


@dataclass(frozen=True)
class Window:
    """When things happen.

    Attributes:
        starts_at: First midnight.
        train_at: The predictor trains on what was seen before, and scores from here on.
        ends_at: Nothing happens from here on.
    """

    starts_at: datetime
    train_at: datetime
    ends_at: datetime

    def steps(self) -> Iterator[tuple[datetime, datetime]]:
        """Spans of time: days until the training, then three hours each."""
        start = self.starts_at
        while start < self.ends_at:
            length = DAY if start < self.train_at else SCORE_EVERY
            border = self.train_at if start < self.train_at else self.ends_at
            end = min(start + length, border)
            yield start, end
            start = end


class Replay:
    """One replay.

    Args:
        line: Started, over an empty database.
        recording: What happened.
        window: When.
    """

    def __init__(self, line: Line, recording: Recording, window: Window) -> None:
        self._line = line
        self._recording = recording
        self._window = window
        self._facts = deque(fact for fact in recording.facts if fact.at < window.ends_at)
        self._readings = _by_step(recording.readings, window)
        self._events = _by_step(recording.events, window)
        self.sent: Counter[tuple[str, str]] = Counter()

    def run(self, progress: Progress) -> None:
        """Register the fleet and play to the end."""
        self._register()
        self._record_facts(self._window.starts_at)
        for index, (start, end) in enumerate(self._window.steps()):
            self._line.publish(end, self._reading_rows(index), self._event_rows(index))
            self._record_facts(end)
            self._close_unfounded(end)
            if end == self._window.train_at:
                self._line.train(end)
            if end >= self._window.train_at and end < self._window.ends_at:
                self._line.score(end)
            if end.date() != start.date():
                self._line.sweep_warranties(end)
            self._line.schedule(end)
            progress(end)
        self._line.wait_for_alerts()

    def result(self) -> dict[str, Any]:
        """What came of it, counted in the database."""
        window, counts = self._window, self._line.counts()
        stored = self._line.stored_readings()
        machine_years = len(self._recording.machines) * ((window.ends_at - window.train_at) / YEAR)
        false_alerts = self._line.false_alerts()
        return {
            "machines": len(self._recording.machines),
            "readings_sent": sum(self.sent.values()),
            "readings_stored": counts["readings_stored"],
            "readings_lost": sum(max(0, sent - stored.get(key, (0, 0))[1]) for key, sent in self.sent.items()),
            "readings_doubled": sum(rows - times for rows, times in stored.values()),
            "events_stored": counts["events_stored"],
            "dead_letters": counts["dead_letters"],
            "tickets_raised": counts["tickets_raised"],
            "tickets_by_kind": self._line.tickets_by_kind(),
            **self._line.catches(window.train_at, window.ends_at),
            "false_alerts": false_alerts,
            "false_alerts_per_machine_year": round(false_alerts / machine_years, 4),
            "parts_reserved": counts["parts_reserved"],
            "jobs_dispatched": counts["jobs_dispatched"],
            "tickets_without_part_or_job": self._line.unserved_tickets(),
            "alerts_sent": counts["alerts_sent"],
            "engine": str(self._line.engine),
        }

    # The fleet --------------------------------------------------------------------------------

    def _register(self) -> None:
        post, now = self._line.client.post, self._window.starts_at
        machines = self._recording.machines
        for component in COMPONENTS:
            post(
                "/v1/parts",
                {"sku": f"PDM-{component}", "name": f"Component {component}", "cost_minor": 40_000},
                now=now,
            )
        for model in sorted({machine.model for machine in machines}):
            post("/v1/product-models", _product_model(model), now=now)
        sites = {}
        for territory in TERRITORIES:
            sites[territory] = post("/v1/sites", {"name": f"Plant {territory}", "territory": territory}, now=now)[
                "site_id"
            ]
            warehouse = {
                "code": f"wh-{territory}",
                "name": f"Partner {territory}",
                "kind": "partner",
                "territory": territory,
            }
            post("/v1/warehouses", warehouse, now=now)
            for component in COMPONENTS:
                receipt = {"sku": f"PDM-{component}", "warehouse": warehouse["code"], "kind": "receipt"}
                quantity = 100 + 20 * len(machines)
                post("/v1/parts/movements", {**receipt, "quantity": quantity, "cause": "opening stock"}, now=now)
            for number in range(1, 2 + math.ceil(len(machines) / 10)):
                technician = {"name": f"{territory} {number}", "skills": ["mechanics"], "territories": [territory]}
                post("/v1/technicians", technician, now=now)
        for index, machine in enumerate(machines):
            asset = {
                "serial": machine.serial,
                "model": f"PDM-{machine.model}",
                "site_id": sites[TERRITORIES[index % len(TERRITORIES)]],
                # The sample tells the age in whole years; the day is not known.
                "installed_at": (now - machine.age_years * YEAR).isoformat(),
                "attributes": {"age_years": machine.age_years},
            }
            post("/v1/assets", asset, now=now)

    # What happened ----------------------------------------------------------------------------

    def _reading_rows(self, index: int) -> list[tuple[str, str, dict[str, float]]]:
        frame = self._readings.get(index)
        if frame is None:
            return []
        rows = []
        for time, serial, *values in frame.itertuples(index=False, name=None):
            taken = {metric: value for metric, value in zip(METRIC_UNITS, values, strict=True) if value == value}  # noqa: PLR0124 - NaN
            for metric in taken:
                self.sent[serial, metric] += 1
            rows.append((serial, time.isoformat(), taken))
        return rows

    def _event_rows(self, index: int) -> list[tuple[str, str, str, str, dict[str, str]]]:
        frame = self._events.get(index)
        if frame is None:
            return []
        return [
            (serial, time.isoformat(), code, "error", {})
            for time, serial, code in frame.itertuples(index=False, name=None)
        ]

    def _record_facts(self, now: datetime) -> None:
        """Tell the service desk what happened before `now`, each at its time."""
        while self._facts and self._facts[0].at < now:
            self._record(self._facts.popleft())

    def _record(self, fact: Fact) -> None:
        path = f"/v1/assets/{fact.serial}/{fact.kind}s"
        at = fact.at.isoformat()
        body: dict[str, Any] = {"component": fact.component}
        body |= {"failed_at": at} if fact.kind == "failure" else {"replaced_at": at, "reason": fact.reason}
        # History from before the recording is told at its start.
        self._line.client.post(path, body, now=max(fact.at, self._window.starts_at))

    def _close_unfounded(self, now: datetime) -> None:
        """What the technician finds where nothing failed: no fault."""
        if now <= self._window.train_at:
            return
        for job in self._line.client.jobs("dispatched"):
            if job["ticket_id"] is not None and now >= parse_time(job["created_at"]) + NO_FAULT_AFTER:
                self._complete_unfounded(job, now)

    def _complete_unfounded(self, job: Job, now: datetime) -> None:
        # Some failures stand in the recording without a replacement: their case is confirmed, and ends here.
        ticket = self._line.client.get(f"/v1/tickets/{job['ticket_id']}")
        outcome = ticket["outcome"] or "no_fault_found"
        self._line.client.post(f"/v1/jobs/{job['job_id']}/complete", {"outcome": outcome}, now=now)


def _product_model(model: str) -> dict[str, Any]:
    return {
        "code": f"PDM-{model}",
        "name": f"Azure PdM {model}",
        "kind": KIND,
        "horizon_hours": 24,
        "metrics": [{"name": name, "unit": unit} for name, unit in METRIC_UNITS.items()],
        "components": [
            {
                "name": component,
                "sku": f"PDM-{component}",
                "skill": "mechanics",
                "labour_minutes": 90,
                "failure_cost_minor": 500_000,
                "planned_cost_minor": 100_000,
            }
            for component in COMPONENTS
        ],
    }


def _by_step(frame: Any, window: Window) -> dict[int, Any]:
    """Cut a frame with a `time` column into the window's steps, by their index."""
    ends = [end for _, end in window.steps()]
    kept = frame[(frame["time"] >= window.starts_at) & (frame["time"] < window.ends_at)]
    steps = _index_of(kept["time"], ends)
    return dict(iter(kept.groupby(steps)))


def _index_of(times: Any, ends: list[datetime]) -> Any:
    """Index of the step that each time falls into; a time at a step's end belongs to the next."""
    import pandas as pd  # noqa: PLC0415 - only where frames are cut

    return pd.DatetimeIndex(ends).searchsorted(times, side="right")
