"""`/v1/loaners`, `/v1/loans`: machines lent while a customer's own is repaired."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from api.conventions.call import CallRoute, CurrentCall, allow
from api.conventions.etags import IfMatch, require_version, tag
from api.conventions.models import Id
from api.conventions.pages import CurrentPage, Page
from api.conventions.problems import RESPONSES, Problem
from api.conventions.roles import STAFF
from api.repairs import loans
from api.repairs.models import (
    Ending,
    Extension,
    Loan,
    Loaner,
    LoanerChange,
    LoanReturn,
    NewLoan,
    NewLoaner,
)
from api.repairs.repository import rows
from api.repairs.rules import LOAN_STATES

router = APIRouter(prefix="/v1", tags=["repairs"], route_class=CallRoute, responses=RESPONSES)

# The pool is the maker's; partners and customers have nothing to do with it.
LENDERS = [allow("agent", "dispatcher", "service")]
LOOKERS = [allow(*STAFF)]


@router.post("/loaners", status_code=201, dependencies=LENDERS)
async def add_loaner(body: NewLoaner, call: CurrentCall, response: Response) -> Loaner:
    """Put a machine of nobody's into the pool."""
    row = await loans.add_loaner(call, body)
    tag(response, row["version"])
    return Loaner(**row)


@router.get("/loaners", dependencies=LOOKERS)
async def list_loaners(
    page: CurrentPage, call: CurrentCall, free: Annotated[bool | None, Query(description="not lent now")] = None
) -> Page[Loaner]:
    """The pool."""
    found = await rows(call, "list_loaners", {**page.parameters, "free": free})
    return Page[Loaner].model_validate(page.page(found, "loaner_id"))


@router.patch("/loaners/{loaner_id}", dependencies=LENDERS)
async def change_loaner(
    loaner_id: Id, body: LoanerChange, call: CurrentCall, response: Response, if_match: IfMatch = None
) -> Loaner:
    """Say whether a machine may be lent; needs If-Match."""
    version = require_version(if_match)
    row = await loans.change_loaner(call, loaner_id, active=body.active, version=version)
    tag(response, row["version"])
    return Loaner(**row)


@router.post("/repairs/{repair_id}/loan", status_code=201, dependencies=LENDERS)
async def lend_loaner(repair_id: Id, body: NewLoan, call: CurrentCall) -> Loan:
    """Lend a machine to the customer of a repair."""
    return Loan(**await loans.lend(call, repair_id, body))


@router.get("/loans", dependencies=LOOKERS)
async def list_loans(
    page: CurrentPage,
    call: CurrentCall,
    state: Annotated[str, Query(description="states, with commas between them", max_length=100)] = "lent,overdue",
) -> Page[Loan]:
    """Loans in some states, oldest first."""
    states = list(dict.fromkeys(state.split(",")))
    for wanted in states:
        if wanted not in LOAN_STATES:
            raise Problem.bad_field("query.state", f"{wanted!r} is none of: {', '.join(LOAN_STATES)}")
    found = await rows(call, "list_loans", {**page.parameters, "states": states})
    return Page[Loan].model_validate(page.page(found, "loan_id"))


@router.get("/loans/{loan_id}", dependencies=LOOKERS)
async def get_loan(loan_id: Id, call: CurrentCall) -> Loan:
    """One loan."""
    return Loan(**await loans.get_loan(call, loan_id))


@router.post("/loans/{loan_id}/extend", dependencies=LENDERS)
async def extend_loan(loan_id: Id, body: Extension, call: CurrentCall) -> Loan:
    """Give a loan more time."""
    return Loan(**await loans.extend(call, loan_id, body.due_back_on))


@router.post("/loans/{loan_id}/return", dependencies=LENDERS)
async def return_loan(loan_id: Id, body: LoanReturn, call: CurrentCall) -> Loan:
    """Take a loaner back."""
    return Loan(**await loans.give_back(call, loan_id, body.condition))


@router.post("/loans/{loan_id}/lose", dependencies=LENDERS)
async def lose_loan(loan_id: Id, body: Ending, call: CurrentCall) -> Loan:
    """Note that a loaner does not come back."""
    return Loan(**await loans.lose(call, loan_id, body.reason))
