"""What a ticket may become, what a new one must have, and what the customer reads about it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal, get_args

Kind = Literal["preventive", "repair", "warranty_expiry", "complaint", "consultation", "installation"]
State = Literal["open", "scheduled", "in_progress", "resolved", "closed", "cancelled"]
Priority = Literal["low", "normal", "high", "urgent"]
Outcome = Literal["confirmed", "prevented", "no_fault_found", "other_fault", "superseded", "reminded"]

STATES: tuple[State, ...] = get_args(State)

# The state machine: from each state, where a ticket may go. `scheduled` means that a job is dispatched.
MOVES: Mapping[State, frozenset[State]] = {
    "open": frozenset({"scheduled", "in_progress", "resolved", "cancelled"}),
    "scheduled": frozenset({"open", "in_progress", "resolved", "cancelled"}),
    "in_progress": frozenset({"open", "scheduled", "resolved"}),
    "resolved": frozenset({"open", "closed"}),
    "closed": frozenset(),
    "cancelled": frozenset(),
}

# In these the case is over: the time is kept as closed_at, and the same cause may open a new case.
OVER: frozenset[State] = frozenset({"resolved", "closed", "cancelled"})

WARRANTY_OUTCOMES: frozenset[Outcome] = frozenset({"reminded", "superseded"})
WORK_OUTCOMES: frozenset[Outcome] = frozenset(get_args(Outcome)) - {"reminded"}

COMPONENT_CAUSE = "component:"
WARRANTY_CAUSE = "warranty:"


def may_move(from_state: str, to_state: str) -> bool:
    """Whether the table has this move."""
    return any(state == from_state and to_state in targets for state, targets in MOVES.items())


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


def misfit_of_new(kind: str, component: str | None, cause: str, term_id: int | None) -> tuple[str, str] | None:
    """The field of a new ticket that contradicts another one, and why; None when all fit.

    A cause is what makes two reports one case, so it must say the same as the fields it repeats.
    """
    if kind == "warranty_expiry" and term_id is None:
        return "term_id", "a ticket of kind warranty_expiry names its warranty term"
    if kind != "warranty_expiry" and term_id is not None:
        return "term_id", f"a ticket of kind {kind} has no warranty term; leave it out"
    if kind == "warranty_expiry" and cause not in {"", warranty_cause(term_id)}:
        return "cause", f"the cause of this ticket is {warranty_cause(term_id)}; leave it out"
    if kind != "warranty_expiry" and cause.startswith(WARRANTY_CAUSE):
        return "cause", f"causes starting with {WARRANTY_CAUSE} are for tickets of kind warranty_expiry"
    if cause.startswith(COMPONENT_CAUSE) and cause.removeprefix(COMPONENT_CAUSE) != (component or ""):
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
}


def opening_message(
    kind: Kind,
    machine: Machine,
    *,
    ticket_id: int,
    title: str,
    description: str,
    component: str | None,
    due_by: datetime | None,
    warranty_ends_on: date | None,
) -> Message:
    """What the customer reads when a case opens: which machine, what, and what happens next."""
    subject = {
        "preventive": f"{machine.model_name} {machine.serial}: maintenance needed soon",
        "repair": f"{machine.model_name} {machine.serial}: repair needed",
        "warranty_expiry": f"{machine.model_name} {machine.serial}: the warranty ends on {warranty_ends_on}",
    }.get(kind, f"{machine.model_name} {machine.serial}: {title}")
    lines = [f"Machine: {machine}", f"What: {title}"]
    if component is not None:
        lines.append(f"Component: {component}")
    if warranty_ends_on is not None:
        lines.append(f"Last day covered: {warranty_ends_on}")
    if due_by is not None:
        lines.append(f"To be done by: {due_by:%Y-%m-%d %H:%M} UTC")
    if description and description != title:
        lines += ["", description]
    lines += ["", f"What happens next: {_NEXT[kind]}", f"Your case number is {ticket_id}."]
    return Message(subject, "\n".join(lines))


_FOUND: Mapping[str, str] = {
    "confirmed": "The fault was found and is mended.",
    "prevented": "The worn part was replaced before it failed.",
    "no_fault_found": "The machine was checked; no fault was found.",
    "other_fault": "Another fault than expected was found and is mended.",
    "superseded": "Other work on the machine has made this case unnecessary.",
    "reminded": "You know of the end of the warranty; nothing more is to be done.",
}


def resolved_message(machine: Machine, *, ticket_id: int, title: str, outcome: str | None) -> Message:
    """What the customer reads when a case is resolved."""
    lines = [f"Machine: {machine}", f"What: {title}", "", f"Result: {_FOUND.get(outcome or '', 'The work is done.')}"]
    lines.append(f"If anything is still wrong, tell us the case number {ticket_id} and we open the case again.")
    return Message(f"{machine.model_name} {machine.serial}: case {ticket_id} is resolved", "\n".join(lines))


def states_diagram() -> str:
    """The state machine as a Mermaid diagram, for docs/states.md."""
    lines = ["stateDiagram-v2", "    [*] --> open"]
    for state in STATES:
        lines += [f"    {state} --> {target}" for target in targets_of(state)]
    lines += [f"    {state} --> [*]" for state in STATES if not targets_of(state)]
    return "\n".join(lines)
