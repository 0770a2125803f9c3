"""Against the machine's earlier visits, and by chance."""

import hashlib
from typing import Annotated, Literal

from pydantic import Field

from api.completion_audit.facts import Earlier, Facts
from api.completion_audit.kinds.kind import NONE, Answer, Days, Found, Kind, Nothing, Parameters
from api.conventions.models import Text


def _second_installation(facts: Facts, _: Nothing) -> Answer:
    if facts.job_kind != "installation" or facts.installed_by is None:
        return NONE
    message = f"{facts.serial} was installed already, by visit {facts.installed_by}; object if it moved"
    return [Found(message, {"visit_id": facts.installed_by})]


class SameDay(Parameters):
    """Which visits of a day are too many."""

    whose: Literal["technician", "provider"] = "provider"
    same_job_too: bool = Field(False, description="also a second visit for the same job, e.g. after fetching a part")


def _twice_a_day(facts: Facts, wanted: SameDay) -> Answer:
    visits = [
        one.visit_id
        for one in facts.earlier
        if one.same_day
        and (one.same_technician if wanted.whose == "technician" else one.same_provider)
        and (wanted.same_job_too or not one.same_job)
    ]
    if not visits:
        return NONE
    named = ", ".join(str(visit_id) for visit_id in visits)
    message = f"{facts.serial} was visited on the same day already (visit {named}); object with what both were for"
    return [Found(message, {"visit_ids": visits})]


class Rework(Parameters):
    """When a visit repeats an earlier one."""

    within_days: Annotated[int, Field(ge=1, le=3650)] = 30
    same: Literal["fault", "component", "either"] = Field("either", description="what must be the same")
    same_provider: bool = Field(True, description="only after a visit of the same partner")


def _rework(facts: Facts, wanted: Rework) -> Answer:
    fault = None if facts.report is None else facts.report.fault
    for one in facts.earlier:
        if one.days > wanted.within_days or (wanted.same_provider and not one.same_provider) or one.same_job:
            continue
        if _repeats(facts, fault, one, wanted.same):
            what = f"fault {fault}" if fault is not None and fault == one.fault else f"component {facts.component}"
            message = (
                f"{what} again {one.days:.0f} days after visit {one.visit_id}; "
                f"within {wanted.within_days} days it is rework: object with what was different"
            )
            return [Found(message, {"visit_id": one.visit_id, "days": round(one.days, 1)})]
    return NONE


def _repeats(facts: Facts, fault: str | None, one: Earlier, same: str) -> bool:
    by_fault = fault is not None and fault == one.fault
    by_component = facts.component is not None and facts.component == one.component
    return (by_fault and same != "component") or (by_component and same != "fault")


class Share(Parameters):
    """How many of all visits."""

    per_mille: Annotated[int, Field(ge=1, le=1000)]
    salt: Annotated[Text, Field(max_length=64)] = Field("", description="another one takes other visits")


def _sample(facts: Facts, wanted: Share) -> Answer:
    digest = hashlib.sha256(f"{wanted.salt}:{facts.visit_id}".encode()).digest()
    if int.from_bytes(digest[:8], "big") % 1000 >= wanted.per_mille:
        return NONE
    return [Found(f"taken as a sample ({wanted.per_mille} of 1000)", {"per_mille": wanted.per_mille})]


class Unsolved(Parameters):
    """Since when a machine that still is not mended matters."""

    visits: Annotated[int, Field(ge=1, le=20)] = Field(2, description="visits of the job or its fault, with this one")
    within_days: Days = 60


def _many_visits(facts: Facts, wanted: Unsolved) -> Answer:
    if facts.report is None or facts.report.solved:
        return NONE
    before = [one.visit_id for one in facts.earlier if one.same_job and one.days <= wanted.within_days]
    if len(before) + 1 < wanted.visits:
        return NONE
    message = f"{len(before) + 1} visits for one job and it is not solved; object with what keeps it from being so"
    return [Found(message, {"visit_ids": before})]


KINDS = (
    Kind("second_installation", "an installation of a machine that was installed", Nothing, _second_installation),
    Kind("twice_a_day", "the machine was visited on the same day already", SameDay, _twice_a_day),
    Kind("rework", "the same fault again within some days", Rework, _rework),
    Kind("many_visits", "several visits for one job that still is not solved", Unsolved, _many_visits),
    Kind("sample", "a share of all visits, by chance but always the same ones", Share, _sample),
)
