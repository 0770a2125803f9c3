"""What is done with warranty terms, and the one question about them."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from api.assets.models import NewWarrantyTerm
from api.assets.service import add_term, get_asset
from api.conventions.call import Call
from api.conventions.problems import Problem
from api.warranty.derivation import LATEST
from api.warranty.models import Coverage, CoverageEvidence, CoverageReason, MeterReading, WarrantyTerm
from api.warranty.policies import derive_if_pending, run_due
from api.warranty.rules import ASPECTS, Case, Conditions, Denial, Judgement, Term, judge
from careloop.database.queries import load_queries

SQL = load_queries("api.warranty")

__all__ = [
    "create_term",
    "end_terms",
    "get_term",
    "grant_term",
    "last_of_machine",
    "lock_asset",
    "question",
    "run_due",
    "term_of_field",
    "today_of",
]


async def create_term(call: Call, serial: str, body: NewWarrantyTerm) -> DictRow:
    """Give an asset a warranty.

    Raises:
        Problem: 404 for an unknown asset; 409 when a term of that name starts that day already.
    """
    asset = await get_asset(call, serial)
    return await get_term(call, await add_term(call, asset["asset_id"], body))


async def get_term(call: Call, term_id: int) -> DictRow:
    """One warranty term.

    Raises:
        Problem: 404.
    """
    row = await (await call.connection.execute(SQL["get_term"], {"term_id": term_id})).fetchone()
    if row is None:
        raise Problem.not_found("warranty term", term_id)
    return row


async def term_of_field(call: Call, term_id: int, asset: DictRow) -> DictRow:
    """The term of this asset that `term_id` of a body names.

    Raises:
        Problem: 422 when it does not exist or belongs to another asset.
    """
    row = await (await call.connection.execute(SQL["get_term"], {"term_id": term_id})).fetchone()
    if row is None or row["asset_id"] != asset["asset_id"]:
        message = f"{asset['serial']} has no warranty term {term_id}; GET /v1/warranty-terms lists them"
        raise Problem.bad_field("body.term_id", message)
    return row


# What is bought or granted on top ---------------------------------------------------------------


async def lock_asset(call: Call, serial: str) -> DictRow:
    """An asset whose terms are about to change; whoever else changes them waits.

    Returns:
        `asset_id`, `serial`, `customer_id`, `model_id`, `kind`, `time_zone`.

    Raises:
        Problem: 404.
    """
    row = await (await call.connection.execute(SQL["lock_asset"], {"serial": serial})).fetchone()
    if row is None:
        raise Problem.not_found("asset", serial)
    await derive_if_pending(call, row["asset_id"])
    return row


def today_of(call: Call, asset: Mapping[str, Any]) -> date:
    """The day of the call where an asset stands."""
    return call.now.astimezone(ZoneInfo(asset["time_zone"])).date()


async def last_of_machine(call: Call, asset_id: int) -> DictRow | None:
    """The term of the whole machine that ends last, with its `conditions` as they are stored."""
    return await (await call.connection.execute(SQL["last_of_machine"], {"asset_id": asset_id})).fetchone()


async def grant_term(call: Call, asset_id: int, term: Mapping[str, Any]) -> None:
    """Add a term that was bought or granted.

    Args:
        call: Whose transaction holds it.
        asset_id: Locked by `lock_asset`.
        term: `name`, `starts_on`, `ends_on`, `source`, `conditions` and what else the table has; the rest is empty, and
            covers all.
    """
    empty = ("policy_id", "contract_id", "extension_id", "component", "meter_metric", "meter_limit")
    values = {**dict.fromkeys(empty), **dict.fromkeys(ASPECTS, True), **term, "asset_id": asset_id}
    await call.connection.execute(SQL["grant_term"], {**values, "conditions": Jsonb(values["conditions"])})
    await call.connection.execute(SQL["refresh_announced"], {"asset_id": asset_id})


async def end_terms(
    call: Call, asset_id: int, on: date, *, contract_id: int | None = None, extension_id: int | None = None
) -> None:
    """End what a contract or an extension brought, on the day before one; what was covered before stays so."""
    values = {"contract_id": contract_id, "extension_id": extension_id, "on": on, "now": call.now}
    await call.connection.execute(SQL["end_terms"], values)
    await call.connection.execute(SQL["refresh_announced"], {"asset_id": asset_id})


# The question -----------------------------------------------------------------------------------


async def question(
    call: Call,
    serial: str,
    *,
    on: date | None = None,
    component: str | None = None,
    cause: str | None = None,
    meters: Mapping[str, float] | None = None,
    ticket_id: int | None = None,
) -> Coverage:
    """Whether an asset is covered on a day, what of it, until when, and why.

    Args:
        call: Whose connection is used; a scoped caller asks about what they may see.
        serial: The asset's.
        on: The day it broke; without it, today where the asset stands.
        component: What broke; without it, the machine as a whole.
        cause: Why it broke, e.g. `misuse`, `human_damage`; what a policy excludes it names by such a word.
        meters: What the machine's meters showed, by metric; others are read from its telemetry as of the day.
        ticket_id: The case it is about, whose denial then counts.

    Raises:
        Problem: 404 for an unknown asset; 422 for a component or a case that it does not have.
    """
    asked = {"serial": serial, "component": component, "ticket_id": ticket_id, "now": call.now}
    found = await (await call.connection.execute(SQL["case_of_asset"], asked)).fetchone()
    if found is None:
        raise Problem.not_found("asset", serial)
    if component is not None and not found["has_component"]:
        raise Problem.bad_field("query.component", f"the model of {serial} has no component {component}")
    if ticket_id is not None and not found["has_ticket"]:
        raise Problem.bad_field("query.ticket_id", f"{serial} has no ticket {ticket_id}")
    zone = ZoneInfo(found["time_zone"])
    if on is None:
        on = call.now.astimezone(zone).date()
    if found["pending"]:
        await derive_if_pending(call, found["asset_id"])
    async with call.unscoped():
        key = {**found, "on": min(on, LATEST), "component": component, "ticket_id": ticket_id}
        day = await (await call.connection.execute(SQL["day_of_asset"], key)).fetchone() or {}
        rows = await (await call.connection.execute(SQL["terms_of_asset"], found)).fetchall()
        terms = [_term(row) for row in rows]
        before = _end_of(on, zone, call.now)
        read = await _meters(call, found["asset_id"], _limits(terms, component), meters or {}, before)
    case = Case(
        on=on,
        component=component,
        cause=cause,
        meters={reading.metric: reading.value for reading in read},
        customer_kind=found["customer_kind"],
        country=found["country"],
        transferred_on=day["transferred_on"],
        human_damage_used=day["human_damage_used"],
        denial=None if day["denial"] is None else Denial(**day["denial"]),
    )
    judgement = judge(terms, case)
    term_id = None if judgement.term is None else judgement.term.term_id
    deciding = next((WarrantyTerm(**row, serial=serial) for row in rows if row["term_id"] == term_id), None)
    return _answer(serial, case, judgement, deciding, _evidence(case, len(terms), read, day["purchased_on"]))


def _evidence(case: Case, terms: int, read: list[MeterReading], purchased_on: date | None) -> CoverageEvidence:
    return CoverageEvidence(
        terms=terms,
        meters=read,
        customer_kind=case.customer_kind,
        country=case.country,
        transferred_on=case.transferred_on,
        purchased_on=purchased_on,
        human_damage_used=case.human_damage_used,
        denial_id=None if case.denial is None else case.denial.denial_id,
    )


_COLUMNS = frozenset(Term.__dataclass_fields__) - {"conditions"}


def _term(row: Mapping[str, Any]) -> Term:
    given: Mapping[str, Any] = row["conditions"]
    conditions: dict[str, Any] = {
        name: frozenset(value) if isinstance(value, list) else value for name, value in given.items()
    }
    columns: dict[str, Any] = {name: row[name] for name in _COLUMNS}
    return Term(**columns, conditions=Conditions(**conditions))


def _limits(terms: Sequence[Term], component: str | None) -> dict[str, float]:
    """The meters that matter, each with the highest limit."""
    limits: dict[str, float] = {}
    for term in terms:
        if term.meter_metric is not None and term.meter_limit is not None and term.component in {None, component}:
            limits[term.meter_metric] = max(term.meter_limit, limits.get(term.meter_metric, 0.0))
    return limits


def _end_of(on: date, zone: ZoneInfo, now: datetime) -> datetime:
    """The end of a day where the asset stands; what is to come is not known."""
    if on >= now.astimezone(zone).date():
        return now
    return datetime.combine(on + timedelta(days=1), time(), zone)


async def _meters(
    call: Call, asset_id: int, limits: Mapping[str, float], given: Mapping[str, float], before: datetime
) -> list[MeterReading]:
    """The meters that matter: as the caller gave them, else the last reading before an instant."""
    asked = [name for name in limits if name not in given]
    rows = []
    if asked:
        parameters = {"asset_id": asset_id, "names": asked}
        rows = await (await call.connection.execute(SQL["latest_meters"], parameters)).fetchall()
    known: dict[str, DictRow] = {}
    for row in rows:
        latest_is_known = row["due_from"] is None or row["due_from"] >= before
        if latest_is_known and (row["time"] is None or row["time"] < before):
            reading = None if row["time"] is None else row
        else:
            key = {"asset_id": asset_id, "metric_id": row["metric_id"], "before": before}
            # Planned for this very instant: a plan for any would open every day there is.
            reading = await (await call.connection.execute(SQL["meter_before"], key, prepare=False)).fetchone()
        if reading is not None:
            known[row["name"]] = reading
    readings = []
    for metric, limit in sorted(limits.items()):
        value = given[metric] if metric in given else known[metric]["value"] if metric in known else None
        at = known[metric]["time"] if metric in known else None
        readings.append(MeterReading(metric=metric, value=value, at=at, limit=limit))
    return readings


def _answer(
    serial: str, case: Case, judgement: Judgement, deciding: WarrantyTerm | None, evidence: CoverageEvidence
) -> Coverage:
    bounded = deciding is not None and bool(judgement.covered)
    metric = deciding.meter_metric if bounded and deciding else None
    limit = deciding.meter_limit if bounded and deciding else None
    value = case.meters.get(metric) if metric else None
    return Coverage(
        serial=serial,
        on=case.on,
        component=case.component,
        cause=case.cause,
        covered=bool(judgement.covered),
        extent=judgement.extent,
        bearer=judgement.bearer,
        **{aspect: aspect in judgement.covered for aspect in ASPECTS},
        until=judgement.until,
        days_left=None if judgement.until is None else (judgement.until - case.on).days,
        meter_metric=metric,
        meter_limit=limit,
        meter_left=None if value is None or limit is None else limit - value,
        reason=judgement.reasons[0].text,
        reasons=[CoverageReason.model_validate(reason) for reason in judgement.reasons],
        term=deciding,
        evidence=evidence,
    )
