"""What customers read about the repair of their machine: pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from api.repairs.rules import Node, next_node


@dataclass(frozen=True)
class Message:
    """One line and a text."""

    subject: str
    body: str


_NODES: Mapping[str, str] = {
    "received": "Your machine arrives at our workshop",
    "diagnosed": "We know what is wrong",
    "quoted": "You get our quote",
    "accepted": "You have decided on our quote",
    "parts": "The parts are there",
    "repaired": "The machine is repaired",
    "tested": "The machine is tested",
    "exchanged": "A replacement is ready",
    "shipped": "The machine is on its way to you",
    "delivered": "You have the machine back",
    "returned_unrepaired": "The machine is on its way back, not repaired",
    "scrapped": "The machine is disposed of",
    "closed": "The case is closed",
}

_NOW: Mapping[str, str] = {
    "label": "We await your machine.",
    "received": "Your machine has arrived.",
    "diagnosed": "We have found out what is wrong.",
    "quoted": "Our quote is on its way to you.",
    "accepted": "You have accepted our quote.",
    "declined": "You have declined our quote.",
    "waiting_parts": "We have ordered the parts.",
    "in_repair": "We are repairing your machine.",
    "repaired": "Your machine is repaired.",
    "tested": "Your machine has passed its test.",
    "exchanged": "Your machine is replaced by another one.",
    "shipped": "Your machine is on its way to you.",
    "delivered": "You have your machine back.",
    "returned_unrepaired": "Your machine is on its way back to you, not repaired.",
    "scrapped": "Your machine is disposed of, as agreed.",
    "closed": "The repair is closed.",
    "cancelled": "The repair is cancelled.",
}

_NEXT: Mapping[str, str] = {
    "label": "Pack the machine safely, put the label on it and hand it to the carrier, or bring it to the counter.",
    "received": "Our workshop looks for the fault.",
    "diagnosed": "You hear from us what it costs, or we begin at once where you pay nothing.",
    "quoted": "Accept or decline our quote; until then nothing is done.",
    "accepted": "The repair begins.",
    "declined": "We send the machine back as it is. You pay no more than the fees agreed at booking, if any.",
    "waiting_parts": "The repair begins as soon as the parts are there.",
    "in_repair": "We test the machine when it is repaired.",
    "repaired": "We test the machine.",
    "tested": "We send the machine back to you, or you collect it.",
    "exchanged": "We send the replacement to you, or you collect it.",
    "shipped": "The carrier brings it.",
    "delivered": "If anything is still wrong, tell us the case number and we go on.",
    "returned_unrepaired": "The carrier brings it.",
    "scrapped": "Nothing more is to be done.",
    "closed": "Nothing more is to be done.",
    "cancelled": "Nothing more is to be done.",
}

_DELAYS: Mapping[str, str] = {
    "part_missing": "a part is not in stock",
    "workload": "our workshop has more to do than planned",
    "carrier": "the carrier is late",
    "customer": "we wait for something from you",
    "further_fault": "we have found another fault",
    "supplier": "our supplier is late",
    "other": "it takes longer than planned",
}


def day_words(day: date) -> str:
    """A day as people say it, e.g. `Thu 2 Jul 2026`."""
    return f"{day:%a} {day.day} {day:%b %Y}"


def moved_message(repair: Mapping[str, Any], nodes: Sequence[Node], extra: str = "") -> Message:
    """Where the machine is, what comes next, and when.

    Args:
        repair: `repair_id`, `ticket_id`, `serial`, `state`.
        nodes: With their days.
        extra: A line of its own, e.g. the parcel's number.
    """
    return Message(_subject(repair, _NOW[repair["state"]]), "\n".join(_lines(repair, nodes, [extra] if extra else [])))


def delayed_message(repair: Mapping[str, Any], nodes: Sequence[Node], reason: str, note: str) -> Message:
    """Why it takes longer, and when things are expected now."""
    why = f"It takes longer than we told you: {_DELAYS[reason]}."
    return Message(
        _subject(repair, "it takes longer"), "\n".join(_lines(repair, nodes, [why, *([note] if note else [])]))
    )


def overdue_message(repair: Mapping[str, Any]) -> Message:
    """That the next node is late, for those who see to it."""
    day = day_words(repair["next_expected_on"])
    body = (
        f"Repair {repair['repair_id']} of {repair['serial']} (case {repair['ticket_id']}) is {repair['state']}. "
        f"Expected by {day}: {_NODES[repair['next_node']]}. Report a delay with its reason, or go on with it."
    )
    return Message(_subject(repair, "late"), body)


def _subject(repair: Mapping[str, Any], said: str) -> str:
    return f"{repair['serial']}: repair {repair['repair_id']}: {said.rstrip('.')}"


def _lines(repair: Mapping[str, Any], nodes: Sequence[Node], more: Sequence[str]) -> list[str]:
    lines = [f"Machine: {repair['serial']}", _NOW[repair["state"]], *more, "", _NEXT[repair["state"]]]
    ahead = [node for node in nodes if node.done_at is None and node.name != "closed"]
    if ahead:
        first = next_node(ahead)
        lines += ["", "What we expect:"]
        lines += [
            f"- {_NODES[node.name]}: {day_words(node.expected_on)}{' (next)' if node is first else ''}"
            for node in ahead
        ]
    return [*lines, "", f"Your case number is {repair['ticket_id']}."]


def loan_message(serial: str, due_back_on: date, state: str) -> Message:
    """A machine lent while one's own is repaired."""
    day = day_words(due_back_on)
    if state == "overdue":
        return Message(
            f"Loaner {serial}: please bring it back",
            f"The machine {serial} that we lent you was due back on {day}. Please send it back, or ask for more time.",
        )
    return Message(
        f"Loaner {serial}: due back on {day}",
        f"You have the machine {serial} from us while yours is repaired. Please send it back by {day}.",
    )
