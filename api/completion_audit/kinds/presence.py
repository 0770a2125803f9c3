"""Times, places and clocks."""

from datetime import timedelta
from itertools import pairwise
from typing import Annotated, Self

from pydantic import Field, model_validator

from api.completion_audit.facts import Facts
from api.completion_audit.kinds.kind import NONE, Answer, Factor, Found, Kilometres, Kind, Minutes, Parameters, Unknown

NOT_TIMED = Unknown("check-in or check-out is not told")


class Order(Parameters):
    """How far times may go back."""

    tolerance_minutes: Minutes = Field(0, description="devices' clocks are put right only as far as they tell")
    past_appointment_hours: Annotated[int, Field(ge=0, le=8760)] | None = Field(
        None, description="the check-in so much before or after the appointment; left out: not judged"
    )


def _time_order(facts: Facts, wanted: Order) -> Answer:
    times = facts.times
    told = [
        ("departed", times.departed_at),
        ("checked in", times.checked_in_at),
        ("began", times.work_began_at),
        ("checked out", times.checked_out_at),
        ("completed", times.completed_at),
    ]
    known = [(what, at) for what, at in told if at is not None]
    tolerance = timedelta(minutes=wanted.tolerance_minutes)
    found = [
        Found(
            f"{later} at {later_at:%Y-%m-%d %H:%M} UTC, before it {earlier} at {earlier_at:%Y-%m-%d %H:%M} UTC; "
            "object with when it was",
            {"first": earlier, "then": later, "minutes": round((earlier_at - later_at).total_seconds() / 60, 1)},
        )
        for (earlier, earlier_at), (later, later_at) in pairwise(known)
        if later_at + tolerance < earlier_at
    ]
    if wanted.past_appointment_hours is not None and times.checked_in_at is not None:
        most = timedelta(hours=wanted.past_appointment_hours)
        if not times.starts_at - most <= times.checked_in_at <= times.ends_at + most:
            message = (
                f"checked in at {times.checked_in_at:%Y-%m-%d %H:%M} UTC, far from the appointment; object with why"
            )
            found.append(Found(message, {"appointment": times.starts_at.isoformat()}))
    return found


class OnSite(Parameters):
    """How long the work may take."""

    least_minutes: Minutes = 0
    most_minutes: Minutes

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.least_minutes > self.most_minutes:
            raise ValueError("least_minutes must not be above most_minutes")
        return self


def _labour_minutes(facts: Facts, wanted: OnSite) -> Answer:
    """The time on site; where labour is billed by time, that too."""
    on_site = facts.times.on_site_minutes
    billed = _billed_minutes(facts)
    if on_site is None and billed is None:
        return NOT_TIMED
    found = []
    for what, minutes in (("on site", on_site), ("billed", billed)):
        if minutes is not None and not wanted.least_minutes <= minutes <= wanted.most_minutes:
            message = (
                f"{minutes:.0f} min {what}; {wanted.least_minutes} to {wanted.most_minutes} min are usual: "
                "object with why"
            )
            found.append(Found(message, {"what": what, "minutes": round(minutes, 1)}))
    return found


def _billed_minutes(facts: Facts) -> int | None:
    lines = [] if facts.bill is None or facts.voided else facts.bill.lines
    minutes = [line.quantity for line in lines if line.kind == "labour" and line.unit == "minute"]
    return sum(minutes) if minutes else None


class Presence(Parameters):
    """How much more may be billed than somebody was there."""

    factor: Factor = 1.0
    allowance_minutes: Minutes = 15


def _labour_beyond_presence(facts: Facts, wanted: Presence) -> Answer:
    billed = _billed_minutes(facts)
    if billed is None:
        return NONE
    on_site = facts.times.on_site_minutes
    if on_site is None:
        return NOT_TIMED
    allowed = max(on_site, 0) * wanted.factor + wanted.allowance_minutes
    if billed <= allowed:
        return NONE
    message = f"{billed} min of labour are billed, {on_site:.0f} min were on site; object with who else worked"
    return [Found(message, {"billed": billed, "on_site": round(on_site, 1), "allowed": round(allowed, 1)})]


class Far(Parameters):
    """How far from the site somebody may check in."""

    most_km: Kilometres = 0.5


def _far_from_site(facts: Facts, wanted: Far) -> Answer:
    away = facts.devices.check_in_km
    if away is None:
        return Unknown("the position of the check-in or of the site is not known")
    if away <= wanted.most_km:
        return NONE
    message = f"checked in {away:.2f} km from the site, {wanted.most_km:g} km may be; object with why"
    return [Found(message, {"km": round(away, 3)})]


class Clock(Parameters):
    """How far a device's clock may be off."""

    most_minutes: Minutes = 15


def _clock_off(facts: Facts, wanted: Clock) -> Answer:
    off = facts.devices.clock_off_s
    if off is None:
        return Unknown("no device told its clock")
    if off <= wanted.most_minutes * 60:
        return NONE
    message = f"a device's clock was {off / 60:.0f} min off; set it, and object with when the visit was"
    return [Found(message, {"minutes": round(off / 60, 1)})]


class Late(Parameters):
    """How late something may be told."""

    most_hours: Annotated[int, Field(ge=0, le=8760)] = 24
    after_the_end: Annotated[int, Field(ge=0, le=1000)] | None = Field(
        None, description="entries that may arrive when the visit is over; left out: any"
    )


def _told_late(facts: Facts, wanted: Late) -> Answer:
    devices = facts.devices
    found = []
    if devices.told_late_s > wanted.most_hours * 3600:
        hours = devices.told_late_s / 3600
        message = f"something was told {hours:.0f} h after it happened, {wanted.most_hours} h may be; object with why"
        found.append(Found(message, {"hours": round(hours, 1)}))
    if wanted.after_the_end is not None and devices.after_the_end > wanted.after_the_end:
        message = f"{devices.after_the_end} entries were told when the visit was over; object with why"
        found.append(Found(message, {"entries": devices.after_the_end}))
    return found


KINDS = (
    Kind("time_order", "times that contradict one another, e.g. completed before it began", Order, _time_order),
    Kind("labour_minutes", "work that took too short or too long", OnSite, _labour_minutes),
    Kind("labour_beyond_presence", "more labour billed than time on site", Presence, _labour_beyond_presence),
    Kind("far_from_site", "checked in far from the site", Far, _far_from_site),
    Kind("clock_off", "a device whose clock was wrong", Clock, _clock_off),
    Kind("told_late", "told long after it happened", Late, _told_late),
)
