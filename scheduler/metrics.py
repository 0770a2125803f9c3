"""What the scheduler counts, for Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from careloop.observability.metrics import LONG_SECONDS
from scheduler.allocation.nightly import Planned
from scheduler.dispatch import Tally


class SchedulerMetrics:
    """The scheduler's metrics.

    Args:
        registry: That they are shown from.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._leader = Gauge(
            "careloop_scheduler_leader", "1 while this scheduler leads, 0 while it stands by", registry=registry
        )
        self._runs = Counter(
            "careloop_scheduler_runs_total", "Duties done, by duty and result", ["duty", "result"], registry=registry
        )
        self._seconds = Histogram(
            "careloop_scheduler_run_seconds",
            "How long duties took, by duty",
            ["duty"],
            registry=registry,
            buckets=LONG_SECONDS,
        )
        self._created = Counter(
            "careloop_scheduler_jobs_created_total",
            "Jobs made, by what they are made from",
            ["from"],
            registry=registry,
        )
        self._dispatched = Counter(
            "careloop_scheduler_jobs_dispatched_total", "Jobs given to a technician", registry=registry
        )
        self._reserved = Counter("careloop_scheduler_parts_reserved_total", "Parts reserved", registry=registry)
        self._waiting = Gauge(
            "careloop_scheduler_jobs_waiting",
            "Jobs left waiting at the latest dispatch, for a part, a technician or an appointment",
            registry=registry,
        )
        self._demands = Counter(
            "careloop_scheduler_demands_planned_total",
            "Demands for parts planned together, by result",
            ["result"],
            registry=registry,
        )
        self._saved = Gauge(
            "careloop_scheduler_plan_saved_minor",
            "What the latest plan of all demand costs less than one answer after the other, in minor units",
            registry=registry,
        )
        self._gap = Gauge(
            "careloop_scheduler_plan_gap", "How far above the proven bound the latest plan is", registry=registry
        )

    def leads(self, leads: bool) -> None:
        """Whether this process leads."""
        self._leader.set(leads)

    def ran(self, duty: str, seconds: float, *, succeeded: bool) -> None:
        """A duty ended."""
        self._runs.labels(duty, "done" if succeeded else "failed").inc()
        self._seconds.labels(duty).observe(seconds)

    def made(self, jobs: int) -> None:
        """So many jobs were made for plans."""
        self._created.labels("plan").inc(jobs)

    def dispatched(self, tally: Tally) -> None:
        """The duty dispatch did this."""
        self._created.labels("ticket").inc(tally.jobs_created)
        self._dispatched.inc(tally.jobs_dispatched)
        self._reserved.inc(tally.parts_reserved)
        self._waiting.set(tally.jobs_waiting)

    def planned(self, planned: Planned) -> None:
        """All demand was planned together."""
        self._demands.labels("applied").inc(planned.applied)
        self._demands.labels("kept").inc(planned.kept)
        self._demands.labels("refused").inc(planned.refused)
        self._saved.set(planned.saved_minor)
        self._gap.set(planned.gap)
