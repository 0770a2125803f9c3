"""`/v1/settlement`: statements, their lines, disputes, months."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from psycopg.rows import DictRow

from api.conventions.call import CallRoute, CurrentCall, allow
from api.conventions.etags import IfMatch, require_version, tag
from api.conventions.models import Currency, Id
from api.conventions.pages import CurrentPage, Page
from api.conventions.problems import RESPONSES
from api.conventions.roles import STAFF
from api.settlement import disputes, drafting, exporting, service
from api.settlement.exporting import ExportFormat
from api.settlement.models import (
    Acceptance,
    Correction,
    Dispute,
    DisputeWithMessages,
    Ending,
    Line,
    Margin,
    NewAdjustment,
    NewDispute,
    NewDisputeMessage,
    Payment,
    Period,
    Reversal,
    RunReport,
    SettledVisit,
    SigningKeys,
    Statement,
    StatementMargin,
    VisitSettlement,
)
from api.settlement.rules import DisputeState, SettlementState, StatementState, month_from
from api.settlement.signing import SigningKey

router = APIRouter(prefix="/v1/settlement", tags=["settlement"], route_class=CallRoute, responses=RESPONSES)

LEAD = [allow("desk_lead")]
FINANCE = [allow("desk_lead", "service")]
HOUSE = [allow(*STAFF)]
LOOKERS = [allow(*STAFF, "partner_manager")]
PARTIES = [allow("agent", "partner_manager")]

MonthText = Annotated[str, Path(pattern=r"^2[0-9]{3}-(0[1-9]|1[0-2])$")]
MonthFilter = Annotated[str | None, Query(pattern=r"^2[0-9]{3}-(0[1-9]|1[0-2])$", description="e.g. 2026-10")]
AskedFormat = Annotated[ExportFormat, Query(alias="format", description="json is signed, see GET /v1/settlement/key")]
_FILE: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
_DOWNLOAD: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The file",
        "content": {media_type.partition(";")[0]: _FILE for media_type in exporting.TYPES.values()},
    }
}


def _tagged(response: Response, row: DictRow) -> Statement:
    tag(response, row["version"])
    return Statement(**row)


def _signing_key(request: Request) -> SigningKey | None:
    key: SigningKey | None = request.app.state.settlement_key
    return key


# What is drafted -----------------------------------------------------------------------------------


@router.post("/run", dependencies=FINANCE)
async def run_settlement(call: CurrentCall) -> RunReport:
    """Draft a batch of lines now instead of with the next round of duties; again while it says `more`."""
    done = await drafting.draft(call)
    return RunReport(settled=done.settled, blocked=done.blocked, entries=done.entries, more=done.more)


@router.get("/visits", dependencies=LOOKERS)
async def list_settled_visits(
    page: CurrentPage,
    call: CurrentCall,
    *,
    provider_id: Id | None = None,
    state: Annotated[SettlementState | None, Query(description="blocked: with what stands in the way")] = None,
) -> Page[VisitSettlement]:
    """Where the settlement of completed visits stands."""
    rows = await service.list_visits(call, {**page.parameters, "provider_id": provider_id, "state": state})
    return Page[VisitSettlement].model_validate(page.page(rows, "visit_id"))


@router.get("/visits/{visit_id}", dependencies=LOOKERS)
async def get_settled_visit(visit_id: Id, call: CurrentCall) -> SettledVisit:
    """The settlement of a visit with its lines, corrections too."""
    return SettledVisit.model_validate(await service.get_visit(call, visit_id))


@router.get("/visits/{visit_id}/margin", dependencies=HOUSE)
async def get_margin_of_visit(visit_id: Id, call: CurrentCall) -> Margin:
    """The customer's price of a visit beside the partner's."""
    return Margin(**await service.margin_of_visit(call, visit_id))


@router.post("/visits/{visit_id}/reverse", dependencies=LEAD)
async def reverse_visit(visit_id: Id, body: Reversal, call: CurrentCall) -> SettledVisit:
    """Take back what a visit was paid, e.g. when it proves to be none: a correction of each of its lines."""
    return SettledVisit.model_validate(await service.reverse(call, visit_id, body.reason))


# Statements -----------------------------------------------------------------------------------------


@router.get("/statements", dependencies=LOOKERS)
async def list_statements(
    page: CurrentPage,
    call: CurrentCall,
    *,
    provider_id: Id | None = None,
    month: MonthFilter = None,
    state: StatementState | None = None,
    currency: Annotated[Currency | None, Query()] = None,
) -> Page[Statement]:
    """Statements; a partner sees its own."""
    first = None if month is None else month_from(month)
    wanted = {"provider_id": provider_id, "month": first, "state": state, "currency": currency}
    rows = await service.list_statements(call, {**page.parameters, **wanted})
    return Page[Statement].model_validate(page.page(rows, "statement_id"))


@router.get("/statements/{statement_id}", dependencies=LOOKERS)
async def get_statement(statement_id: Id, call: CurrentCall, response: Response) -> Statement:
    """One statement."""
    return _tagged(response, await service.get_statement(call, statement_id))


@router.get("/statements/{statement_id}/lines", dependencies=LOOKERS)
async def list_statement_lines(statement_id: Id, page: CurrentPage, call: CurrentCall) -> Page[Line]:
    """A statement's lines, each with the rule and the quantity that made it."""
    rows = await service.list_lines(call, statement_id, page.parameters)
    return Page[Line].model_validate(page.page(rows, "statement_line_id"))


@router.get("/statements/{statement_id}/margin", dependencies=HOUSE)
async def get_margin_of_statement(statement_id: Id, call: CurrentCall) -> StatementMargin:
    """What customers pay for a statement's visits beside what the partner gets."""
    return StatementMargin(**await service.margin_of_statement(call, statement_id))


@router.get("/statements/{statement_id}/export", dependencies=LOOKERS, response_class=Response, responses=_DOWNLOAD)
async def export_statement(
    statement_id: Id, call: CurrentCall, request: Request, file_format: AskedFormat = "csv"
) -> Response:
    """A statement with its lines as CSV, XLSX, or signed JSON."""
    content = await exporting.export_statement(call, statement_id, file_format, _signing_key(request))
    return _attachment(content, file_format, f"statement-{statement_id}")


@router.post("/statements/{statement_id}/redraft", dependencies=LEAD)
async def redraft_statement(statement_id: Id, call: CurrentCall, response: Response) -> Statement:
    """Price the visits of a draft anew, by the cards that hold now."""
    return _tagged(response, await service.redraft(call, statement_id))


@router.post("/statements/{statement_id}/issue", dependencies=LEAD)
async def issue_statement(statement_id: Id, call: CurrentCall, response: Response) -> Statement:
    """Show a draft to its partner, who agrees to it or disputes its lines."""
    return _tagged(response, await service.issue(call, statement_id))


@router.post("/statements/{statement_id}/agree", dependencies=[allow("desk_lead", "partner_manager")])
async def agree_to_statement(
    statement_id: Id, call: CurrentCall, response: Response, if_match: IfMatch = None
) -> Statement:
    """Agree to a statement as it was seen; needs If-Match."""
    return _tagged(response, await service.agree(call, statement_id, require_version(if_match)))


@router.post("/statements/{statement_id}/pay", dependencies=FINANCE)
async def pay_statement(statement_id: Id, body: Payment, call: CurrentCall, response: Response) -> Statement:
    """Record that a statement was paid, when, and by which reference."""
    return _tagged(response, await service.pay(call, statement_id, body))


# Lines and disputes ---------------------------------------------------------------------------------


@router.post("/lines/{statement_line_id}/correct", status_code=201, dependencies=LEAD)
async def correct_line(statement_line_id: Id, body: Correction, call: CurrentCall) -> Line:
    """Add to a line, or take from it, by a new one that refers to it."""
    return Line(**await service.correct(call, statement_line_id, body.amount_minor, body.reason))


@router.post("/adjustments", status_code=201, dependencies=LEAD)
async def add_adjustment(body: NewAdjustment, call: CurrentCall) -> Line:
    """Give a partner something that no visit is for, or take it: a line in its open statement."""
    return Line(**await service.adjust(call, body))


@router.post("/lines/{statement_line_id}/dispute", status_code=201, dependencies=PARTIES)
async def dispute_line(statement_line_id: Id, body: NewDispute, call: CurrentCall) -> DisputeWithMessages:
    """Dispute a line of an issued statement."""
    return DisputeWithMessages.model_validate(await disputes.open_dispute(call, statement_line_id, body))


@router.get("/disputes", dependencies=LOOKERS)
async def list_disputes(
    page: CurrentPage,
    call: CurrentCall,
    *,
    statement_id: Id | None = None,
    provider_id: Id | None = None,
    state: DisputeState | None = None,
) -> Page[Dispute]:
    """Disputes without their messages."""
    wanted = {"statement_id": statement_id, "provider_id": provider_id, "state": state}
    rows = await disputes.list_disputes(call, {**page.parameters, **wanted})
    return Page[Dispute].model_validate(page.page(rows, "dispute_id"))


@router.get("/disputes/{dispute_id}", dependencies=LOOKERS)
async def get_dispute(dispute_id: Id, call: CurrentCall) -> DisputeWithMessages:
    """One dispute with what was said."""
    return DisputeWithMessages.model_validate(await disputes.get_dispute(call, dispute_id))


@router.post("/disputes/{dispute_id}/messages", status_code=201, dependencies=PARTIES)
async def say_in_dispute(dispute_id: Id, body: NewDisputeMessage, call: CurrentCall) -> DisputeWithMessages:
    """Add a message to an open dispute."""
    return DisputeWithMessages.model_validate(await disputes.say(call, dispute_id, body.body))


@router.post("/disputes/{dispute_id}/accept", dependencies=LEAD)
async def accept_dispute(dispute_id: Id, body: Acceptance, call: CurrentCall) -> DisputeWithMessages:
    """Say that a dispute is right; a correction is written as a new line."""
    return DisputeWithMessages.model_validate(await disputes.accept(call, dispute_id, body))


@router.post("/disputes/{dispute_id}/reject", dependencies=LEAD)
async def reject_dispute(dispute_id: Id, body: Ending, call: CurrentCall) -> DisputeWithMessages:
    """Say that the line stands as it is."""
    return DisputeWithMessages.model_validate(await disputes.end(call, dispute_id, "reject", body.resolution))


@router.post("/disputes/{dispute_id}/withdraw", dependencies=PARTIES)
async def withdraw_dispute(dispute_id: Id, body: Ending, call: CurrentCall) -> DisputeWithMessages:
    """Take a dispute back."""
    return DisputeWithMessages.model_validate(await disputes.end(call, dispute_id, "withdraw", body.resolution))


# Months ---------------------------------------------------------------------------------------------


@router.get("/periods", dependencies=HOUSE)
async def list_periods(call: CurrentCall) -> list[Period]:
    """The months that there are statements of, the latest first."""
    return [Period.model_validate(period) for period in await service.list_periods(call)]


@router.get("/periods/{month}", dependencies=HOUSE)
async def get_period(month: MonthText, call: CurrentCall) -> Period:
    """A month: what its statements come to by currency, and how many visits are blocked."""
    return Period.model_validate(await service.get_period(call, month))


@router.post("/periods/{month}/close", dependencies=FINANCE)
async def close_period(month: MonthText, call: CurrentCall) -> Period:
    """Close a month: its drafts are issued, and its statements and lines stay as they are from then on."""
    return Period.model_validate(await service.close(call, month))


@router.get("/periods/{month}/export", dependencies=HOUSE, response_class=Response, responses=_DOWNLOAD)
async def export_period(
    month: MonthText, call: CurrentCall, request: Request, file_format: AskedFormat = "csv"
) -> Response:
    """All statements of a month as CSV, XLSX, or signed JSON with totals by currency."""
    content = await exporting.export_period(call, month, file_format, _signing_key(request))
    return _attachment(content, file_format, f"settlement-{month}")


@router.get("/key", dependencies=LOOKERS)
async def get_settlement_key(request: Request) -> SigningKeys:
    """The public key that checks signed exports, as a JSON Web Key Set (RFC 7517)."""
    key = _signing_key(request)
    if key is None:
        raise exporting.no_key()
    return SigningKeys(keys=[key.public()])


def _attachment(content: bytes, file_format: ExportFormat, name: str) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{name}.{file_format}"'}
    return Response(content, media_type=exporting.TYPES[file_format], headers=headers)
