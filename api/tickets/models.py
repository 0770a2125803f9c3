"""Bodies and answers of tickets."""

import json
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from api.conventions.models import Answer, Body, Id, Name, Serial, Text, Time
from api.tickets.rules import Kind, LinkKind, Outcome, Priority, ServiceMode, State

LARGEST_EVIDENCE_BYTES = 65_536
LARGEST_BULK = 500


def _storable(evidence: dict[str, Any]) -> dict[str, Any]:
    """Evidence that PostgreSQL can hold as jsonb: finite numbers, real characters, of bounded size."""
    try:
        text = json.dumps(evidence, allow_nan=False, ensure_ascii=False)
        size = len(text.encode())
    except ValueError as error:
        raise ValueError("must have finite numbers and valid Unicode only") from error
    if size > LARGEST_EVIDENCE_BYTES:
        raise ValueError(f"must be at most {LARGEST_EVIDENCE_BYTES} bytes as JSON, not {size}")
    if _has_nul(evidence):
        raise ValueError("must not contain the character NUL")
    return evidence


def _has_nul(value: object) -> bool:
    if isinstance(value, str):
        return "\x00" in value
    if isinstance(value, dict):
        return any(_has_nul(key) or _has_nul(item) for key, item in value.items())
    return isinstance(value, list) and any(_has_nul(item) for item in value)


def _each_once(tags: list[str]) -> list[str]:
    return list(dict.fromkeys(tags))


Title = Annotated[Text, Field(min_length=1, max_length=200)]
Evidence = Annotated[dict[str, Any], AfterValidator(_storable)]
Cause = Annotated[Text, Field(max_length=160)]
Queue = Annotated[Name, Field(description="e.g. repairs-north")]
Tag = Annotated[str, Field(pattern=r"^[^\s,\x00-\x1f]{1,40}$")]
Tags = Annotated[list[Tag], Field(max_length=20), AfterValidator(_each_once)]


class NewTicket(Body):
    """A case to open."""

    kind: Kind
    service_mode: ServiceMode | None = Field(None, description="how the work is done; of a repair and its like")
    serial: Serial | None = Field(None, description="may be left out where customer_id is given")
    customer_id: Id | None = Field(None, description="the asset's owner when left out")
    contact_id: Id | None = Field(None, description="whom to ask; one of the customer's contacts")
    component: Name | None = Field(None, description="a component of the asset's model")
    cause: Cause = Field(
        "",
        description="what a machine saw, e.g. component:pump; an asset has one open case per cause. Empty for people's",
    )
    title: Title
    description: Text = ""
    priority: Priority = "normal"
    due_by: Time | None = None
    queue: Queue | None = Field(None, description="what the routes say when left out")
    tags: Tags = Field(default_factory=list)
    evidence: Evidence = Field({}, description="frozen at opening")
    term_id: Id | None = Field(None, description="the warranty term whose end is announced; one ticket each, ever")


class TicketChange(Body):
    """What of a ticket may change; fields left out stay."""

    title: Title = ""
    description: Text = ""
    priority: Priority = "normal"
    due_by: Time | None = None
    service_mode: ServiceMode | None = None
    queue: Queue | None = None
    contact_id: Id | None = None
    tags: Tags = Field(default_factory=list)


class NewTransition(Body):
    """Where a ticket shall go."""

    to: State
    reason: Text = ""
    outcome: Outcome | None = Field(None, description="what was found; only when it is resolved")


class Reason(Body):
    """Why."""

    reason: Text = ""


class NeededReason(Body):
    """Why; it must be said."""

    reason: Annotated[Text, Field(min_length=1)]


class Assignment(Body):
    """Whose a ticket shall be; fields left out stay, null takes away."""

    owner_user_id: Id | None = None
    queue: Queue | None = None
    provider_id: Id | None = Field(None, description="the service partner that does the work and may see the case")
    reason: Text = ""


class Merge(Body):
    """Which case goes on."""

    into: Id
    reason: Text = ""


class NewLink(Body):
    """How another case hangs together with this one: this is … of that."""

    to_ticket_id: Id
    kind: LinkKind


class NewWatcher(Body):
    """Who wants to hear of a case."""

    user_id: Id | None = Field(None, description="oneself when left out")


class Ticket(Answer):
    """A case."""

    ticket_id: int
    kind: Kind
    service_mode: ServiceMode | None
    state: State
    priority: Priority
    serial: str | None
    customer_id: int | None
    contact_id: int | None
    provider_id: int | None
    component: str | None
    cause: str
    title: str
    description: str
    raised_by: str
    opened_at: datetime
    updated_at: datetime
    due_by: datetime | None
    closed_at: datetime | None
    outcome: Outcome | None
    evidence: dict[str, Any] = Field(description="empty for customers")
    term_id: int | None
    owner_user_id: int | None
    queue: str | None
    tags: list[str]
    reopened_count: int
    merged_into: int | None
    job_id: int | None = Field(description="its latest job")
    version: int


class OpenedTicket(Ticket):
    """A case that was opened, or that was open already."""

    created: bool = Field(description="false when the case was there; the evidence went to its history")


class FoundTicket(Ticket):
    """A case that has the words looked for."""

    score: float = Field(description="how well they fit, and how new it is; only to compare within an answer")


class TicketEvent(Answer):
    """One line of a ticket's history."""

    ticket_event_id: int
    ticket_id: int = Field(description="the ticket itself, or one that was merged into it")
    at: datetime
    actor: str
    kind: str
    detail: dict[str, Any]


class Watcher(Answer):
    """Who wants to hear of a case."""

    user_id: int
    name: str
    since: datetime


class Link(Answer):
    """How two cases hang together: `from` is … of `to`."""

    link_id: int
    from_ticket_id: int
    to_ticket_id: int
    kind: LinkKind
    made_by: str
    made_at: datetime


class RouteFields(Body):
    """Which new tickets go to a queue; null fits everything."""

    place: Annotated[int, Field(ge=0, le=10**6, description="rules are asked in this order; the first that fits wins")]
    kind: Kind | None = None
    service_mode: ServiceMode | None = None
    priority: Priority | None = None
    product_kind: Name | None = None
    territory: Name | None = None
    queue: Queue
    active: bool = True


class Route(Answer):
    """Which new tickets go to a queue."""

    route_id: int
    place: int
    kind: Kind | None
    service_mode: ServiceMode | None
    priority: Priority | None
    product_kind: str | None
    territory: str | None
    queue: str
    active: bool
    version: int


Order = Literal["oldest", "newest", "due"]


class TicketWish(Body):
    """Which tickets a list has: all that fit every field given."""

    states: Annotated[list[State], Field(min_length=1, max_length=8), AfterValidator(_each_once)] | None = None
    kinds: Annotated[list[Kind], Field(min_length=1, max_length=9), AfterValidator(_each_once)] | None = None
    service_modes: Annotated[list[ServiceMode], Field(min_length=1, max_length=4)] | None = None
    priorities: Annotated[list[Priority], Field(min_length=1, max_length=4)] | None = None
    serial: Serial | None = None
    component: Name | None = None
    customer_id: Id | None = None
    provider_id: Id | None = None
    owner: Literal["me", "nobody"] | Id | None = Field(None, description="`me`, `nobody` or a user's number")
    queue: Queue | None = None
    tag: Tag | None = None
    watched: bool | None = Field(None, description="true: by me")
    overdue: bool | None = Field(
        None, description="true: not over, and due by now or promised by now (a clock of its service levels)"
    )
    reopened: bool | None = Field(None, description="true: opened again at least once")
    needs_job: bool | None = Field(
        None, description="true: open preventive and repair tickets on site that have no open job"
    )
    order: Order | None = Field(None, description="`due`: those with a date that are not over, earliest date first")

    @model_validator(mode="after")
    def _false_says_nothing(self) -> "TicketWish":
        if self.watched is False or self.overdue is False:
            raise ValueError("watched and overdue are true or left out")
        return self


class NewFilter(Body):
    """A list to look at again and again."""

    name: Annotated[str, Field(pattern=r"^[^\s,\x00-\x1f][^\x00-\x1f]{0,59}$")]
    shared: bool = Field(False, description="for everybody at the desk")
    wish: TicketWish


class FilterChange(Body):
    """What of a saved list may change; fields left out stay."""

    shared: bool = False
    wish: TicketWish = TicketWish()


class Filter(Answer):
    """A saved list."""

    filter_id: int | None = Field(description="null for those that every desk has")
    name: str
    shared: bool
    mine: bool
    wish: dict[str, Any]
    version: int


class FilterCount(Answer):
    """How many tickets a list has."""

    name: str
    count: int
    more: bool = Field(description="true: at least so many; nobody counts further")


class BulkWork(Body):
    """The same done to many tickets."""

    ids: Annotated[list[Id], Field(min_length=1, max_length=LARGEST_BULK), AfterValidator(_each_once)] | None = None
    filter: Name | None = Field(None, description="instead of ids: the first 500 tickets of that list")
    action: Literal["assign", "change", "transition", "claim", "release", "tag", "untag"]
    arguments: dict[str, Any] = Field({}, description="the body of the single call, e.g. {to: cancelled}; tag: {tags}")
    versions: dict[Id, Annotated[int, Field(ge=1, le=2**31 - 1)]] | None = Field(
        None, description="the version seen of each ticket; one that changed since is left as it is"
    )

    @model_validator(mode="after")
    def _one_choice(self) -> "BulkWork":
        if (self.ids is None) == (self.filter is None):
            raise ValueError("give ids or filter, and not both")
        return self


class BulkLine(Answer):
    """What became of one ticket."""

    ticket_id: int
    done: bool
    version: int | None = Field(description="after it; null when it was not done")
    problem: str | None = Field(description="type of the problem, e.g. /problems/ticket-state")
    detail: str | None


class BulkReport(Answer):
    """What became of each ticket, in the order given."""

    done: int
    refused: int
    lines: list[BulkLine]
