"""What is done with policies and with the clocks of cases."""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from psycopg.rows import DictRow
from psycopg.types.multirange import Multirange
from psycopg.types.range import Range

from api.conventions.call import Call
from api.conventions.etags import changed_meanwhile
from api.conventions.problems import Problem
from api.sla import rules
from api.sla.hours import Calendar, Spans
from api.sla.models import NewPolicy, PolicyChange
from api.sla.rules import CLOCK_KINDS, Clock, ClockKind, Facts, House, Policy
from careloop.database.queries import load_queries

SQL = load_queries("api.sla")

BATCH = 500
# Fewer, since their cases are locked meanwhile.
TRIPS = 100
# Books in memory; more than one only while a change is being taken up, or where a process serves several databases.
_MOST_BOOKS = 8
ATTEMPTS = 3


@dataclass(frozen=True)
class Book:
    """All active policies and all calendars, as they were at one revision.

    Attributes:
        revision: Another one with each change of any of them.
        policies: In their order.
        houses: Calendars by their number.
    """

    revision: UUID
    policies: tuple[Policy, ...]
    houses: Mapping[int, House]

    @property
    def asks_customer_kind(self) -> bool:
        """Whether any policy is for some kinds of customer."""
        return any(policy.customer_kinds is not None for policy in self.policies)


_books: OrderedDict[UUID, Book] = OrderedDict()


def last_book() -> Book | None:
    """The book read last, which may be outdated: whoever uses it must compare its revision with the database's."""
    return next(reversed(_books.values()), None)


async def current_book(call: Call) -> Book:
    """The book as it is now, from memory if nothing has changed."""
    row = await (await call.connection.execute(SQL["revision"])).fetchone()
    if row is None:
        raise LookupError("service.sla_revision has no row")
    book = _books.get(row["revision"])
    if book is None:
        book = await _read_book(call, row["revision"])
        while len(_books) >= _MOST_BOOKS:
            _books.popitem(last=False)
        _books[book.revision] = book
    _books.move_to_end(book.revision)
    return book


async def _read_book(call: Call, revision: UUID) -> Book:
    # The revision was read before: what changes meanwhile is taken up next time.
    async with call.unscoped():
        calendars = await (await call.connection.execute(SQL["all_calendars"])).fetchall()
        days = await (await call.connection.execute(SQL["all_days"])).fetchall()
        policies = await (await call.connection.execute(SQL["active_policies"])).fetchall()
    exceptions: dict[int, dict[date, Spans]] = {row["calendar_id"]: {} for row in calendars}
    for row in days:
        exceptions[row["calendar_id"]][row["day"]] = spans_of(row["spans"])
    houses = {
        row["calendar_id"]: House(
            Calendar(ZoneInfo(row["time_zone"]), tuple(map(spans_of, row["week"])), exceptions[row["calendar_id"]]),
            row["version"],
        )
        for row in calendars
    }
    return Book(revision, tuple(map(_policy_of_row, policies)), houses)


def spans_of(stored: list[list[int]]) -> Spans:
    """Open spans as they are kept in JSON."""
    return tuple((opens, closes) for opens, closes in stored)


def _policy_of_row(row: DictRow) -> Policy:
    sets = {
        name: None if row[name] is None else frozenset(row[name])
        for name in ("kinds", "priorities", "queues", "customer_kinds", "customer_ids")
    }
    targets: dict[ClockKind, int] = {
        kind: row[f"{kind}_minutes"] for kind in CLOCK_KINDS if row[f"{kind}_minutes"] is not None
    }
    return Policy(row["policy_id"], row["calendar_id"], targets, row["warn_percent"], **sets)


# The clocks of a case ---------------------------------------------------------------------------


async def start(call: Call, ticket: Mapping[str, Any], revision: UUID | None = None) -> None:
    """Start the clocks of a case that opens, if any policy holds for it; one statement as a rule.

    Args:
        call: Whose transaction opens the case.
        ticket: Its `ticket_id`, `kind`, `priority` and `opened_at`; `queue`, `customer_id` and `customer_kind` where
            known.
        revision: Of the policies and calendars, where the caller has just read it (`sla_revision`): spares a statement
            when nothing is promised.
    """
    book = last_book() or await current_book(call)
    for _ in range(ATTEMPTS):
        facts = await _facts(call, ticket, book)
        clocks = rules.clocks_of(book.policies, book.houses, facts, ticket["opened_at"])
        if not clocks and revision == book.revision:
            return
        if await _insert(call, ticket, clocks, book.revision):
            return
        book = await current_book(call)
    raise Problem(503, "busy", "service levels are being changed; try again", headers={"Retry-After": "1"})


async def _facts(call: Call, ticket: Mapping[str, Any], book: Book) -> Facts:
    customer_id, customer_kind = ticket.get("customer_id"), ticket.get("customer_kind")
    if customer_kind is None and customer_id is not None and book.asks_customer_kind:
        row = await (await call.connection.execute(SQL["customer_kind"], {"customer_id": customer_id})).fetchone()
        customer_kind = None if row is None else row["kind"]
    return Facts(ticket["kind"], ticket["priority"], ticket.get("queue"), customer_id, customer_kind)


async def _insert(call: Call, ticket: Mapping[str, Any], clocks: list[Clock], revision: UUID) -> bool:
    """Write new clocks; False, and nothing written, when they were reckoned by an outdated book."""
    values = {
        "ticket_id": ticket["ticket_id"],
        "started_at": ticket["opened_at"],
        "revision": revision,
        "kinds": [clock.kind for clock in clocks],
        "policy_ids": [clock.policy_id for clock in clocks],
        "calendar_ids": [clock.calendar_id for clock in clocks],
        "calendar_versions": [clock.calendar_version for clock in clocks],
        "target_minutes": [clock.target_minutes for clock in clocks],
        "warn_percents": [clock.warn_percent for clock in clocks],
        "due_ats": [clock.due_at for clock in clocks],
        "warn_ats": [clock.warn_at for clock in clocks],
        "next_ats": [clock.next_at for clock in clocks],
    }
    row = await (await call.connection.execute(SQL["insert_clocks"], values)).fetchone()
    return row is not None and bool(row["revision"] == revision)


async def on_state(call: Call, ticket_id: int, from_state: str, to_state: str) -> None:
    """Let the clocks of a case follow its move: they pause while it waits, stop when it is over, and so on."""
    actions = rules.actions_of_move(from_state, to_state)
    if actions:
        await _act(call, ticket_id, actions)


async def responded(call: Call, ticket_id: int) -> None:
    """Somebody of the staff has answered: the first time stops the clock of the first response."""
    await _act(call, ticket_id, [("stop", "first_response")])


async def appointed(call: Call, ticket_id: int) -> None:
    """An appointment was made."""
    await _act(call, ticket_id, [("stop", "appointment")])


async def _act(call: Call, ticket_id: int, actions: list[tuple[str, ClockKind]]) -> None:
    clocks = await _lock(call, ticket_id)
    if not clocks:
        return
    book = await current_book(call)
    for clock_id, before in clocks:
        clock = before
        for action, kind in actions:
            if kind == clock.kind:
                clock = rules.after(clock, action, book.houses[clock.calendar_id], call.now)
        if clock != before:
            await _update(call, clock_id, clock)


async def changed(call: Call, ticket: Mapping[str, Any]) -> None:
    """A case is of another kind, priority, queue or customer now: what is promised is judged anew from its start.

    Clocks that stopped stay as they were; those that are no longer promised go, or stop if they have warned already.

    Args:
        call: Whose transaction changes the case.
        ticket: As for `start`, as it is now.
    """
    book = await current_book(call)
    policy = rules.policy_of(book.policies, await _facts(call, ticket, book))
    running: set[str] = set()
    for clock_id, clock in await _lock(call, ticket["ticket_id"]):
        running.add(clock.kind)
        if clock.stopped_at is not None:
            continue
        if policy is None or clock.kind not in policy.targets:
            if clock.warned_at is None:
                await call.connection.execute(SQL["delete_clock"], {"clock_id": clock_id})
            else:
                # Somebody was alarmed: it stops, so that they hear of it.
                house = book.houses[clock.calendar_id]
                await _update(call, clock_id, rules.after(clock, "stop", house, call.now))
            continue
        anew = rules.promised_anew(clock, policy, book.houses[policy.calendar_id], call.now)
        if anew != clock:
            await _update(call, clock_id, anew)
    if policy is not None and ticket.get("state") not in rules.OVER:
        missing = [
            clock
            for clock in rules.clocks_of([policy], book.houses, _any_of(policy), ticket["opened_at"])
            if clock.kind not in running
        ]
        if missing and not await _insert(call, ticket, missing, book.revision):
            raise Problem(503, "busy", "service levels are being changed; try again", headers={"Retry-After": "1"})


def _any_of(policy: Policy) -> Facts:
    """Facts of a case that a policy holds for; which was judged before."""

    def one(values: frozenset[Any] | None) -> Any:
        return None if values is None else next(iter(values))

    return Facts(
        one(policy.kinds) or "",
        one(policy.priorities) or "",
        one(policy.queues),
        one(policy.customer_ids),
        one(policy.customer_kinds),
    )


async def _lock(call: Call, ticket_id: int) -> list[tuple[int, Clock]]:
    rows = await (await call.connection.execute(SQL["lock_clocks"], {"ticket_id": ticket_id})).fetchall()
    return [(row["clock_id"], clock_of_row(row)) for row in rows]


def clock_of_row(row: DictRow) -> Clock:
    """A clock as it is kept."""
    values = {name: row[name] for name in Clock.__dataclass_fields__ if name != "pauses"}
    return Clock(**values, pauses=tuple((span.lower, span.upper) for span in row["pauses"]))


async def _update(call: Call, clock_id: int, clock: Clock) -> None:
    values = {**asdict(clock), "clock_id": clock_id, "pauses": Multirange(Range(*span) for span in clock.pauses)}
    await call.connection.execute(SQL["update_clock"], values)


# What falls due ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Trip:
    """A clock that has something to say.

    Attributes:
        clock_id: Its number.
        ticket_id: Its case.
        clock: As it is now.
        event: Its target has passed, or most of it has, or it has stopped after that.
    """

    clock_id: int
    ticket_id: int
    clock: Clock
    event: rules.Event


async def claim_trips(call: Call) -> list[Trip]:
    """Clocks that have something to say, each thing once; they and their cases stay locked."""
    wanted = {"now": call.now, "limit": TRIPS}
    tripping = await (await call.connection.execute(SQL["claim_tripping"], wanted)).fetchall()
    clocks = {"now": call.now, "clock_ids": [row["clock_id"] for row in tripping]}
    rows = await (await call.connection.execute(SQL["lock_tripping"], clocks)).fetchall() if tripping else []
    trips: list[Trip] = []
    for row in rows:
        event = rules.event_of(clock_of_row(row), call.now)
        clock = rules.tripped(clock_of_row(row), event, call.now)
        await _update(call, row["clock_id"], clock)
        trips.append(Trip(row["clock_id"], row["ticket_id"], clock, event))
    return trips


async def run_due(call: Call) -> int:
    """Reckon running clocks anew whose calendar has changed."""
    rows = await (await call.connection.execute(SQL["outdated_clocks"], {"limit": BATCH})).fetchall()
    book = await current_book(call) if rows else None
    done = 0
    for row in rows:
        clock = clock_of_row(row)
        house = None if book is None else book.houses.get(clock.calendar_id)
        if house is not None:
            await _update(call, row["clock_id"], rules.timed(clock, house))
            done += 1
    return done


# Reading ----------------------------------------------------------------------------------------


async def clocks_of_ticket(call: Call, ticket_id: int) -> list[DictRow]:
    """The clocks of a case with their states.

    Raises:
        Problem: 404.
    """
    key = {"ticket_id": ticket_id}
    if await (await call.connection.execute(SQL["ticket_exists"], key)).fetchone() is None:
        raise Problem.not_found("ticket", ticket_id)
    async with call.unscoped():
        rows = await (await call.connection.execute(SQL["list_clocks"], key)).fetchall()
    return [_shown(row, call) for row in rows]


def _shown(row: DictRow, call: Call) -> DictRow:
    state = "running" if row["paused_since"] is None else "paused"
    late = row["breached_at"] is not None or rules.is_late(row["due_at"], row["stopped_at"], call.now)
    pauses = [{"since": span.lower, "until": span.upper} for span in row["pauses"]]
    return {**row, "state": state if row["stopped_at"] is None else "stopped", "breached": late, "pauses": pauses}


# Policies ---------------------------------------------------------------------------------------


async def create_policy(call: Call, body: NewPolicy) -> DictRow:
    """Add a policy.

    Raises:
        Problem: 409 when the name is taken; 422 for an unknown calendar.
    """
    values = {**body.model_dump(exclude={"calendar"}), "calendar_id": await _calendar_id(call, body.calendar)}
    row = await (await call.connection.execute(SQL["insert_policy"], values)).fetchone()
    if row is None:
        raise Problem.conflict("name-taken", f"there is a policy {body.name} already")
    return await get_policy(call, row["policy_id"])


async def get_policy(call: Call, policy_id: int) -> DictRow:
    """One policy.

    Raises:
        Problem: 404.
    """
    row = await (await call.connection.execute(SQL["get_policy"], {"policy_id": policy_id})).fetchone()
    if row is None:
        raise Problem.not_found("policy", policy_id)
    return row


async def change_policy(call: Call, policy_id: int, change: PolicyChange, version: int) -> DictRow:
    """Change a policy that is still at the version seen; cases that are open keep the clocks they have.

    Raises:
        Problem: 404, 409 when the name is taken, 412 when it changed meanwhile, 422 for an unknown calendar or when
            nothing would be promised any more.
    """
    seen = await get_policy(call, policy_id)
    given = change.model_dump(include=change.model_fields_set)
    values = {**seen, **given, "version": version}
    if given.get("calendar") is not None:
        values["calendar_id"] = await _calendar_id(call, given["calendar"])
    if all(values[f"{kind}_minutes"] is None for kind in CLOCK_KINDS):
        raise Problem.bad_field("body", "nothing would be promised; set active to false instead")
    if await (await call.connection.execute(SQL["policy_name_taken"], values)).fetchone() is not None:
        raise Problem.conflict("name-taken", f"there is a policy {values['name']} already")
    if await (await call.connection.execute(SQL["change_policy"], values)).fetchone() is None:
        raise changed_meanwhile("policy", version)
    return await get_policy(call, policy_id)


async def _calendar_id(call: Call, code: str) -> int:
    row = await (await call.connection.execute(SQL["get_calendar"], {"code": code})).fetchone()
    if row is None:
        raise Problem.bad_field("body.calendar", f"there is no calendar {code}; POST /v1/calendars first")
    return int(row["calendar_id"])
