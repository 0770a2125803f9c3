"""What is done with statements: issue, agree, pay, correct, close the month."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from psycopg.rows import DictRow

from api.accounts.service import settle
from api.alerts.service import announce
from api.conventions.call import Call
from api.conventions.etags import changed_meanwhile
from api.conventions.problems import Problem
from api.providers.service import provider_of_field
from api.settlement.drafting import Done, draft, draft_all, draft_of
from api.settlement.facts import SQL, lock
from api.settlement.models import NewAdjustment, Payment
from api.settlement.rules import GROWING, STATEMENT, is_over, major, month_from, month_of, next_month

MOST_MONTHS = 120


# Looking --------------------------------------------------------------------------------------------


async def get_statement(call: Call, statement_id: int) -> DictRow:
    """One statement.

    Raises:
        Problem: 404.
    """
    row = await _row(call, "get_statement", {"statement_id": statement_id})
    if row is None:
        raise Problem.not_found("statement", statement_id)
    return row


async def list_statements(call: Call, wanted: Mapping[str, Any]) -> list[DictRow]:
    """Statements that fit: `provider_id`, `month`, `state`, `currency` (None: any), `after_id`, `fetch`."""
    return await (await call.connection.execute(SQL["list_statements"], wanted, prepare=False)).fetchall()


async def list_lines(call: Call, statement_id: int, page: Mapping[str, Any]) -> list[DictRow]:
    """A page of a statement's lines.

    Raises:
        Problem: 404.
    """
    await get_statement(call, statement_id)
    return await _rows(call, "list_lines", {**page, "statement_id": statement_id})


async def list_visits(call: Call, wanted: Mapping[str, Any]) -> list[DictRow]:
    """Where the settlement of visits stands: `provider_id`, `state` (None: any), `after_id`, `fetch`."""
    return await (await call.connection.execute(SQL["list_visits"], wanted, prepare=False)).fetchall()


async def get_visit(call: Call, visit_id: int) -> dict[str, Any]:
    """Where the settlement of a visit stands, with its lines.

    Raises:
        Problem: 404 for one that is not a partner's, or not completed.
    """
    row = await _row(call, "get_visit", {"visit_id": visit_id})
    if row is None:
        raise Problem.not_found("settlement of visit", visit_id)
    return {**row, "lines": await _rows(call, "lines_of_visit", {"visit_id": visit_id})}


async def margin_of_visit(call: Call, visit_id: int) -> dict[str, Any]:
    """What a visit brings and what it costs, before tax.

    Raises:
        Problem: 404; 409 while it is not settled.
    """
    await get_visit(call, visit_id)
    paid = await _rows(call, "margin_of_visit", {"visit_id": visit_id})
    if not paid:
        raise Problem.conflict("not-settled", f"visit {visit_id} is on no statement yet; its settlement says why")
    bill = await _row(call, "bill_of_visit", {"visit_id": visit_id}) or {}
    cost: int = paid[0]["settlement_minor"]
    customer = bill.get("customer_minor")
    same = bill.get("customer_currency") in {None, paid[0]["currency"]}
    return {
        "visit_id": visit_id,
        "currency": paid[0]["currency"],
        "settlement_minor": cost,
        "customer_currency": bill.get("customer_currency"),
        "customer_minor": customer,
        "borne_minor": bill.get("borne_minor"),
        "margin_minor": (customer or 0) - cost if same else None,
    }


async def margin_of_statement(call: Call, statement_id: int) -> dict[str, Any]:
    """The same over all visits of a statement; a visit without a bill brings nothing.

    Raises:
        Problem: 404.
    """
    statement = await get_statement(call, statement_id)
    visits = await _rows(call, "margins_of_statement", {"statement_id": statement_id})
    same = [row for row in visits if row["customer_currency"] in {None, statement["currency"]}]
    cost = sum(row["settlement_minor"] for row in same)
    customer = sum(row["customer_minor"] or 0 for row in same)
    return {
        "statement_id": statement_id,
        "currency": statement["currency"],
        "visits": len(same),
        "settlement_minor": cost,
        "customer_minor": customer,
        "borne_minor": sum(row["borne_minor"] or 0 for row in same),
        "margin_minor": customer - cost,
        "incomparable_visits": len(visits) - len(same),
    }


# Moving ---------------------------------------------------------------------------------------------


async def issue(call: Call, statement_id: int) -> DictRow:
    """Show a draft to its partner; visits that something stands in the way of by now come with a later one.

    Raises:
        Problem: 404; 409 when it is no draft.
    """
    await lock(call)
    row = await lock_statement(call, statement_id)
    STATEMENT.require(statement_id, row["state"], "issue")
    if await _draw_back_hindered(call, statement_id):
        await draft(call)
    await _issue(call, statement_id)
    return await get_statement(call, statement_id)


async def _issue(call: Call, statement_id: int) -> None:
    row = await lock_statement(call, statement_id)
    to = STATEMENT.require(statement_id, row["state"], "issue")
    await _move(call, statement_id, to, "issue")
    total = f"{major(row['total_minor'], row['currency'])} {row['currency']}"
    month = f"{row['month']:%Y-%m}"
    await announce(
        call,
        topic="statement.issued",
        cause=f"statement:{statement_id}:issued",
        asset_id=None,
        subject=f"Statement {statement_id} for {month}: {total}",
        body=f"Your statement for {month} is {total}. Agree to it, or dispute its lines.",
        payload={
            "statement_id": statement_id,
            "provider_id": row["provider_id"],
            "month": month,
            "currency": row["currency"],
            "total_minor": row["total_minor"],
        },
    )


async def redraft(call: Call, statement_id: int) -> DictRow:
    """Price the visits of a draft anew, e.g. after a card was activated; corrected ones stay as they are.

    Raises:
        Problem: 404; 409 when it is no draft.
    """
    await lock(call)
    row = await lock_statement(call, statement_id)
    if row["state"] != "draft":
        detail = f"statement {statement_id} is {row['state']}; correct its lines by POST /v1/settlement/lines/…/correct"
        raise Problem.conflict("statement-state", detail, state=row["state"])
    await _draw_back(call, statement_id, None)
    done = Done(more=True)
    while done.more:
        done = await draft(call)
    return await get_statement(call, statement_id)


async def _draw_back_hindered(call: Call, statement_id: int) -> int:
    hindered = await _rows(call, "hindered_visits", {"statement_id": statement_id})
    return await _draw_back(call, statement_id, [row["visit_id"] for row in hindered]) if hindered else 0


async def _draw_back(call: Call, statement_id: int, visit_ids: Sequence[int] | None) -> int:
    """Take visits, or all of them, out of a draft, to be judged anew; tells how many lines went."""
    wanted = {"statement_id": statement_id, "visit_ids": None if visit_ids is None else list(visit_ids)}
    gone = await _rows(call, "drawn_back", wanted)
    visits = {"visit_ids": sorted({row["visit_id"] for row in gone}), "now": call.now}
    await call.connection.execute(SQL["mark_due"], visits)
    return len(gone)


async def agree(call: Call, statement_id: int, version: int) -> DictRow:
    """Agree to a statement as it was seen.

    Raises:
        Problem: 404; 409 when its state does not allow it; 412 when it has changed since.
    """
    row = await lock_statement(call, statement_id)
    to = STATEMENT.require(statement_id, row["state"], "agree")
    if row["version"] != version:
        raise changed_meanwhile("statement", version)
    await _move(call, statement_id, to, "agree")
    return await get_statement(call, statement_id)


async def pay(call: Call, statement_id: int, body: Payment) -> DictRow:
    """Record that a statement was paid; the entries of the parts account that it netted are paid with it.

    Raises:
        Problem: 404; 409 when nobody has agreed to it; 422 for a time that has not come.
    """
    row = await lock_statement(call, statement_id)
    STATEMENT.require(statement_id, row["state"], "pay")
    if body.paid_at > call.now:
        raise Problem.bad_field("body.paid_at", "is after now; record a payment when it was made")
    await call.connection.execute(SQL["pay_statement"], {**body.model_dump(), "statement_id": statement_id})
    netted = await _row(call, "netted_minor", {"statement_id": statement_id})
    netted_minor = 0 if netted is None else netted["amount_minor"]
    if netted_minor:
        said = f"Netted in statement {statement_id}, {body.reference}"
        await settle(call, row["provider_id"], netted_minor, row["currency"], "statement", str(statement_id), said)
    return await get_statement(call, statement_id)


async def lock_statement(call: Call, statement_id: int) -> DictRow:
    """A statement, which nobody else moves until the transaction ends.

    Raises:
        Problem: 404.
    """
    row = await _row(call, "lock_statement", {"statement_id": statement_id})
    if row is None:
        raise Problem.not_found("statement", statement_id)
    return row


async def _move(call: Call, statement_id: int, to: str, action: str) -> None:
    values = {"statement_id": statement_id, "to": to, "action": action, "now": call.now, "actor": call.principal.name}
    await call.connection.execute(SQL["move_statement"], values)


# Correcting -----------------------------------------------------------------------------------------


async def get_line(call: Call, statement_line_id: int) -> DictRow:
    """One line, with its partner.

    Raises:
        Problem: 404.
    """
    row = await _row(call, "get_line", {"statement_line_id": statement_line_id})
    if row is None:
        raise Problem.not_found("statement line", statement_line_id)
    return row


async def correct(call: Call, statement_line_id: int, amount_minor: int, reason: str) -> DictRow:
    """Write a correction of a line: into its statement while that may grow, else into the partner's open one.

    Raises:
        Problem: 404.
    """
    await lock(call)
    line = await get_line(call, statement_line_id)
    statement = await lock_statement(call, line["statement_id"])
    if statement["state"] in GROWING and statement["closed_at"] is None:
        statement_id: int = statement["statement_id"]
    else:
        statement_id = await _open_statement(call, line["provider_id"], line["currency"])
    said = f"Correction of line {statement_line_id}: {reason}"
    names = ("visit_id", "ticket_id", "on_day", "code", "subject")
    values = {name: line[name] for name in names}
    return await _write_correction(call, statement_id, amount_minor, said, {**values, "of_line_id": statement_line_id})


async def reverse(call: Call, visit_id: int, reason: str) -> dict[str, Any]:
    """Take back all that a visit was paid, by a correction of each of its lines; it is not paid again by itself.

    Raises:
        Problem: 404; 409 when it was paid nothing, or all is taken back already.
    """
    await lock(call)
    await get_visit(call, visit_id)
    lines = await _rows(call, "lines_to_reverse", {"visit_id": visit_id})
    if not lines:
        raise Problem.conflict("nothing-to-reverse", f"visit {visit_id} is on no statement, or was taken back already")
    for line in lines:
        await correct(call, line["statement_line_id"], -line["left_minor"], reason)
    return await get_visit(call, visit_id)


async def adjust(call: Call, body: NewAdjustment) -> DictRow:
    """Write something for a partner that no line is for, into its open statement.

    Raises:
        Problem: 422 for an unknown partner.
    """
    await provider_of_field(call, body.provider_id, "body.provider_id")
    await lock(call)
    statement_id = await _open_statement(call, body.provider_id, body.currency)
    what = {"visit_id": None, "ticket_id": None, "on_day": call.now.date(), "code": "adjustment", "subject": ""}
    said = f"Adjustment: {body.reason}"
    return await _write_correction(call, statement_id, body.amount_minor, said, {**what, "of_line_id": None})


async def _open_statement(call: Call, provider_id: int, currency: str) -> int:
    slot = (provider_id, currency, month_of(call.now.date()))
    return (await draft_of(call, [slot]))[slot]


async def _write_correction(
    call: Call, statement_id: int, amount_minor: int, said: str, what: Mapping[str, Any]
) -> DictRow:
    values = {
        **what,
        "statement_id": statement_id,
        "amount_minor": amount_minor,
        "description": said,
        "now": call.now,
        "actor": call.principal.name,
    }
    made = await _row(call, "insert_correction", values)
    if made is None:
        raise LookupError("insert_correction returned no row")
    return await get_line(call, made["statement_line_id"])


# Months ---------------------------------------------------------------------------------------------


async def get_period(call: Call, month_text: str) -> dict[str, Any]:
    """A month: what its statements come to, by currency, and what is still blocked."""
    month = month_from(month_text)
    key = {"month": month, "until": next_month(month)}
    closed = await _row(call, "get_period", key) or {"closed_at": None, "closed_by": None}
    blocked = await _row(call, "blocked_until", key)
    return {
        "month": month_text,
        "closed_at": closed["closed_at"],
        "closed_by": closed["closed_by"],
        "sums": await _rows(call, "sums_of_month", key),
        "blocked_visits": 0 if blocked is None else blocked["number"],
    }


async def list_periods(call: Call) -> list[dict[str, Any]]:
    """The months that there are statements of, the latest first."""
    months = await _rows(call, "list_months", {"fetch": MOST_MONTHS})
    return [await get_period(call, f"{row['month']:%Y-%m}") for row in months]


async def close(call: Call, month_text: str) -> dict[str, Any]:
    """Close a month: draft what may be paid, issue its drafts, freeze its statements.

    Raises:
        Problem: 409 when it is not over, closed already, or an earlier one is still open.
    """
    month = month_from(month_text)
    if not is_over(month, call.now):
        detail = f"{month_text} is not over everywhere before noon UTC on {next_month(month)}"
        raise Problem.conflict("period-not-over", detail)
    await lock(call)
    await _require_first_open(call, month)
    await draft_all(call)
    drafts = await _rows(call, "drafts_of_month", {"month": month})
    drawn = [await _draw_back_hindered(call, row["statement_id"]) for row in drafts]
    if any(drawn):
        await draft_all(call)
    for row in drafts:
        await _issue(call, row["statement_id"])
    values = {"month": month, "now": call.now, "actor": call.principal.name}
    if await _row(call, "insert_period", values) is None:
        raise Problem.conflict("period-closed", f"{month_text} is closed already")
    await call.connection.execute(SQL["close_statements"], values)
    return await get_period(call, month_text)


async def _require_first_open(call: Call, month: date) -> None:
    closed = await _row(call, "closed_through", {})
    if closed is not None and closed["month"] is not None and closed["month"] >= month:
        raise Problem.conflict("period-closed", f"{month:%Y-%m} is closed, or a later month is")
    earlier = await _row(call, "earlier_open_month", {"month": month})
    if earlier is not None and earlier["month"] is not None:
        detail = f"{earlier['month']:%Y-%m} is still open; close months in their order"
        raise Problem.conflict("earlier-period-open", detail, month=f"{earlier['month']:%Y-%m}")


async def _row(call: Call, query: str, values: Mapping[str, Any]) -> DictRow | None:
    return await (await call.connection.execute(SQL[query], values)).fetchone()


async def _rows(call: Call, query: str, values: Mapping[str, Any]) -> list[DictRow]:
    return await (await call.connection.execute(SQL[query], values)).fetchall()
