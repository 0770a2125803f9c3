"""Completing a visit: all that follows from its report, in one transaction."""

import asyncio
from dataclasses import asdict
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from api.accounts.bearing import Occasion, bear_parts, bring_back
from api.alerts.service import announce
from api.assets.models import AssetChange, NewFirmware
from api.assets.service import add_firmware, change_asset, get_asset
from api.conventions.call import Call
from api.conventions.drawing import Picture
from api.conventions.problems import Problem
from api.cover.service import note_human_damage, redeem
from api.dispatch import service as dispatch
from api.dispatch.models import Dispatch
from api.dispatch.repository import get_job
from api.escalation.service import open_by_hand
from api.files.service import get_content, store_file
from api.outcomes.models import NewFailure, NewReplacement
from api.outcomes.service import lock_facts, record_failure, record_replacement
from api.parts.service import part_of_field
from api.quotes.charges import charge
from api.quotes.payment_models import NewCharge
from api.reservations.models import NewReservation
from api.reservations.service import reserve
from api.returns import service as returns
from api.tickets.models import TicketChange
from api.tickets.repository import append_event, get_ticket
from api.tickets.service import change_ticket
from api.visits import rules
from api.visits.completion import Judged, judge, report_of
from api.visits.fieldwork import sop_of
from api.visits.paper import Paper
from api.visits.printing import draw
from api.visits.report_models import ReportContent
from api.visits.repository import Locked, execute, get_visit, lock, require_own, row, rows

LARGEST_PHOTOS_BYTES = 60_000_000


async def complete(call: Call, visit_id: int) -> None:
    """Complete a visit with its report: the machine, the bill, the facts, the job and the case follow.

    Raises:
        Problem: 404; 403; 409 when the visit does not allow it, or `completion-gaps` with everything that is missing.
    """
    draft = report_of(await row(call, "get_report", {"visit_id": visit_id}))
    if draft is not None and draft.replaced:
        # Whoever records facts locks the cases after it; we would wait for one another the other way round.
        await lock_facts(call)
    locked = await lock(call, visit_id)
    require_own(call, locked.visit)
    state = rules.MACHINE.require(visit_id, locked.visit["state"], "complete")
    judged = await judge(call, locked)
    if judged.gaps or judged.report is None:
        gaps = [gap.model_dump() for gap in judged.gaps]
        detail = "; ".join(gap.message for gap in judged.gaps)
        raise Problem.conflict("completion-gaps", detail, gaps=gaps)
    ended = {"visit_id": visit_id, "state": state, "reason": None, "note": None, "now": call.now}
    await execute(call, "end_visit", ended)
    before, after = await _correct_asset(call, locked, judged.report)
    await _charge(call, locked, judged)
    await _redeem(call, locked, judged.report)
    if judged.report.in_warranty and locked.ticket is not None:
        await note_human_damage(call, judged.coverage, locked.ticket["ticket_id"])
    # Facts settle other cases of the machine too, which a partner's technician may not see.
    async with call.unscoped():
        await _record_facts(call, locked, judged.report)
    made = await _go_on(call, locked, judged.report)
    borne = await _bear_parts(call, locked, judged)
    frozen = {
        "bill": None if judged.bill is None else asdict(judged.bill),
        "warranty": judged.coverage.model_dump(mode="json"),
        "asset_before": before,
        "asset_after": after,
        "made": made,
        "borne": borne,
    }
    pdf_file_id = await _print(call, locked, judged, frozen)
    await execute(
        call,
        "freeze_report",
        {"visit_id": visit_id, "frozen": Jsonb(frozen), "pdf_file_id": pdf_file_id, "now": call.now},
    )
    await _tell(call, locked, judged.report, made, pdf_file_id)


async def _correct_asset(call: Call, locked: Locked, report: ReportContent) -> tuple[dict[str, Any], dict[str, Any]]:
    """Let the asset be as it was found; returns what of it changed, before and after."""
    asset = await get_asset(call, locked.visit["serial"])
    wanted = dict(report.correction.attributes)
    if report.correction.location is not None:
        wanted["location"] = report.correction.location
    attributes: dict[str, Any] = asset["attributes"]
    changed = {name: value for name, value in wanted.items() if attributes.get(name) != value}
    before: dict[str, Any] = {name: attributes.get(name) for name in changed}
    after: dict[str, Any] = dict(changed)
    if changed:
        change = AssetChange(attributes={**attributes, **changed})
        await change_asset(call, asset["serial"], change, asset["version"])
    firmware = report.correction.firmware
    if firmware is not None and firmware != asset.get("firmware"):
        at = locked.visit["checked_out_at"] or call.now
        await add_firmware(call, asset["serial"], NewFirmware(version=firmware, at=min(at, call.now)))
        before["firmware"], after["firmware"] = asset.get("firmware"), firmware
    return before, after


async def _charge(call: Call, locked: Locked, judged: Judged) -> None:
    """Charge what the fee lines cost the customer; the database bounds it by what was accepted."""
    if judged.bill is None or locked.ticket is None or judged.bill.gross_minor == 0:
        return
    wanted = NewCharge(
        amount_minor=judged.bill.gross_minor,
        currency=judged.bill.currency,
        description=f"Visit {locked.visit_id}",
    )
    await charge(call, locked.ticket["ticket_id"], wanted)


async def _bear_parts(call: Call, locked: Locked, judged: Judged) -> list[dict[str, Any]]:
    """Say who bears each part used, claim back what the maker bears, and expect the old parts.

    Accounts are locked last: whoever moves stock does that before.
    """
    report = judged.report
    occasion = Occasion(
        visit_id=locked.visit_id,
        ticket_id=locked.visit["ticket_id"],
        serial=locked.visit["serial"],
        on=judged.coverage.on,
        component=judged.coverage.component,
        cause=None if report is None else report.warranty_cause,
    )
    borne = await bear_parts(call, occasion)
    await returns.expect(call, locked.visit_id, borne)
    await returns.forgo(call, await bring_back(call, locked.visit_id), locked.visit_id)
    return [
        {"visit_part_id": number, **{name: one[name] for name in ("sku", "quantity", "bearer", "reasons")}}
        for number, one in borne.items()
    ]


async def _redeem(call: Call, locked: Locked, report: ReportContent) -> None:
    async with call.unscoped():
        for entitlement in report.entitlements:
            for _ in range(entitlement.quantity):
                await redeem(call, entitlement.contract_id, entitlement.name, locked.visit["ticket_id"])


async def _record_facts(call: Call, locked: Locked, report: ReportContent) -> None:
    """Record what failed and what was replaced; the rules of outcomes say which cases that ends."""
    serial: str = locked.visit["serial"]
    at: datetime = min(locked.visit["checked_out_at"] or call.now, call.now)
    spared = None if report.solved or locked.ticket is None else locked.ticket["ticket_id"]
    for replaced in report.replaced:
        key = {"asset_id": locked.visit["asset_id"], "component": replaced.component}
        if replaced.reason == "failure" and await row(call, "open_failure", key) is None:
            opened_at = at if locked.ticket is None else locked.ticket["opened_at"]
            failed_at = min(replaced.failed_at or opened_at, at)
            await record_failure(call, serial, NewFailure(component=replaced.component, failed_at=failed_at))
        fact = NewReplacement(component=replaced.component, replaced_at=at, reason=replaced.reason)
        await record_replacement(call, serial, fact, part_booked=True, spare_ticket_id=spared)


# What comes next --------------------------------------------------------------------------------------


async def _go_on(call: Call, locked: Locked, report: ReportContent) -> list[dict[str, Any]]:
    """Complete the job with its case, or let it go on as the report says; returns what was made."""
    job = await get_job(call, locked.visit["job_id"])
    if report.solved:
        if job["state"] != "completed":
            # What was kept for it is settled piece by piece, so nothing is left to be consumed.
            await dispatch.finish_job(call, job["job_id"], report.outcome or "done", consume_parts=False)
        return []
    if report.next_step == "mail_in":
        return await _mail_in(call, locked, report)
    why = (report.next_step or "").replace("_", " ")
    note = report.follow_up.note
    await dispatch.recall(call, job["job_id"], f"{why}: {note}" if note else why)
    if report.next_step == "follow_up_visit":
        return await _follow_up(call, locked, report)
    if report.next_step == "part_order":
        return await _order_part(call, locked, report)
    return await _escalate(call, locked, report)


async def _mail_in(call: Call, locked: Locked, report: ReportContent) -> list[dict[str, Any]]:
    """The case goes on by mail: nobody drives any more, and the repair begins with its label."""
    if locked.ticket is None:
        raise LookupError("a mail-in without a case passed the completion check")
    await dispatch.cancel(call, locked.visit["job_id"], f"mail in: {report.follow_up.note}")
    ticket = await get_ticket(call, locked.ticket["ticket_id"])
    await change_ticket(call, ticket["ticket_id"], TicketChange(service_mode="mail_in"), ticket["version"])
    return [{"ticket_id": ticket["ticket_id"], "service_mode": "mail_in"}]


async def _escalate(call: Call, locked: Locked, report: ReportContent) -> list[dict[str, Any]]:
    """Somebody has to decide: the case becomes urgent, and is escalated to the desk's lead."""
    if locked.ticket is None:
        raise LookupError("an escalation without a case passed the completion check")
    ticket = await get_ticket(call, locked.ticket["ticket_id"])
    if ticket["priority"] != "urgent":
        await change_ticket(call, ticket["ticket_id"], TicketChange(priority="urgent"), ticket["version"])
    reason = f"Visit {locked.visit_id} of {locked.visit['serial']} could not solve it. {report.follow_up.note}".strip()
    escalation, _ = await open_by_hand(call, ticket["ticket_id"], "desk_lead", reason)
    return [{"ticket_id": ticket["ticket_id"], "priority": "urgent", "escalation_id": escalation["escalation_id"]}]


async def _follow_up(call: Call, locked: Locked, report: ReportContent) -> list[dict[str, Any]]:
    """Another visit by the same technician where its time is agreed and its parts are there; else the job waits."""
    job_id, plan = locked.visit["job_id"], report.follow_up
    if plan.starts_at is None or plan.ends_at is None:
        return [{"job_id": job_id}]
    lacking = [sku for sku, pieces in await _lacking(call, job_id) if not await _keep(call, job_id, sku, pieces)]
    if lacking:
        await dispatch.hold(call, job_id, f"follow up visit: no {', '.join(lacking)} in stock")
        return [{"job_id": job_id, "lacking": lacking}]
    wanted = Dispatch(technician_id=locked.visit["technician_id"], starts_at=plan.starts_at, ends_at=plan.ends_at)
    job = await dispatch.dispatch(call, job_id, wanted)
    return [{"job_id": job_id, "visit_id": job["visit"]["visit_id"]}]


async def _lacking(call: Call, job_id: int) -> list[tuple[str, int]]:
    """The parts that a job needs and that are neither kept for it nor used, with how many pieces."""
    job = await get_job(call, job_id)
    found = []
    for part in job["parts"]:
        kept = sum(entry["quantity"] for entry in job["reservations"] if entry["sku"] == part["sku"])
        if kept < part["quantity"]:
            found.append((part["sku"], part["quantity"] - kept))
    return found


async def _keep(call: Call, job_id: int, sku: str, quantity: int) -> bool:
    """Keep a part for the job; returns whether there was one."""
    try:
        async with call.connection.transaction():
            await reserve(call, NewReservation(job_id=job_id, sku=sku, quantity=quantity))
    except Problem as problem:
        if problem.slug != "no-stock":
            raise
        return False
    return True


async def _order_part(call: Call, locked: Locked, report: ReportContent) -> list[dict[str, Any]]:
    """Let the job need the part, and keep it where there is one; else the job waits for it."""
    job_id, plan = locked.visit["job_id"], report.follow_up
    if plan.sku is None:
        raise LookupError("a part order without a part passed the completion check")
    part = await part_of_field(call, plan.sku)
    needed = {"job_id": job_id, "part_id": part["part_id"], "quantity": plan.quantity}
    await execute(call, "add_job_part", needed)
    made: dict[str, Any] = {"job_id": job_id, "sku": plan.sku, "quantity": plan.quantity}
    if await _keep(call, job_id, plan.sku, plan.quantity):
        return [{**made, "kept": True}]
    reason = f"{plan.quantity} of {plan.sku} to be ordered, {part['lead_time_days']} days"
    await dispatch.hold(call, job_id, reason)
    return [{**made, "kept": False, "lead_time_days": part["lead_time_days"]}]


# The report on paper ------------------------------------------------------------------------------------


async def _print(call: Call, locked: Locked, judged: Judged, frozen: dict[str, Any]) -> int:
    """Draw the report and keep it; returns the file's number."""
    if judged.report is None:
        raise LookupError("a completion without a report passed the check")
    paper = await _paper(call, locked, judged.report, frozen)
    # Some hundred milliseconds of drawing; other calls go on meanwhile.
    content = await asyncio.to_thread(draw, paper)
    name = f"service-report-{locked.visit_id}.pdf"
    return await store_file(
        call,
        name,
        "application/pdf",
        content,
        ticket_id=locked.visit["ticket_id"],
        asset_id=locked.visit["asset_id"],
    )


async def _paper(call: Call, locked: Locked, report: ReportContent, frozen: dict[str, Any]) -> Paper:
    visit_id = locked.visit_id
    head = await row(call, "papers", {"visit_id": visit_id})
    if head is None:
        raise LookupError(f"visit {visit_id} is gone although it is locked")
    sop = await sop_of(call, locked.visit)
    visit = await get_visit(call, visit_id)
    photos = [entry["photo_file_id"] for entry in visit["progress"] if entry["photo_file_id"] is not None]
    pictures = await _pictures(call, [*report.photos, *photos, *([report.signature_file_id or 0])])
    codes = [code for code in report.diagnosis.model_dump().values() if code is not None]
    key = {"product_kind": locked.visit["product_kind"], "codes": codes}
    texts = {code["code"]: code["text"] for code in await rows(call, "texts_of_codes", key)}
    return Paper(
        head=head,
        visit=visit,
        sop=sop,
        report=report,
        frozen=frozen,
        fault_texts=texts,
        photos=tuple(pictures[number] for number in dict.fromkeys([*report.photos, *photos]) if number in pictures),
        signature=pictures.get(report.signature_file_id or 0),
        printed_at=call.now,
    )


async def _pictures(call: Call, file_ids: list[int]) -> dict[int, Picture]:
    """The pictures among files, by number, as many as fit into memory."""
    found: dict[int, Picture] = {}
    size = 0
    wanted = list(dict.fromkeys(file_ids))
    for file in await rows(call, "pictures_of_files", {"file_ids": wanted}):
        size += file["size_bytes"]
        if size > LARGEST_PHOTOS_BYTES:
            break
        stored = await get_content(call, file["file_id"])
        found[file["file_id"]] = Picture(file["name"], bytes(stored["content"]))
    return found


async def _tell(
    call: Call, locked: Locked, report: ReportContent, made: list[dict[str, Any]], pdf_file_id: int
) -> None:
    serial = locked.visit["serial"]
    result = "The work is done." if report.solved else f"To be continued: {(report.next_step or '').replace('_', ' ')}."
    payload = {"visit_id": locked.visit_id, "pdf_file_id": pdf_file_id, "solved": report.solved, "made": made}
    await announce(
        call,
        topic="visit.reported",
        cause=f"visit:{locked.visit_id}:reported",
        asset_id=locked.visit["asset_id"],
        subject=f"{serial}: the service report is ready",
        body=f"Machine: {serial}\n{result}\nReport: /v1/files/{pdf_file_id}/content",
        payload=payload,
    )
    if locked.ticket is not None:
        detail = {"visit_id": locked.visit_id, "solved": report.solved, "next_step": report.next_step, "made": made}
        await append_event(call, locked.ticket["ticket_id"], "visit.completed", {**detail, "file_id": pdf_file_id})
