"""What a ticket may become, what a new one must have, and what the customer reads about it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal, get_args

from api.conventions.states import StateMachine

Kind = Literal[
    "preventive",
    "repair",
    "warranty_expiry",
    "complaint",
    "consultation",
    "installation",
    "return",
    "exchange",
    "recall",
]
State = Literal["open", "waiting_customer", "scheduled", "in_progress", "resolved", "closed", "cancelled", "merged"]
Priority = Literal["low", "normal", "high", "urgent"]
ServiceMode = Literal["on_site", "mail_in", "drop_off", "remote"]
Outcome = Literal["confirmed", "prevented", "no_fault_found", "other_fault", "superseded", "reminded"]
LinkKind = Literal["related", "duplicate", "caused_by", "part_shipment", "quality_analysis", "follow_up"]

STATES: tuple[State, ...] = get_args(State)
KINDS: tuple[Kind, ...] = get_args(Kind)

MACHINE = StateMachine(
    name="ticket",
    initial="open",
    moves={
        "open": {
            "ask": "waiting_customer",
            "schedule": "scheduled",
            "start": "in_progress",
            "resolve": "resolved",
            "cancel": "cancelled",
            "merge": "merged",
        },
        "waiting_customer": {
            "answer": "open",
            "schedule": "scheduled",
            "start": "in_progress",
            "resolve": "resolved",
            "cancel": "cancelled",
            "merge": "merged",
        },
        "scheduled": {
            "recall": "open",
            "ask": "waiting_customer",
            "start": "in_progress",
            "resolve": "resolved",
            "cancel": "cancelled",
            "merge": "merged",
        },
        "in_progress": {
            "recall": "open",
            "ask": "waiting_customer",
            "schedule": "scheduled",
            "resolve": "resolved",
            "merge": "merged",
        },
        "resolved": {"reopen": "open", "close": "closed"},
        "closed": {},
        "cancelled": {},
        "merged": {},
    },
    notes="""
- `scheduled` means that a job of the ticket is dispatched. When that job is cancelled, the ticket wants a job again.
- `waiting_customer`: nothing goes on until the customer answers; the clocks of the service level stand still.
- `resolved` has an outcome where one is known, and the time as `closed_at`. It may be opened again, unless a newer case
  of the same asset and cause is open by then; how often that happened is its `reopened_count`.
- A ticket with an open job cannot be resolved, cancelled or merged by hand: complete or cancel the job first.
- `merged` leads to the case that goes on, `merged_into`; like `closed` and `cancelled` it is final.
""",
)

# In these somebody has still to do something about the case; in the others it is over: the time is kept as closed_at,
# and the same cause may open a new case.
ACTIVE: tuple[State, ...] = ("open", "waiting_customer", "scheduled", "in_progress")
OVER: frozenset[State] = frozenset(set(STATES) - set(ACTIVE))
# Where a wish for a state leads only by a call of its own.
BY_OWN_CALL: Mapping[str, str] = {"merged": "merge it: POST /v1/tickets/{ticket_id}/merge"}

WARRANTY_OUTCOMES: frozenset[Outcome] = frozenset({"reminded", "superseded"})
WORK_OUTCOMES: frozenset[Outcome] = frozenset(get_args(Outcome)) - {"reminded"}

COMPONENT_CAUSE = "component:"
WARRANTY_CAUSE = "warranty:"

# How the work of a kind may be done; kinds without a row are words only.
MODES: Mapping[Kind, frozenset[ServiceMode]] = {
    "preventive": frozenset(get_args(ServiceMode)),
    "repair": frozenset(get_args(ServiceMode)),
    "recall": frozenset(get_args(ServiceMode)),
    "installation": frozenset({"on_site", "remote"}),
    "return": frozenset({"on_site", "mail_in", "drop_off"}),
    "exchange": frozenset({"on_site", "mail_in", "drop_off"}),
}
# What customers open themselves; the others are the maker's.
OF_CUSTOMERS: frozenset[Kind] = frozenset({"repair", "installation", "return", "exchange", "complaint", "consultation"})


def action_to(from_state: str, to_state: str) -> str | None:
    """The action that leads from a state to another one, or None when the table does not have it."""
    row = MACHINE.moves.get(from_state, {})
    return next((action for action, to in row.items() if to == to_state), None)


def may_move(from_state: str, to_state: str) -> bool:
    """Whether the table has this move."""
    return action_to(from_state, to_state) is not None


def targets_of(from_state: str) -> list[str]:
    """Where a ticket may go from a state, in the order of a case's life."""
    return [state for state in STATES if may_move(from_state, state)]


def misfit_of_outcome(kind: str, to_state: str, outcome: str | None) -> str | None:
    """Why an outcome does not fit a move, or None when it does."""
    if outcome is None:
        return None
    if to_state != "resolved":
        return "only a ticket that is resolved has an outcome; leave it out"
    fitting = WARRANTY_OUTCOMES if kind == "warranty_expiry" else WORK_OUTCOMES
    if outcome not in fitting:
        return f"a ticket of kind {kind} has one of: {', '.join(sorted(fitting))}"
    return None


@dataclass(frozen=True)
class Wish:
    """What a new ticket says, as far as its fields must fit one another."""

    kind: Kind
    service_mode: ServiceMode | None = None
    serial: str | None = None
    customer_id: int | None = None
    component: str | None = None
    cause: str = ""
    term_id: int | None = None
    by_customer: bool = False
    with_evidence: bool = False


def misfit_of_new(wish: Wish) -> tuple[str, str] | None:
    """The field of a new ticket that contradicts another one, and why; None when all fit."""
    return _misfit_of_author(wish) or _misfit_of_subject(wish) or _misfit_of_cause(wish)


def _misfit_of_author(wish: Wish) -> tuple[str, str] | None:
    if not wish.by_customer:
        return None
    if wish.kind not in OF_CUSTOMERS:
        return "kind", f"a customer opens one of: {', '.join(sorted(OF_CUSTOMERS))}"
    if wish.cause:
        return "cause", "causes are for machines; leave it out"
    return ("evidence", "evidence is for machines; leave it out") if wish.with_evidence else None


def _misfit_of_subject(wish: Wish) -> tuple[str, str] | None:
    if wish.serial is None:
        if wish.kind in {"preventive", "warranty_expiry"} or wish.cause:
            return "serial", f"a ticket of kind {wish.kind} with this cause is about a machine; name it"
        if wish.component is not None:
            return "component", "a component is one of a machine; name its serial number too"
        if wish.customer_id is None:
            return "serial", "name the machine by serial, or the customer by customer_id"
    modes = MODES.get(wish.kind, frozenset())
    if wish.service_mode is not None and wish.service_mode not in modes:
        return "service_mode", f"a ticket of kind {wish.kind} has {_one_of(modes)}"
    return None


def _one_of(modes: frozenset[ServiceMode]) -> str:
    return f"one of: {', '.join(sorted(modes))}" if modes else "none; leave it out"


def _misfit_of_cause(wish: Wish) -> tuple[str, str] | None:
    """A cause is what makes two reports one case, so it must say the same as the fields it repeats."""
    kind, cause, term_id = wish.kind, wish.cause, wish.term_id
    if kind == "warranty_expiry" and term_id is None:
        return "term_id", "a ticket of kind warranty_expiry names its warranty term"
    if kind != "warranty_expiry" and term_id is not None:
        return "term_id", f"a ticket of kind {kind} has no warranty term; leave it out"
    if kind == "warranty_expiry" and cause not in {"", warranty_cause(term_id)}:
        return "cause", f"the cause of this ticket is {warranty_cause(term_id)}; leave it out"
    if kind != "warranty_expiry" and cause.startswith(WARRANTY_CAUSE):
        return "cause", f"causes starting with {WARRANTY_CAUSE} are for tickets of kind warranty_expiry"
    if cause.startswith(COMPONENT_CAUSE) and cause.removeprefix(COMPONENT_CAUSE) != (wish.component or ""):
        return "cause", f"{cause} names another component than the field component"
    return None


def warranty_cause(term_id: int | None) -> str:
    """The cause of the case that announces the end of a warranty."""
    return f"{WARRANTY_CAUSE}{term_id}"


@dataclass(frozen=True)
class Machine:
    """How a customer calls an asset.

    Attributes:
        serial: Serial number.
        model_name: Name of its product model.
        site_name: Where it stands, or None.
    """

    serial: str
    model_name: str
    site_name: str | None

    def __str__(self) -> str:
        place = f", {self.site_name}" if self.site_name else ""
        return f"{self.model_name} (serial number {self.serial}{place})"


@dataclass(frozen=True)
class Message:
    """One line and a text for the customer."""

    subject: str
    body: str


_NEXT: Mapping[Kind, str] = {
    "preventive": "We reserve the part and send you an appointment with a technician. "
    "You need not do anything now; the machine may go on working until then.",
    "repair": "We look for the next free technician with the right part and send you an appointment.",
    "warranty_expiry": "Tell us of any defect while the machine is covered, or ask us to extend the warranty.",
    "complaint": "Our service desk looks into it and comes back to you.",
    "consultation": "Our service desk prepares an answer and comes back to you.",
    "installation": "We send you an appointment with a technician who installs it.",
    "return": "We tell you how and where to send it.",
    "exchange": "We send you another one and tell you what to do with this one.",
    "recall": "We put the machine right at no charge and tell you when and where.",
}
_NEXT_BY_MODE: Mapping[ServiceMode, str] = {
    "mail_in": "We send you a label and tell you how to pack the machine.",
    "drop_off": "Bring the machine to the service point that we name to you.",
    "remote": "We call you and look at the machine together.",
}


def opening_message(
    kind: Kind,
    machine: Machine | None,
    *,
    ticket_id: int,
    title: str,
    description: str,
    component: str | None,
    due_by: datetime | None,
    warranty_ends_on: date | None,
    service_mode: ServiceMode | None = None,
) -> Message:
    """What the customer reads when a case opens: which machine, what, and what happens next."""
    what = {
        "preventive": "maintenance needed soon",
        "repair": "repair needed",
        "warranty_expiry": f"the warranty ends on {warranty_ends_on}",
    }.get(kind, title)
    lines = [f"What: {title}"] if machine is None else [f"Machine: {machine}", f"What: {title}"]
    if component is not None:
        lines.append(f"Component: {component}")
    if warranty_ends_on is not None:
        lines.append(f"Last day covered: {warranty_ends_on}")
    if due_by is not None:
        lines.append(f"To be done by: {due_by:%Y-%m-%d %H:%M} UTC")
    if description and description != title:
        lines += ["", description]
    following = _NEXT[kind] if service_mode is None else _NEXT_BY_MODE.get(service_mode, _NEXT[kind])
    lines += ["", f"What happens next: {following}", f"Your case number is {ticket_id}."]
    return Message(_subject(machine, what), "\n".join(lines))


def _subject(machine: Machine | None, what: str) -> str:
    return what if machine is None else f"{machine.model_name} {machine.serial}: {what}"


_FOUND: Mapping[str, str] = {
    "confirmed": "The fault was found and is mended.",
    "prevented": "The worn part was replaced before it failed.",
    "no_fault_found": "The machine was checked; no fault was found.",
    "other_fault": "Another fault than expected was found and is mended.",
    "superseded": "Other work on the machine has made this case unnecessary.",
    "reminded": "You know of the end of the warranty; nothing more is to be done.",
}


def resolved_message(machine: Machine | None, *, ticket_id: int, title: str, outcome: str | None) -> Message:
    """What the customer reads when a case is resolved."""
    lines = [f"What: {title}"] if machine is None else [f"Machine: {machine}", f"What: {title}"]
    lines += ["", f"Result: {_FOUND.get(outcome or '', 'The work is done.')}"]
    lines.append(f"If anything is still wrong, tell us the case number {ticket_id} and we open the case again.")
    return Message(_subject(machine, f"case {ticket_id} is resolved"), "\n".join(lines))
