"""The report of a visit, and what its completion lacks."""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from api.conventions.call import Call
from api.conventions.etags import changed_meanwhile
from api.conventions.problems import Problem
from api.dispatch import rules as dispatch_rules
from api.parts.service import part_of_field
from api.quotes.charges import account_of
from api.quotes.pricing import Priced
from api.quotes.service import price
from api.tickets import rules as ticket_rules
from api.tickets.service import require_component
from api.visits import rules
from api.visits.fieldwork import sop_of, take_file
from api.visits.gaps import Facts, gaps_of
from api.visits.report_models import Gap, ReportContent
from api.visits.repository import Locked, execute, find_fault_code, lock, require_own, row, rows
from api.warranty.models import Coverage
from api.warranty.service import question


@dataclass(frozen=True)
class Judged:
    """A completion as it would be.

    Attributes:
        report: The draft.
        gaps: Everything it lacks.
        bill: Its fee lines with prices; None without lines, or where they have none.
        coverage: The warranty's answer.
    """

    report: ReportContent | None
    gaps: list[Gap]
    bill: Priced | None
    coverage: Coverage


# The draft ------------------------------------------------------------------------------------------


async def save_report(call: Call, visit_id: int, body: ReportContent, version: int | None) -> None:
    """Save the report of a visit that is not over; unfinished too.

    Args:
        call: Whose transaction holds it.
        visit_id: The visit.
        body: The whole report.
        version: The version seen; None when there is none yet.

    Raises:
        Problem: 404; 403; 409 when the visit is over; 412 when somebody else wrote meanwhile; 422 for anything that it
            names and that is not there.
    """
    locked = await lock(call, visit_id)
    require_own(call, locked.visit)
    if locked.visit["state"] in rules.MACHINE.final:
        detail = f"visit {visit_id} is {locked.visit['state']}; its report stays as it is"
        raise Problem.conflict("visit-state", detail, state=locked.visit["state"])
    there = await row(call, "get_report", {"visit_id": visit_id})
    if (None if there is None else there["version"]) != version:
        raise changed_meanwhile("report", version or 0)
    await _require_named(call, locked, body)
    values = {
        **body.model_dump(include={"signed_by_name", "signature_file_id", "solved", "next_step"}),
        "visit_id": visit_id,
        "content": Jsonb(body.model_dump(mode="json", exclude={"signed_by_name", "signature_file_id"})),
        "actor": call.principal.name,
        "now": call.now,
    }
    await execute(call, "save_report", values)


async def _require_named(call: Call, locked: Locked, body: ReportContent) -> None:
    """Refuse what the report names and is not there."""
    for index, file_id in enumerate(body.photos):
        await take_file(call, locked, file_id, f"body.photos.{index}")
    if body.signature_file_id is not None:
        await take_file(call, locked, body.signature_file_id, "body.signature_file_id")
    for level, code in body.diagnosis.model_dump().items():
        if code is not None:
            found = await find_fault_code(call, locked.visit["product_kind"], code)
            if found is None or found["level"] != level:
                message = f"{locked.visit['product_kind']} has no {level} {code}; GET /v1/fault-codes lists them"
                raise Problem.bad_field(f"body.diagnosis.{level}", message)
    for index, replaced in enumerate(body.replaced):
        await require_component(call, locked.visit, replaced.component, f"body.replaced.{index}.component")
        if replaced.failed_at is not None and replaced.failed_at > call.now:
            raise Problem.bad_field(f"body.replaced.{index}.failed_at", "is after now")
    if body.follow_up.sku is not None:
        await part_of_field(call, body.follow_up.sku, "body.follow_up.sku")


def report_of(found: DictRow | None) -> ReportContent | None:
    """The draft of a row, whole again."""
    if found is None:
        return None
    names = {name: found[name] for name in ("signed_by_name", "signature_file_id")}
    return ReportContent.model_validate({**found["content"], **names})


# What it lacks --------------------------------------------------------------------------------------


async def check(call: Call, visit_id: int) -> dict[str, Any]:
    """Everything that the completion of a visit lacks, what it costs, and what the warranty says.

    Raises:
        Problem: 404; 403 for another technician's visit.
    """
    locked = await lock(call, visit_id)
    require_own(call, locked.visit)
    judged = await judge(call, locked)
    return {
        "complete": not judged.gaps,
        "gaps": judged.gaps,
        "bill": None if judged.bill is None else asdict(judged.bill),
        "warranty": judged.coverage.model_dump(mode="json"),
    }


async def get_report(call: Call, visit_id: int) -> dict[str, Any]:
    """The report of a visit: the draft, or as it was frozen.

    Raises:
        Problem: 404 when the caller may not see the visit, or there is none yet.
    """
    found = await row(call, "get_report", {"visit_id": visit_id})
    if found is None:
        raise Problem.not_found("report of visit", visit_id)
    frozen = found["frozen"] or {"bill": None, "warranty": None, "asset_before": None, "asset_after": None, "made": []}
    names = {name: found[name] for name in ("signed_by_name", "signature_file_id")}
    return {**found, **frozen, "content": {**found["content"], **names}}


async def judge(call: Call, locked: Locked) -> Judged:
    """Judge the completion of a locked visit."""
    visit, ticket = locked.visit, locked.ticket
    report = report_of(await row(call, "get_report", {"visit_id": locked.visit_id}))
    sop = await sop_of(call, visit)
    progress = await rows(call, "progress", {"visit_id": locked.visit_id})
    parts = await rows(call, "parts_of_visit", {"visit_id": locked.visit_id})
    coverage = await _coverage(call, locked, report)
    bill, unpriced = await _bill(call, locked, report, coverage)
    key = {"job_id": visit["job_id"], "product_kind": visit["product_kind"]}
    used = [part for part in parts if part["kind"] == "used"]
    facts = Facts(
        serial=visit["serial"],
        ticket_kind=None if ticket is None else ticket["kind"],
        checked_in=visit["checked_in_at"] is not None,
        work_began=visit["work_began_at"] is not None,
        checked_out=visit["checked_out_at"] is not None,
        report=report,
        open_tips=rules.open_tips(sop["tips"], progress),
        open_checks=rules.open_items(sop["checks"], progress, "check"),
        open_steps=rules.open_items(sop["steps"], progress, "step"),
        parts_kept=[kept["sku"] for kept in await rows(call, "parts_kept", key)],
        old_parts_without_serial=[
            part["sku"] for part in used if part["old_part"] == "return_to_maker" and part["old_serial"] is None
        ],
        parts_used=[part["component"] for part in used if part["component"] is not None],
        levels_known=frozenset(level["level"] for level in await rows(call, "levels_of_kind", key)),
        covered=coverage.covered,
        partly=not (coverage.parts and coverage.labour and coverage.travel),
        currency="" if bill is None else bill.currency,
        work_minor=0 if bill is None else _work_minor(bill),
        charged_minor=0 if bill is None else bill.gross_minor,
        accepted_minor=await _left(call, locked, bill),
        unpriced=unpriced,
        outcome_misfit=_outcome_misfit(ticket, report),
        entitlements_short=await _entitlements_short(call, locked, report),
        can_be_mailed=ticket is not None and "mail_in" in ticket_rules.MODES.get(ticket["kind"], ()),
    )
    return Judged(report, gaps_of(facts), bill, coverage)


async def _coverage(call: Call, locked: Locked, report: ReportContent | None) -> Coverage:
    """The warranty's answer for the day on which the case was opened."""
    since: datetime = call.now if locked.ticket is None else locked.ticket["opened_at"]
    component = locked.job["component"]
    if component is None and report is not None and report.replaced:
        component = report.replaced[0].component
    return await question(
        call,
        locked.visit["serial"],
        on=since.astimezone(ZoneInfo(locked.visit["time_zone"])).date(),
        component=component,
        cause=None if report is None else report.warranty_cause,
        ticket_id=locked.visit["ticket_id"],
    )


async def _bill(
    call: Call, locked: Locked, report: ReportContent | None, coverage: Coverage
) -> tuple[Priced | None, str | None]:
    """The fee lines with their prices, or why they have none."""
    if report is None or not report.fee_lines:
        return None, None
    if locked.ticket is None:
        return None, "work of a plan has no case that could be charged; open a ticket"
    try:
        # A savepoint: what was asked for pricing leaves nothing behind when it is refused.
        async with call.connection.transaction():
            priced = await price(
                call,
                report.fee_lines,
                coverage.on,
                ticket_id=locked.ticket["ticket_id"],
                component=coverage.component,
                cause=report.warranty_cause,
            )
    except Problem as problem:
        return None, problem.detail
    return priced, None


def _work_minor(bill: Priced) -> int:
    return sum(line.customer_minor for line in bill.lines if line.kind != "value_added_sale")


async def _left(call: Call, locked: Locked, bill: Priced | None) -> int:
    """What of what the customer has accepted may still be charged, in the bill's currency."""
    if locked.ticket is None or bill is None or bill.gross_minor == 0:
        return 0
    account, currency = await account_of(call, locked.ticket["ticket_id"])
    return account.chargeable_minor if currency == bill.currency else 0


async def _entitlements_short(call: Call, locked: Locked, report: ReportContent | None) -> list[tuple[str, str]]:
    """Entitlements that the contract does not have, or not as many of, each with why."""
    short = []
    for entitlement in [] if report is None else report.entitlements:
        wanted = {**entitlement.model_dump(include={"contract_id", "name"}), "on": call.now.date()}
        # What a contract entitles to is asked for, whoever may see the contract.
        async with call.unscoped():
            found = await row(call, "entitlement_left", wanted)
        if found is None or found["asset_id"] != locked.visit["asset_id"]:
            why = f"{locked.visit['serial']} has no contract {entitlement.contract_id} that entitles to it"
        elif found["state"] != "active" or not found["holds"]:
            why = f"contract {entitlement.contract_id} does not hold today"
        elif found["left"] < entitlement.quantity:
            why = f"{entitlement.quantity} to be redeemed, {found['left']} left"
        else:
            continue
        short.append((entitlement.name, why))
    return short


def _outcome_misfit(ticket: DictRow | None, report: ReportContent | None) -> str | None:
    if ticket is None or report is None or report.outcome is None:
        return None
    found = None if report.outcome == "done" else report.outcome
    return dispatch_rules.misfit_of_outcome(ticket["kind"], report.outcome) or ticket_rules.misfit_of_outcome(
        ticket["kind"], "resolved", found
    )
