"""What the completion of a visit lacks, all of it at once: pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from api.visits.report_models import Gap, ReportContent

# Kinds of work after which it must be known what was wrong.
DIAGNOSED_KINDS = frozenset({"repair", "complaint", "return", "exchange", "recall"})
LEVELS = ("symptom", "fault", "cause", "remedy")


@dataclass(frozen=True)
class Facts:
    """All that a completion is judged by.

    Attributes:
        serial: The asset's, as recorded.
        ticket_kind: None for work of a plan.
        checked_in: Whether the technician was there.
        work_began: Whether the work was released, after tips and checks.
        checked_out: Whether the technician has left the machine.
        open_tips: Codes of tips not read.
        open_checks: Checks not passed, each with why.
        open_steps: Mandatory steps not done and steps done wrong, each with why.
        parts_kept: SKUs of parts still reserved for the job: neither used nor told to be brought back.
        old_parts_without_serial: SKUs of parts to be returned to the maker whose old part is not identified.
        parts_used: Components whose part was built in.
        levels_known: Levels of the fault catalogue that exist for the product kind.
        covered: The answer about warranty; None where it could not be asked.
        partly: Whether the warranty bears only some of it.
        currency: Of the amounts.
        work_minor: What the customer is asked to pay for the work, sales left out.
        charged_minor: What the customer is asked to pay in all.
        accepted_minor: What of what the customer has accepted may still be charged, in that currency.
        unpriced: Why the fee lines have no price.
        outcome_misfit: Why the outcome does not fit the case.
        entitlements_short: Entitlements to be redeemed that are not there, each with why.
        can_be_mailed: Whether cases of the kind may go on by mail.
        report: The draft; None when none was written.
    """

    serial: str
    ticket_kind: str | None
    checked_in: bool
    work_began: bool
    checked_out: bool
    report: ReportContent | None
    open_tips: Sequence[str] = ()
    open_checks: Sequence[tuple[str, str]] = ()
    open_steps: Sequence[tuple[str, str]] = ()
    parts_kept: Sequence[str] = ()
    old_parts_without_serial: Sequence[str] = ()
    parts_used: Sequence[str] = ()
    levels_known: frozenset[str] = field(default_factory=frozenset)
    covered: bool | None = None
    partly: bool = False
    currency: str = ""
    work_minor: int = 0
    charged_minor: int = 0
    accepted_minor: int = 0
    unpriced: str | None = None
    outcome_misfit: str | None = None
    entitlements_short: Sequence[tuple[str, str]] = ()
    can_be_mailed: bool = True


def gaps_of(facts: Facts) -> list[Gap]:
    """Everything that keeps a visit from being completed; empty when nothing does."""
    found = [*_of_presence(facts), *_of_procedure(facts), *_of_parts(facts)]
    if facts.report is None:
        return [*found, Gap(code="report", field="report", message="no report was written; PUT /v1/visits/{id}/report")]
    return [
        *found,
        *_of_findings(facts, facts.report),
        *_of_money(facts, facts.report),
        *_of_signature(facts.report),
        *_of_end(facts, facts.report),
    ]


def _of_presence(facts: Facts) -> Iterator[Gap]:
    if not facts.checked_in:
        yield Gap(code="check_in", field="visit", message="nobody has checked in")
    if not facts.work_began:
        yield Gap(code="begin_work", field="visit", message="the work was not begun: tips and checks come first")
    if not facts.checked_out:
        yield Gap(code="check_out", field="visit", message="nobody has checked out")


def _of_procedure(facts: Facts) -> Iterator[Gap]:
    for code in facts.open_tips:
        yield Gap(code="tip", field=f"tips.{code}", message=f"the safety tip {code} was not read")
    for code, why in facts.open_checks:
        yield Gap(code="check", field=f"checks.{code}", message=why)
    for code, why in facts.open_steps:
        yield Gap(code="step", field=f"steps.{code}", message=why)


def _of_parts(facts: Facts) -> Iterator[Gap]:
    for sku in facts.parts_kept:
        message = f"{sku} is kept for the job: tell whether it was used or is brought back"
        yield Gap(code="part", field=f"parts.{sku}", message=message)
    for sku in facts.old_parts_without_serial:
        yield Gap(
            code="old_part", field=f"parts.{sku}", message=f"the old {sku} goes to the maker: give its old_serial"
        )


def _of_findings(facts: Facts, report: ReportContent) -> Iterator[Gap]:
    if report.serial_found is None:
        yield Gap(code="serial", field="serial_found", message="the serial number on the plate was not read")
    elif report.serial_found != facts.serial and not report.findings:
        message = f"the plate says {report.serial_found}, the case is about {facts.serial}: say in findings why"
        yield Gap(code="other_serial", field="findings", message=message)
    if not report.work_done:
        yield Gap(code="work_done", field="work_done", message="what was done is not told")
    if facts.ticket_kind in DIAGNOSED_KINDS:
        given: Mapping[str, Any] = report.diagnosis.model_dump()
        for level in LEVELS:
            # A machine that is not mended has no remedy yet.
            wanted = level in facts.levels_known and (level != "remedy" or report.solved)
            if wanted and given[level] is None:
                yield Gap(code="fault_code", field=f"diagnosis.{level}", message=f"the {level}'s code is missing")
    told = {replaced.component for replaced in report.replaced}
    for component in sorted(set(facts.parts_used) - told):
        message = f"the {component}'s part was built in: tell in replaced why"
        yield Gap(code="replaced", field="replaced", message=message)


def _of_money(facts: Facts, report: ReportContent) -> Iterator[Gap]:
    if report.in_warranty is None:
        yield Gap(code="in_warranty", field="in_warranty", message="in or out of warranty is not told")
    elif facts.covered is not None and report.in_warranty != facts.covered and not report.warranty_note:
        said, found = ("in", "out of") if report.in_warranty else ("out of", "in")
        message = f"told as {said} warranty, the warranty says {found}: say in warranty_note why"
        yield Gap(code="warranty_note", field="warranty_note", message=message)
    if facts.unpriced is not None:
        yield Gap(code="unpriced", field="fee_lines", message=facts.unpriced)
    if report.in_warranty and not facts.partly and facts.work_minor > 0:
        message = f"{_money(facts.work_minor, facts.currency)} for work is charged in warranty; take it out"
        yield Gap(code="fees_in_warranty", field="fee_lines", message=message)
    if facts.charged_minor > facts.accepted_minor:
        message = (
            f"{_money(facts.charged_minor, facts.currency)} is charged, "
            f"of what the customer has accepted {_money(facts.accepted_minor, facts.currency)} is left"
        )
        yield Gap(code="not_accepted", field="fee_lines", message=message)
    for name, why in facts.entitlements_short:
        yield Gap(code="entitlement", field="entitlements", message=f"{name}: {why}")


def _of_signature(report: ReportContent) -> Iterator[Gap]:
    if report.signature_file_id is None:
        if not report.no_signature_reason:
            message = "the customer's signature is missing, and why"
            yield Gap(code="signature", field="signature_file_id", message=message)
    elif report.signed_by_name is None:
        yield Gap(code="signer", field="signed_by_name", message="who has signed is not told")


def _of_end(facts: Facts, report: ReportContent) -> Iterator[Gap]:
    if report.solved is None:
        yield Gap(code="solved", field="solved", message="solved or not is not told")
    elif not report.solved:
        yield from _of_next_step(facts, report)
    else:
        if report.next_step is not None:
            yield Gap(code="no_next_step", field="next_step", message="it is solved and has no next step")
        if report.outcome is None:
            yield Gap(code="outcome", field="outcome", message="what was found (outcome) is not told")
        elif facts.outcome_misfit is not None:
            yield Gap(code="outcome_misfit", field="outcome", message=facts.outcome_misfit)


def _of_next_step(facts: Facts, report: ReportContent) -> Iterator[Gap]:
    follow_up = report.follow_up
    if report.next_step is None:
        yield Gap(code="next_step", field="next_step", message="it is not solved: what comes next is missing")
    elif report.next_step == "part_order":
        if follow_up.sku is None:
            yield Gap(code="next_part", field="follow_up.sku", message="which part to order is not told")
    elif report.next_step == "follow_up_visit":
        if (follow_up.starts_at is None) != (follow_up.ends_at is None):
            yield Gap(code="next_times", field="follow_up.ends_at", message="give starts_at and ends_at, or neither")
    else:
        if facts.ticket_kind is None:
            message = "work of a plan has no case that could go on: open a ticket"
            yield Gap(code="next_case", field="next_step", message=message)
        elif report.next_step == "mail_in" and not facts.can_be_mailed:
            message = f"a case of kind {facts.ticket_kind} cannot go on by mail"
            yield Gap(code="next_mode", field="next_step", message=message)
        if not follow_up.note:
            yield Gap(code="next_note", field="follow_up.note", message="say what whoever goes on must know")


def _money(minor: int, currency: str) -> str:
    return f"{minor / 100:,.2f} {currency}"
