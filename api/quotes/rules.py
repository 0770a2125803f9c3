"""What quotes, charges and payments may become, and the exact words a customer agrees to: pure."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, get_args

from api.conventions.states import StateMachine

QuoteState = Literal["draft", "sent", "accepted", "declined", "expired", "superseded", "withdrawn"]
ChargeState = Literal["charged", "voided"]
PaymentState = Literal["authorised", "captured", "partly_refunded", "refunded", "failed"]
Channel = Literal["portal", "link", "phone", "email", "letter", "chat", "counter", "on_site"]
FeeKind = Literal["diagnosis", "handling", "cancellation", "storage"]

QUOTE_STATES: tuple[QuoteState, ...] = get_args(QuoteState)
PAYMENT_STATES: tuple[PaymentState, ...] = get_args(PaymentState)

QUOTE = StateMachine(
    name="quote",
    initial="draft",
    moves={
        "draft": {"send": "sent", "supersede": "superseded", "withdraw": "withdrawn"},
        "sent": {
            "accept": "accepted",
            "decline": "declined",
            "expire": "expired",
            "supersede": "superseded",
            "withdraw": "withdrawn",
        },
        "accepted": {"supersede": "superseded"},
        "declined": {},
        "expired": {},
        "superseded": {},
        "withdrawn": {},
    },
    notes="Of a ticket's quotes at most one is a draft, one sent and one accepted. A newer one supersedes a draft at "
    "once, a sent one when it is sent itself, an accepted one only when it is accepted itself.",
)

CHARGE = StateMachine(
    name="charge",
    initial="charged",
    moves={"charged": {"void": "voided"}, "voided": {}},
    notes="The database itself refuses charges beyond what was accepted, or beyond the fee that was agreed.",
)

PAYMENT = StateMachine(
    name="payment",
    initial="authorised",
    moves={
        "authorised": {"capture": "captured", "fail": "failed"},
        "captured": {"refund_part": "partly_refunded", "refund": "refunded"},
        "partly_refunded": {"refund_part": "partly_refunded", "refund": "refunded"},
        "refunded": {},
        "failed": {},
    },
    notes="A record of what happened at a payment provider; it may also begin captured or failed. A message that comes "
    "again, or after a later one, changes nothing.",
)

# How far a payment has come; a message about less than that is an old one.
PAYMENT_PROGRESS: Mapping[str, int] = {
    "authorised": 0,
    "failed": 1,
    "captured": 1,
    "partly_refunded": 2,
    "refunded": 2,
}

# ISO 4217: the currencies whose minor unit is not a hundredth.
_DECIMALS: Mapping[str, int] = {
    **dict.fromkeys(("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "VND", "VUV"), 0),
    **dict.fromkeys(("XAF", "XOF", "XPF"), 0),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
}


def money(amount_minor: int, currency: str) -> str:
    """An amount as people write it, e.g. `1,234.50 EUR`."""
    decimals = _DECIMALS.get(currency, 2)
    sign = "-" if amount_minor < 0 else ""
    whole, part = divmod(abs(amount_minor), 10**decimals)
    return f"{sign}{whole:,}{f'.{part:0{decimals}d}' if decimals else ''} {currency}"


def percent(rate_bp: int) -> str:
    """Basis points as people write them, e.g. `19 %` or `7.7 %`."""
    return f"{rate_bp / 100:g} %"


def text_hash(text: str) -> str:
    """SHA-256 of the UTF-8 text, in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


def quote_text(quote: Mapping[str, Any], lines: Sequence[Mapping[str, Any]], terms: str) -> str:
    """The exact text a customer is shown and agrees to.

    Args:
        quote: `quote_id`, `revision`, `ticket_id`, `machine` (or None), `currency`, the sums, `valid_until`.
        lines: `description`, `net_minor`, `customer_minor`, `bearer`, `reason`.
        terms: Added at the end.
    """
    currency = quote["currency"]
    written = [f"Quote {quote['quote_id']}, version {quote['revision']}, for case {quote['ticket_id']}"]
    if quote["machine"]:
        written.append(f"Machine: {quote['machine']}")
    written.append("")
    for line in lines:
        said = f"- {line['description']}: {money(line['customer_minor'], currency)}"
        if line["customer_minor"] != line["net_minor"]:
            said += f" ({money(line['net_minor'], currency)}, borne by the {line['bearer']})"
        if line["reason"]:
            said += f" ({line['reason']})"
        written.append(said)
    written += [
        "",
        f"Sum before tax: {money(quote['net_minor'], currency)}",
        f"Tax {percent(quote['tax_rate_bp'])}: {money(quote['tax_minor'], currency)}",
        f"You pay: {money(quote['gross_minor'], currency)}",
        "",
        "We charge no more than this without a new quote that you accept.",
        f"Valid until {moment(quote['valid_until'])}.",
    ]
    if terms:
        written += ["", terms]
    return "\n".join(written)


def moment(at: datetime) -> str:
    """A time as it stands in texts."""
    return f"{at:%Y-%m-%d %H:%M} UTC"


@dataclass(frozen=True)
class Message:
    """One line and a text for the customer."""

    subject: str
    body: str


def sent_message(quote: Mapping[str, Any], link: str) -> Message:
    """A quote to decide upon."""
    amount = money(quote["gross_minor"], quote["currency"])
    body = f"{quote['text']}\n\nTo accept or decline: {link}"
    return Message(f"Case {quote['ticket_id']}: our quote of {amount}", body)


def decided_message(quote: Mapping[str, Any]) -> Message:
    """What became of a quote."""
    amount = money(quote["gross_minor"], quote["currency"])
    said = {
        "accepted": "You have accepted it. The work goes on; you will not be charged more without a new quote.",
        "declined": "You have declined it. Nothing of it is done or charged.",
        "expired": "It has not been accepted in time and is no longer valid. Ask us for a new one if you wish.",
        "withdrawn": "We have withdrawn it; it can no longer be accepted.",
    }[quote["state"]]
    number = f"quote {quote['quote_id']}, version {quote['revision']}"
    lines = [f"About {number}, of {amount}, for case {quote['ticket_id']}:", said]
    if quote["decline_reason"]:
        lines.append(f"Reason: {quote['decline_reason']}")
    return Message(f"Case {quote['ticket_id']}: {number} is {quote['state']}", "\n".join(lines))


def payment_action(state: str, to: str, amount_minor: int, left_minor: int) -> str | None:
    """Which action brings a payment to what a provider tells; None when that is old news.

    Args:
        state: What it is.
        to: What the provider tells: `authorised`, `captured`, `failed` or `refunded`.
        amount_minor: The amount told.
        left_minor: Captured and not yet refunded.
    """
    if to == "refunded":
        return "refund" if amount_minor >= left_minor else "refund_part"
    if PAYMENT_PROGRESS[state] > PAYMENT_PROGRESS[to] or state == to:
        return None
    return {"captured": "capture", "failed": "fail"}.get(to)


@dataclass(frozen=True)
class Account:
    """What a case's customer owes, in minor units.

    Attributes:
        accepted_minor: The most that may be charged for the work.
        charged_minor: Charged of that.
        fees_minor: Charged fees that were agreed at booking.
        captured_minor: Paid.
        refunded_minor: Paid back.
        authorised_minor: Promised by a payment provider and not yet captured.
    """

    accepted_minor: int = 0
    charged_minor: int = 0
    fees_minor: int = 0
    captured_minor: int = 0
    refunded_minor: int = 0
    authorised_minor: int = 0

    @property
    def balance_minor(self) -> int:
        """What is still to be paid; negative when too much was."""
        return self.charged_minor + self.fees_minor - self.captured_minor + self.refunded_minor

    @property
    def chargeable_minor(self) -> int:
        """What may still be charged for the work."""
        return self.accepted_minor - self.charged_minor
