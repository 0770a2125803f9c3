"""Gets every open job to somebody's door, or says why not: tickets to jobs, parts, appointment, dispatch.

After a run every job is dispatched, or waits with a reason that names what is missing, or was ended by somebody else.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

from careloop.client import CareloopClient, Job, ProblemError, Technician
from scheduler.assignment import (
    Appointment,
    Diary,
    Work,
    WorkingRules,
    earliest_appointment,
    urgency,
    why_nobody,
)
from scheduler.instant import Instant
from scheduler.parts import PartsDesk

TECHNICIAN_BUSY = "/problems/technician-busy"
TECHNICIAN_UNFIT = "/problems/technician-unfit"
# Appointments tried for one job in one run; each refusal means that somebody else booked at the same moment.
TRIES = 8

log = logging.getLogger(__name__)


@dataclass
class Tally:
    """What a run did."""

    jobs_created: int = 0
    parts_reserved: int = 0
    jobs_dispatched: int = 0
    jobs_waiting: int = 0


@dataclass
class _Board:
    """Who there is and what they have promised, as of one run."""

    technicians: Sequence[Technician]
    diary: Diary
    hopeless: set[Work] = field(default_factory=set)


class Dispatching:
    """The duty `dispatch`.

    Args:
        client: Of the API.
        rules: Working hours and horizon.
        ask_again_after: How soon a part out of stock, or a ticket the API would make no job for, is asked for again.
    """

    def __init__(self, client: CareloopClient, rules: WorkingRules, ask_again_after: timedelta) -> None:
        self._client = client
        self._rules = rules
        self._ask_again_after = ask_again_after
        self._parts = PartsDesk(client, ask_again_after)
        self._refused_tickets: dict[int, datetime] = {}

    def run(self, instant: Instant, stopping: Callable[[], bool]) -> Tally:
        """Work through all tickets without a job and all jobs without an appointment."""
        tally = Tally()
        self._make_jobs_for_tickets(instant, tally)
        supplied: list[tuple[Job, Work]] = []
        for job in sorted(self._client.jobs("open", "waiting"), key=urgency):
            if stopping():
                return tally
            work = self._supply(job, instant, tally)
            if work is not None:
                supplied.append((job, work))
        if supplied:
            board = self._read_board([work for _, work in supplied], instant)
            for job, work in supplied:
                if stopping():
                    return tally
                self._place(job, work, board, instant, tally)
        return tally

    def _make_jobs_for_tickets(self, instant: Instant, tally: Tally) -> None:
        now = instant.now
        for ticket in self._client.tickets_without_job():
            number = ticket["ticket_id"]
            if now < self._refused_tickets.get(number, now) <= now + self._ask_again_after:
                continue
            try:
                self._client.create_job({"ticket_id": number}, now=instant.told)
                tally.jobs_created += 1
            except ProblemError as error:
                # The ticket stays in the list of those that need a job, for a dispatcher to see.
                log.warning("ticket %d gets no job: %s", number, error, extra={"ticket": number})
                self._refused_tickets[number] = now + self._ask_again_after

    def _supply(self, job: Job, instant: Instant, tally: Tally) -> Work | None:
        """Reserve a job's parts; None when it waits for one."""
        try:
            supply = self._parts.supply(job, instant)
        except ProblemError as error:
            self._refused(job, error, instant, tally)
            return None
        tally.parts_reserved += supply.reserved
        if supply.lacking:
            self._hold(job, supply.lacking, instant, tally)
            return None
        zone = _zone(job.get("time_zone", "UTC"))
        if zone is None:
            self._hold(job, f"the site's time zone {job['time_zone']!r} is unknown", instant, tally)
            return None
        return Work(
            skill=job["skill"],
            territory=job["territory"],
            duration=timedelta(minutes=job["labour_minutes"]),
            not_before=max(instant.now + self._rules.notice, supply.available_at or instant.now),
            zone=zone,
        )

    def _read_board(self, works: Iterable[Work], instant: Instant) -> _Board:
        # A day more on either side, because a day in a site's zone is not a day in UTC.
        day = timedelta(days=1)
        until = max(work.not_before for work in works) + self._rules.horizon_days * day
        visits = self._client.visits(ends_after=instant.now - day, starts_before=until + day)
        return _Board(list(self._client.technicians()), Diary.of(visits))

    def _place(self, job: Job, work: Work, board: _Board, instant: Instant, tally: Tally) -> None:
        """Give a job its appointment, or let it wait with the reason."""
        technicians = board.technicians
        for _ in range(TRIES):
            appointment = None
            if work not in board.hopeless:
                appointment = earliest_appointment(work, technicians, board.diary, self._rules)
            if appointment is None:
                if technicians is board.technicians:
                    # The diary only fills up during a run: the same work can't fit later in it.
                    board.hopeless.add(work)
                self._hold(job, why_nobody(work, technicians, self._rules), instant, tally)
                return
            try:
                self._dispatch(job, appointment, instant)
            except ProblemError as error:
                if error.type == TECHNICIAN_UNFIT:
                    technicians = [one for one in technicians if one["technician_id"] != appointment.technician_id]
                elif error.type == TECHNICIAN_BUSY:
                    # Somebody else has booked there since the diary was read.
                    board.diary.book(appointment)
                else:
                    self._refused(job, error, instant, tally)
                    return
            else:
                board.diary.book(appointment)
                tally.jobs_dispatched += 1
                return
        reason = f"{TRIES} appointments in a row were taken by others meanwhile; tried again with the next run"
        self._hold(job, reason, instant, tally)

    def _dispatch(self, job: Job, appointment: Appointment, instant: Instant) -> None:
        self._client.dispatch_job(
            job["job_id"],
            appointment.technician_id,
            appointment.starts_at,
            appointment.ends_at,
            now=instant.told,
        )

    def _hold(self, job: Job, reason: str, instant: Instant, tally: Tally) -> None:
        if not same_reason(job["waiting_reason"], reason):
            try:
                self._client.hold_job(job["job_id"], reason, now=instant.told)
            except ProblemError as error:
                self._settled_meanwhile(job, error)
                return
        tally.jobs_waiting += 1

    def _refused(self, job: Job, error: ProblemError, instant: Instant, tally: Tally) -> None:
        """The API would not go on with a job: one that is still ours waits, with the API's words as the reason."""
        if error.status >= 500:
            log.error("job %d: %s", job["job_id"], error, extra={"job": job["job_id"]})
        self._hold(job, f"the API refused: {error.problem.get('detail') or error}", instant, tally)

    def _settled_meanwhile(self, job: Job, error: ProblemError) -> None:
        """A job that can't be held has been dispatched or ended by somebody else; anything else is a defect."""
        current: Job = self._client.get(f"/v1/jobs/{job['job_id']}")
        if current["state"] in {"open", "waiting"}:
            raise error
        log.info("job %d is %s meanwhile", job["job_id"], current["state"], extra={"job": job["job_id"]})


def same_reason(noted: str | None, reason: str) -> bool:
    """Whether a job waits for the same thing as before; figures in brackets are news to nobody.

    Every new reason is announced to those who asked for it, so one that only counts differently is not noted again.
    """
    return noted is not None and noted.split(" (")[0] == reason.split(" (", maxsplit=1)[0]


def _zone(name: str) -> tzinfo | None:
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return None
