"""Who does a job, and when: a pure greedy choice.

For each job, of all technicians with the skill and the territory, the earliest free slot within working hours and
within the technician's capacity of that day. Jobs are taken in the order of `urgency`, so an urgent one gets the early
slot. The same input always gives the same answer.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, tzinfo

from careloop.client import Job, Technician, Visit

PRIORITIES = ("urgent", "high", "normal", "low")

Span = tuple[datetime, datetime]


@dataclass(frozen=True)
class WorkingRules:
    """When visits may take place.

    Attributes:
        opens: Start of work, local time of the site.
        closes: End of work; a visit ends no later.
        slot: Appointments start on whole slots after midnight UTC.
        notice: An appointment starts no sooner than this from now: somebody has to get there.
        horizon_days: How many days ahead appointments are made.
    """

    opens: time = time(8)
    closes: time = time(17)
    slot: timedelta = timedelta(minutes=15)
    notice: timedelta = timedelta(minutes=30)
    horizon_days: int = 28

    @property
    def day(self) -> timedelta:
        """Length of a working day."""
        return datetime.combine(date.min, self.closes) - datetime.combine(date.min, self.opens)


@dataclass(frozen=True)
class Work:
    """What assignment needs to know of a job.

    Attributes:
        skill: What the technician must be able to do.
        territory: Where the asset is.
        duration: Of the visit.
        not_before: No appointment starts earlier: now with due notice, or when the last part is there.
        zone: Of the site; working hours are meant in it.
    """

    skill: str
    territory: str
    duration: timedelta
    not_before: datetime
    zone: tzinfo


@dataclass(frozen=True)
class Appointment:
    """A technician at a time."""

    technician_id: int
    starts_at: datetime
    ends_at: datetime


@dataclass
class Diary:
    """What technicians have promised already, in UTC."""

    # By technician and UTC day, so that looking at one day does not look at all of them.
    _spans: dict[tuple[int, date], list[Span]] = field(default_factory=lambda: defaultdict(list))

    @classmethod
    def of(cls, visits: Iterable[Visit]) -> "Diary":
        """The diary that holds these visits."""
        diary = cls()
        for visit in visits:
            starts_at = datetime.fromisoformat(visit["starts_at"]).astimezone(UTC)
            ends_at = datetime.fromisoformat(visit["ends_at"]).astimezone(UTC)
            diary.book(Appointment(visit["technician_id"], starts_at, ends_at))
        return diary

    def book(self, appointment: Appointment) -> None:
        """Note an appointment."""
        span = (appointment.starts_at, appointment.ends_at)
        for day in _days(*span):
            self._spans[appointment.technician_id, day].append(span)

    def within(self, technician_id: int, begins: datetime, ends: datetime) -> list[Span]:
        """What touches a span of time, in order."""
        spans = {span for day in _days(begins, ends) for span in self._spans.get((technician_id, day), [])}
        return sorted(span for span in spans if span[0] < ends and span[1] > begins)


def _days(begins: datetime, ends: datetime) -> list[date]:
    first = begins.astimezone(UTC).date()
    return [first + timedelta(days=offset) for offset in range((ends.astimezone(UTC).date() - first).days + 1)]


def urgency(job: Job) -> tuple[int, str, int]:
    """Sort key: priority, then the date it is due by (none is last), then the job's number."""
    due_by = job["due_by"]
    moment = datetime.fromisoformat(due_by).astimezone(UTC).isoformat() if due_by else "~"
    return PRIORITIES.index(job["priority"]), moment, job["job_id"]


def fit_technicians(work: Work, technicians: Sequence[Technician]) -> list[Technician]:
    """Active technicians with the skill who serve the territory."""
    return [
        technician
        for technician in technicians
        if technician["active"] and work.skill in technician["skills"] and work.territory in technician["territories"]
    ]


def earliest_appointment(
    work: Work, technicians: Sequence[Technician], diary: Diary, rules: WorkingRules
) -> Appointment | None:
    """The earliest slot of any fit technician; of equal ones the least booked that day, then the lowest number.

    Args:
        work: What is to be done.
        technicians: All technicians; those that are not fit are left out here.
        diary: Visits already promised.
        rules: Working hours and horizon.
    """
    fit = fit_technicians(work, technicians)
    if not fit:
        return None
    first_day = work.not_before.astimezone(work.zone).date()
    for offset in range(rules.horizon_days):
        day = first_day + timedelta(days=offset)
        choices = [
            (slot, booked, technician["technician_id"])
            for technician in fit
            for slot, booked in [_slot_of_day(work, technician, day, diary, rules)]
            if slot is not None
        ]
        if choices:
            starts_at, _, technician_id = min(choices)
            return Appointment(technician_id, starts_at, starts_at + work.duration)
    return None


def _slot_of_day(
    work: Work, technician: Technician, day: date, diary: Diary, rules: WorkingRules
) -> tuple[datetime | None, timedelta]:
    """The first free start on a day in the site's zone, if any, and what is booked that day."""
    opens = datetime.combine(day, rules.opens, work.zone).astimezone(UTC)
    closes = datetime.combine(day, rules.closes, work.zone).astimezone(UTC)
    midnight = datetime.combine(day, time(0), work.zone).astimezone(UTC)
    taken = diary.within(technician["technician_id"], midnight, midnight + timedelta(days=1))
    booked = sum((ends - starts for starts, ends in taken), timedelta())
    if booked + work.duration > timedelta(minutes=technician["daily_capacity_minutes"]):
        return None, booked
    start = _whole_slot(max(opens, work.not_before), rules.slot)
    for taken_from, taken_until in taken:
        if start + work.duration <= taken_from:
            break
        if taken_until > start:
            start = _whole_slot(taken_until, rules.slot)
    return (start if start + work.duration <= closes else None), booked


def _whole_slot(moment: datetime, slot: timedelta) -> datetime:
    """The first whole slot at or after a moment."""
    midnight = datetime.combine(moment.date(), time(0), UTC)
    return midnight + -((midnight - moment.astimezone(UTC)) // slot) * slot


def why_nobody(work: Work, technicians: Sequence[Technician], rules: WorkingRules) -> str:
    """The reason for the dispatcher why no appointment was found, naming what is missing.

    What changes from day to day stands in brackets, see `dispatch.same_reason`.
    """
    active = [technician for technician in technicians if technician["active"]]
    minutes = int(work.duration.total_seconds() // 60)
    if not active:
        return "no active technician is registered"
    skilled = [technician for technician in active if work.skill in technician["skills"]]
    if not skilled:
        return f"no active technician has the skill {work.skill!r}"
    fit = fit_technicians(work, technicians)
    if not fit:
        elsewhere = sorted({territory for technician in skilled for territory in technician["territories"]})
        return (
            f"no technician with the skill {work.skill!r} serves the territory {work.territory!r} "
            f"(but: {', '.join(elsewhere) or 'none'})"
        )
    longest = min(max(technician["daily_capacity_minutes"] for technician in fit), int(rules.day.total_seconds() // 60))
    if minutes > longest:
        return f"the visit takes {minutes} minutes, but no fit technician can work more than {longest} minutes a day"
    return (
        f"all technicians with the skill {work.skill!r} in {work.territory!r} are booked for {rules.horizon_days} days "
        f"({len(fit)} of them, from {work.not_before.date().isoformat()} on)"
    )
