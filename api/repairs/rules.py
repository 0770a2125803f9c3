"""What a repair may become, when each of its nodes is expected, and what follows from it: pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Literal, get_args

from api.conventions.states import StateMachine

RepairState = Literal[
    "label",
    "received",
    "diagnosed",
    "quoted",
    "accepted",
    "declined",
    "waiting_parts",
    "in_repair",
    "repaired",
    "tested",
    "exchanged",
    "shipped",
    "delivered",
    "returned_unrepaired",
    "scrapped",
    "closed",
    "cancelled",
]
LoanState = Literal["lent", "overdue", "returned", "lost"]
NodeName = Literal[
    "received",
    "diagnosed",
    "quoted",
    "accepted",
    "parts",
    "repaired",
    "tested",
    "exchanged",
    "shipped",
    "delivered",
    "returned_unrepaired",
    "scrapped",
    "closed",
]
DelayReason = Literal["part_missing", "workload", "carrier", "customer", "further_fault", "supplier", "other"]
Mode = Literal["mail_in", "drop_off"]

REPAIR_STATES: tuple[RepairState, ...] = get_args(RepairState)
LOAN_STATES: tuple[LoanState, ...] = get_args(LoanState)
NODES: tuple[NodeName, ...] = get_args(NodeName)

_BACK = {"return_unrepaired": "returned_unrepaired", "scrap": "scrapped"}

REPAIR = StateMachine(
    name="repair",
    initial="label",
    moves={
        "label": {"receive": "received", "cancel": "cancelled"},
        "received": {"diagnose": "diagnosed", **_BACK},
        "diagnosed": {
            "quote": "quoted",
            "order_parts": "waiting_parts",
            "start": "in_repair",
            "exchange": "exchanged",
            **_BACK,
        },
        "quoted": {"accept": "accepted", "decline": "declined"},
        "accepted": {"order_parts": "waiting_parts", "start": "in_repair", "exchange": "exchanged", **_BACK},
        "declined": {"quote": "quoted", **_BACK},
        "waiting_parts": {
            "order_parts": "waiting_parts",
            "start": "in_repair",
            "exchange": "exchanged",
            **_BACK,
        },
        "in_repair": {
            "order_parts": "waiting_parts",
            "finish": "repaired",
            "exchange": "exchanged",
            **_BACK,
        },
        "repaired": {"pass_test": "tested", "fail_test": "in_repair"},
        "tested": {"ship": "shipped", "hand_over": "delivered"},
        "exchanged": {"ship": "shipped", "hand_over": "delivered"},
        "shipped": {"deliver": "delivered"},
        "delivered": {"close": "closed"},
        "returned_unrepaired": {"close": "closed"},
        "scrapped": {"close": "closed"},
        "closed": {},
        "cancelled": {},
    },
    notes="""
- `label`: the machine is on its way to us, by parcel, pick-up or to the counter.
- From `diagnosed` the work goes on without a quote only where the customer pays nothing: by the warranty's answer of
  that day, which is frozen, or because the maker pays everything (central repair).
- `accept` and `decline` follow the customer's decision on the quote; an expired or withdrawn quote counts as declined.
- `start` wants every part that was ordered to be reserved. A failed test leads back to `in_repair`.
- `return_unrepaired` ships the machine back as it is and charges the fees agreed for that, and nothing else.
""",
)

LOAN = StateMachine(
    name="loan",
    initial="lent",
    moves={
        "lent": {"fall_due": "overdue", "extend": "lent", "give_back": "returned", "lose": "lost"},
        "overdue": {"extend": "lent", "give_back": "returned", "lose": "lost"},
        "returned": {},
        "lost": {},
    },
    notes="A loaner is lent to one case at a time; the database holds that by an index.",
)

# What the ticket is while the repair is in a state; in `quoted` the quote itself lets it wait.
TICKET_FOLLOWS: Mapping[RepairState, str] = {
    "label": "waiting_customer",
    "received": "in_progress",
    "diagnosed": "in_progress",
    "accepted": "in_progress",
    "declined": "in_progress",
    "waiting_parts": "in_progress",
    "in_repair": "in_progress",
    "repaired": "in_progress",
    "tested": "in_progress",
    "exchanged": "in_progress",
    "shipped": "in_progress",
    "delivered": "resolved",
    "returned_unrepaired": "resolved",
    "scrapped": "resolved",
    "closed": "closed",
    "cancelled": "cancelled",
}

# The node that is done when the repair comes into a state.
NODE_OF_STATE: Mapping[str, NodeName] = {node: node for node in NODES if node in REPAIR_STATES}

# Business days from the node before, where no standard says otherwise.
DEFAULT_DAYS: Mapping[NodeName, int] = {
    "received": 5,
    "diagnosed": 2,
    "quoted": 1,
    "accepted": 5,
    "parts": 5,
    "repaired": 3,
    "tested": 1,
    "exchanged": 2,
    "shipped": 1,
    "delivered": 2,
    "returned_unrepaired": 2,
    "scrapped": 2,
    "closed": 10,
}

# A calendar that is never open would never end; after so long any day will do.
_LONGEST_PAUSE_DAYS = 60
LATEST_DAY = date(9998, 12, 31)

IsWorking = Callable[[date], bool]


@dataclass(frozen=True)
class Node:
    """A station on the way.

    Attributes:
        name: What happens there.
        first_expected_on: The day promised first.
        expected_on: The day expected now.
        done_at: When it happened.
    """

    name: NodeName
    first_expected_on: date
    expected_on: date
    done_at: datetime | None = None


@dataclass(frozen=True)
class Way:
    """What decides which nodes lie on the way.

    Attributes:
        state: The repair's.
        mode: How the machine comes and goes.
        quoted: Whether a quote is needed, as far as one knows.
    """

    state: str
    mode: Mode
    quoted: bool


def nodes_ahead(way: Way) -> list[NodeName]:
    """The nodes that a repair has yet to pass, in order, as far as one knows."""
    going = ["delivered"] if way.mode == "drop_off" else ["shipped", "delivered"]
    whole: dict[str, list[str]] = {
        "label": [
            "received",
            "diagnosed",
            *(["quoted", "accepted"] if way.quoted else []),
            "repaired",
            "tested",
            *going,
        ],
        "received": ["diagnosed", *(["quoted", "accepted"] if way.quoted else []), "repaired", "tested", *going],
        "diagnosed": [*(["quoted", "accepted"] if way.quoted else []), "repaired", "tested", *going],
        "quoted": ["accepted", "repaired", "tested", *going],
        "accepted": ["repaired", "tested", *going],
        "declined": ["returned_unrepaired"],
        "waiting_parts": ["parts", "repaired", "tested", *going],
        "in_repair": ["repaired", "tested", *going],
        "repaired": ["tested", *going],
        "tested": going,
        "exchanged": going,
        "shipped": ["delivered"],
        "delivered": [],
        "returned_unrepaired": [],
        "scrapped": [],
    }
    if way.state not in whole:
        return []
    names = [*whole[way.state], "closed"]
    return [node for node in NODES if node in names]


def add_business_days(day: date, days: int, is_working: IsWorking) -> date:
    """The day that is so many business days later; with 0, the day itself or the next one that is worked on."""
    left = days
    closed = 0
    while day < LATEST_DAY:
        if is_working(day) or closed >= _LONGEST_PAUSE_DAYS:
            closed = 0
            if left == 0:
                return day
            left -= 1
        else:
            closed += 1
        day += timedelta(days=1)
    return day


def replanned(
    nodes: Sequence[Node],
    ahead: Sequence[NodeName],
    days: Mapping[str, int],
    today: date,
    is_working: IsWorking,
    *,
    not_before: Mapping[str, date] | None = None,
) -> list[Node]:
    """The nodes as they are expected from today on.

    A node takes its business days from the one before it. What was promised is not moved to an earlier day because
    something went faster; it is moved to a later one because something took longer. Nodes that no longer lie ahead and
    were not done are left out; a node that has to be passed again is open again.

    Args:
        nodes: As they were, done ones too.
        ahead: What has yet to be passed, in order.
        days: Business days by node; where a node has none, the default.
        today: The day of the change.
        is_working: Whether a day is a business day.
        not_before: Days before which a node cannot be, e.g. because a part comes then.
    """
    known = {node.name: node for node in nodes}
    planned = [node for node in nodes if node.done_at is not None and node.name not in ahead]
    base = today
    for name in ahead:
        reckoned = add_business_days(base, days.get(name, DEFAULT_DAYS[name]), is_working)
        reckoned = max(reckoned, (not_before or {}).get(name, reckoned))
        before = known.get(name)
        if before is None:
            node = Node(name, reckoned, reckoned)
        else:
            node = replace(before, expected_on=max(reckoned, before.expected_on), done_at=None)
        planned.append(node)
        base = node.expected_on
    return sorted(planned, key=lambda node: NODES.index(node.name))


def done(nodes: Sequence[Node], name: NodeName, at: datetime, today: date) -> list[Node]:
    """The nodes, one of them done; it is added when it was not on the way."""
    found = next((node for node in nodes if node.name == name), Node(name, today, today))
    others = [node for node in nodes if node.name != name]
    return sorted([*others, replace(found, done_at=at)], key=lambda node: NODES.index(node.name))


def delayed(nodes: Sequence[Node], business_days: int, is_working: IsWorking) -> list[Node]:
    """All nodes that are not done, so many business days later."""
    return [
        node
        if node.done_at is not None
        else replace(node, expected_on=add_business_days(_next(node.expected_on), business_days - 1, is_working))
        for node in nodes
    ]


def _next(day: date) -> date:
    return min(day, LATEST_DAY) + timedelta(days=1)


def next_node(nodes: Sequence[Node]) -> Node | None:
    """The first node that is not done."""
    return next((node for node in nodes if node.done_at is None), None)


def monday_to_friday(day: date) -> bool:
    """Business days where no calendar is kept."""
    return day.isoweekday() <= 5


def needs_quote(bearer: str, *, central: bool) -> bool:
    """Whether work may go on only when the customer has accepted a quote."""
    return not central and bearer != "maker"


def label_number(repair_id: int) -> str:
    """The number on our own label, with a check digit (Luhn), so that a misread one is not another repair's."""
    digits = f"{repair_id:08d}"
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if place % 2 == 0 else 1)
        total += value - 9 if value > 9 else value
    return f"RMA{digits}-{-total % 10}"


def labour_cost(minutes: int, hour_minor: int) -> int:
    """What minutes of the workshop cost the maker, rounded to the nearest minor unit, a half up."""
    return (2 * minutes * hour_minor + 60) // 120


def loaner_cost(lent_at: datetime, ended_at: datetime, day_minor: int) -> int:
    """What a loan costs the maker: each day begun."""
    return max(1, -(-int((ended_at - lent_at).total_seconds()) // 86_400)) * day_minor
