"""Who bears each part that a visit used, and what the partner's account is credited for it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from api.accounts import rules
from api.accounts.journal import account_in, enter, reverse, row, rows
from api.accounts.models import NewBearer
from api.accounts.rules import Verdict
from api.accounts.service import partner_price, put_back, use_up, verdict
from api.conventions.call import Call
from api.conventions.problems import Problem
from api.tickets.repository import append_event
from careloop.database.queries import load_queries

SQL = load_queries("api.accounts")


_BEARER = SQL["bearer_rows"] + "\n" + SQL["one_bearer"]
_BEARERS = SQL["bearer_rows"] + "\n" + SQL["list_bearers"]
_BEARER_OF_PART = SQL["bearer_rows"] + "\n" + SQL["bearer_of_used_part"]


@dataclass(frozen=True)
class Occasion:
    """What a visit's parts are judged by.

    Attributes:
        visit_id: The visit.
        ticket_id: Its case; None for work of a plan.
        serial: The machine's.
        on: The day the warranty is asked about.
        component: What the work was for, of parts that were booked without one.
        cause: Why it broke, as the report says, e.g. `misuse`.
    """

    visit_id: int
    ticket_id: int | None
    serial: str
    on: date
    component: str | None
    cause: str | None


async def bear_parts(call: Call, occasion: Occasion) -> dict[int, DictRow]:
    """Decide for each part that a visit used, and did not bring back, who bears it; a claim follows where it is due.

    Returns:
        The decisions, by the number of the used part.
    """
    found: dict[int, DictRow] = {}
    verdicts: dict[str | None, Verdict] = {}
    # Whose stock a part came from, and accounts, are not all for the technician who completes the visit to see.
    async with call.unscoped():
        entries = await rows(call, SQL["parts_of_visit"], {"visit_id": occasion.visit_id})
        pieces, _ = rules.net_pieces(entries)
        for entry in entries:
            quantity = pieces.get(entry["visit_part_id"], 0)
            if quantity == 0:
                continue
            component = entry["component"] or occasion.component
            if component not in verdicts:
                verdicts[component] = await verdict(
                    call,
                    occasion.serial,
                    on=occasion.on,
                    component=component,
                    cause=occasion.cause,
                    ticket_id=occasion.ticket_id,
                )
            used = {**entry, "quantity": quantity, "component": component, "judged_on": occasion.on}
            used |= {"visit_id": occasion.visit_id, "ticket_id": occasion.ticket_id}
            found[entry["visit_part_id"]] = await _decide(call, used, verdicts[component])
    return found


async def _decide(call: Call, used: Mapping[str, Any], judged: Verdict) -> DictRow:
    """Record the first decision on a used part, and claim it back where the maker bears it."""
    worth = None
    if used["provider_id"] is not None:
        worth = await _worth(call, used)
    reasons = [dict(reason) for reason in judged.reasons]
    if worth is None and used["provider_id"] is not None and used["stock_of"] == "partner":
        text = f"{used['sku']} had no partner's price on {used['judged_on']}; enter it, then decide anew"
        reasons.append({"code": "no-price", "text": text})
    return await _record(call, {**used, "reasons": reasons, "by_person": False}, judged.bearer, worth, "")


async def _worth(call: Call, used: Mapping[str, Any]) -> tuple[int, str] | None:
    """What the pieces cost the partner whose they were, or would have cost it."""
    if used["stock_of"] == "partner":
        return await use_up(call, used["provider_id"], used["part_id"], used["quantity"])
    priced = await partner_price(call, used["provider_id"], used["part_id"], used["judged_on"])
    return None if priced is None else (priced[0] * used["quantity"], priced[1])


async def _record(
    call: Call, used: Mapping[str, Any], bearer: rules.Bearer, worth: tuple[int, str] | None, mark: str
) -> DictRow:
    """Keep a decision with what it books.

    Args:
        call: Whose transaction holds it.
        used: The used part, with `reasons` and `by_person`.
        bearer: Who bears it.
        worth: What the pieces cost the partner, and the currency.
        mark: What tells the entries of a later decision from those of the first.
    """
    credited, handling = 0, 0
    amount_minor, currency = worth or (0, None)
    share = rules.share_of(bearer, used["stock_of"])
    if share != 0 and currency is not None and amount_minor > 0:
        credited, handling = await _book(call, used, share * amount_minor, currency, mark)
    values = {
        **used,
        "bearer": bearer,
        "reasons": Jsonb(list(used["reasons"])),
        "currency": currency,
        "worth_minor": None if worth is None else amount_minor,
        "credited_minor": credited,
        "handling_minor": handling,
        "now": call.now,
    }
    made = await row(call, SQL["insert_bearer"], values)
    if made is None:
        raise LookupError("insert_bearer returned no row")
    return await get_bearer(call, made["part_bearer_id"])


async def _book(call: Call, used: Mapping[str, Any], credit_minor: int, currency: str, mark: str) -> tuple[int, int]:
    """Credit a partner for what the maker bears, or charge it for what it bears itself; returns credit and handling."""
    account = await account_in(call, used["provider_id"], currency)
    what = {
        "cause_kind": "visit_part",
        "cause_key": f"{used['visit_part_id']}{mark}",
        "ticket_id": used["ticket_id"],
        "part_id": used["part_id"],
        "quantity": used["quantity"],
    }
    said = f"{used['quantity']} × {used['sku']}, visit {used['visit_id']}"
    if credit_minor < 0:
        # What it bears of the maker's stock is owed whether the limit holds it or not: the part is built in.
        await enter(call, account, "adjustment", -credit_minor, {**what, "text": f"borne by the partner: {said}"})
        return credit_minor, 0
    await enter(call, account, "credit", -credit_minor, {**what, "text": f"claimed back: {said}"})
    earned = {"per_piece_minor": account["handling_minor"], "rate_bp": account["handling_bp"]}
    handling = rules.handling_minor(credit_minor, used["quantity"], **earned)
    if handling > 0:
        await enter(call, account, "handling", -handling, {**what, "text": f"handling: {said}"})
    return credit_minor, handling


# Decided otherwise ----------------------------------------------------------------------------------


async def get_bearer(call: Call, part_bearer_id: int) -> DictRow:
    """One decision.

    Raises:
        Problem: 404.
    """
    found = await row(call, _BEARER, {"part_bearer_id": part_bearer_id})
    if found is None:
        raise Problem.not_found("decision on a part", part_bearer_id)
    return found


async def list_bearers(call: Call, wanted: Mapping[str, Any]) -> list[DictRow]:
    """Decisions in ascending order of their number: filters (None: any), `after_id`, `fetch`."""
    return await (await call.connection.execute(_BEARERS, wanted, prepare=False)).fetchall()


async def bearer_of_part(call: Call, visit_part_id: int) -> DictRow | None:
    """The decision that stands on a used part; None where none was made. Whoever asks."""
    async with call.unscoped():
        return await row(call, _BEARER_OF_PART, {"visit_part_id": visit_part_id})


async def decide(call: Call, part_bearer_id: int, body: NewBearer) -> DictRow:
    """Decide otherwise who bears a part: what was booked for it is taken back, and booked anew where it is due.

    Raises:
        Problem: 404; 409 when another decision has taken its place.
    """
    async with call.unscoped():
        seen = await row(call, SQL["lock_bearer"], {"part_bearer_id": part_bearer_id})
        before = await get_bearer(call, part_bearer_id)
        if seen is None or seen["replaced_at"] is not None:
            detail = f"another decision has taken the place of {part_bearer_id}; decide on the one that stands"
            raise Problem.conflict("bearer-replaced", detail)
        await take_back(call, before["visit_part_id"], body.reason)
        worth = None if before["worth_minor"] is None else (before["worth_minor"], before["currency"])
        if worth is None and before["provider_id"] is not None:
            worth = await _worth(call, before)
        await call.connection.execute(SQL["replace_bearer"], {**before, "now": call.now})
        reasons = [{"code": "decided", "text": f"{call.principal.name}: {body.reason}"}, *before["reasons"]]
        used = {**before, "reasons": reasons, "by_person": True}
        made = await _record(call, used, body.bearer, worth, f":{part_bearer_id}")
        if before["ticket_id"] is not None:
            line = {"visit_part_id": before["visit_part_id"], "sku": before["sku"], "reason": body.reason}
            change = {"from": before["bearer"], "to": body.bearer}
            await append_event(call, before["ticket_id"], "part.bearer", {**line, **change})
    return made


async def bring_back(call: Call, visit_id: int) -> dict[int, int]:
    """Take back what was booked for pieces that an earlier visit of the job used, and that this one brought back.

    Returns:
        How many pieces are left of each used part that this touched.
    """
    left: dict[int, int] = {}
    async with call.unscoped():
        _, surplus = rules.net_pieces(await rows(call, SQL["parts_of_visit"], {"visit_id": visit_id}))
        for part_id, pieces in surplus.items():
            back = pieces
            key = {"visit_id": visit_id, "part_id": part_id}
            for before in await rows(call, SQL["earlier_bearers_of_job"], key):
                gone = min(back, before["quantity"])
                back -= gone
                if gone > 0:
                    left[before["visit_part_id"]] = await _unuse(call, before, gone, visit_id)
    return left


async def _unuse(call: Call, before: Mapping[str, Any], gone: int, visit_id: int) -> int:
    """Decide anew on a used part of which pieces came back; returns how many are left."""
    why = f"{gone} of {before['quantity']} brought back on visit {visit_id}"
    await take_back(call, before["visit_part_id"], why)
    await call.connection.execute(SQL["replace_bearer"], {**before, "now": call.now})
    if before["stock_of"] == "partner":
        await put_back(call, before["provider_id"], before["part_id"], gone)
    left: int = before["quantity"] - gone
    if left > 0:
        worth = before["worth_minor"]
        priced = None if worth is None else (worth * left // before["quantity"], str(before["currency"]))
        reasons = [*before["reasons"], {"code": "brought-back", "text": why}]
        used = {**before, "quantity": left, "reasons": reasons}
        await _record(call, used, before["bearer"], priced, f":{before['part_bearer_id']}")
    return left


async def take_back(call: Call, visit_part_id: int, reason: str) -> int:
    """Take back whatever was booked for a used part; returns how many entries that took."""
    async with call.unscoped():
        standing = await rows(
            call, SQL["standing_entries_of_part"], {"key": str(visit_part_id), "visit_part_id": visit_part_id}
        )
        for entry in standing:
            await reverse(call, entry["partner_entry_id"], reason)
    return len(standing)
