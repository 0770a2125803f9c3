"""What the report lacks."""

from typing import Annotated, Literal

from pydantic import Field

from api.completion_audit.facts import Facts
from api.completion_audit.kinds.kind import NONE, Answer, Found, Kind, Nothing, Parameters, Unknown

Level = Literal["symptom", "fault", "cause", "remedy"]
NO_REPORT = Unknown("the visit has no report")


def _report(facts: Facts, _: Nothing) -> Answer:
    if facts.report is None:
        return [Found("the visit was completed without a report; object with what was done, or correct it")]
    return NONE


class SerialWanted(Parameters):
    """How the serial number must be."""

    must_match: bool = Field(True, description="the plate's number must be the case's")


def _serial(facts: Facts, wanted: SerialWanted) -> Answer:
    if facts.report is None:
        return NO_REPORT
    found = facts.report.serial_found
    if found is None:
        return [Found("the serial number on the plate is missing; correct serial_found")]
    if wanted.must_match and found != facts.serial:
        message = f"the plate says {found}, the case is about {facts.serial}; correct serial_found or object"
        return [Found(message, {"serial_found": found, "serial": facts.serial})]
    return NONE


class LevelsWanted(Parameters):
    """Which codes must be there."""

    levels: list[Level] = Field(["fault"], min_length=1, max_length=4)
    if_not_solved: bool = Field(True, description="also where the visit did not solve it; never the remedy's")


def _fault_code(facts: Facts, wanted: LevelsWanted) -> Answer:
    report = facts.report
    if report is None:
        return NO_REPORT
    if not report.solved and not wanted.if_not_solved:
        return NONE
    levels = [
        level
        for level in wanted.levels
        if level in facts.levels_known and (level != "remedy" or report.solved) and getattr(report, level) is None
    ]
    if not levels:
        return NONE
    message = f"the code of {', '.join(levels)} is missing; correct diagnosis"
    return [Found(message, {"levels": levels})]


class PhotosWanted(Parameters):
    """How many photos there must be."""

    least: Annotated[int, Field(ge=1, le=40)] = 1


def _photos(facts: Facts, wanted: PhotosWanted) -> Answer:
    if facts.report is None:
        return NO_REPORT
    there = facts.report.photos
    if there >= wanted.least:
        return NONE
    message = f"{there} of {wanted.least} photos are there; correct photos with what is missing"
    return [Found(message, {"photos": there, "least": wanted.least})]


def _photo_reused(facts: Facts, _: Nothing) -> Answer:
    return [
        Found(
            f"photo {one.file_id} is the very photo of another machine; take this one's and correct photos",
            {"file_id": one.file_id, "asset_id": one.asset_id},
        )
        for one in facts.reused
    ]


class SignatureWanted(Parameters):
    """Whether words may stand for a signature."""

    reason_suffices: bool = True


def _signature(facts: Facts, wanted: SignatureWanted) -> Answer:
    report = facts.report
    if report is None:
        return NO_REPORT
    if report.signed or (wanted.reason_suffices and report.unsigned_noted):
        return NONE
    return [Found("the customer's signature is missing; correct signature_file_id or no_signature_reason")]


KINDS = (
    Kind("report", "a visit without a completion report", Nothing, _report),
    Kind("serial", "a missing serial number, or another machine's", SerialWanted, _serial),
    Kind("fault_code", "missing codes of the fault catalogue", LevelsWanted, _fault_code),
    Kind("photos", "too few photos", PhotosWanted, _photos),
    Kind("photo_reused", "a photo that was given for another machine, too", Nothing, _photo_reused),
    Kind("signature", "no signature, and no word why", SignatureWanted, _signature),
)
