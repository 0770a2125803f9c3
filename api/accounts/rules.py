"""Who bears a used part, what a claim for it earns, and what an account may still take; pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from api.quotes.rules import money

Bearer = Literal["maker", "customer", "partner"]
StockOf = Literal["partner", "maker"]
EntryKind = Literal["charge", "credit", "handling", "payment", "adjustment", "reversal"]
ENTRY_KINDS: tuple[EntryKind, ...] = ("charge", "credit", "handling", "payment", "adjustment", "reversal")


@dataclass(frozen=True)
class Verdict:
    """Who bears a part, and why; the first reason decides."""

    bearer: Bearer
    reasons: tuple[Mapping[str, str], ...]


NO_MACHINE = Verdict("customer", ({"code": "no-machine", "text": "the case is about no machine that has a warranty"},))


def verdict_of(*, parts: bool, extent: str, reasons: Iterable[Mapping[str, Any]]) -> Verdict:
    """Who bears a part by the warranty's answer: what is shared is judged by the part's own share.

    Args:
        parts: Whether the warranty bears parts.
        extent: Of the whole answer: yes, partly, no.
        reasons: The answer's, the deciding first, with `code` and `text`.
    """
    said = [{"code": str(reason["code"]), "text": str(reason["text"])} for reason in reasons]
    if extent == "partly":
        text = "the warranty bears some of it, and of that the parts" if parts else "the warranty bears no parts"
        said.insert(0, {"code": "shared", "text": text})
    return Verdict("maker" if parts else "customer", tuple(said))


def share_of(bearer: Bearer, stock_of: StockOf) -> int:
    """What the partner's account is credited of a part's worth: 1 for all of it, -1 where it is charged, else 0.

    What the partner bought and the maker bears is claimed back; what it bought and its customer pays, or it bears
    itself, it has paid for already. Of the maker's own stock it owes only what it bears itself.
    """
    if stock_of == "partner":
        return 1 if bearer == "maker" else 0
    return -1 if bearer == "partner" else 0


def handling_minor(credited_minor: int, pieces: int, *, per_piece_minor: int, rate_bp: int) -> int:
    """What handling a claim earns: so much a piece, and a share of the credit in basis points, half a unit up."""
    return per_piece_minor * pieces + (2 * credited_minor * rate_bp + 10_000) // 20_000


@dataclass(frozen=True)
class Lot:
    """Pieces that a partner bought together and still has some of.

    Attributes:
        number: Which one.
        account: Of which account.
        pieces: Bought.
        left: Of them, still there.
        paid_minor: For all of them.
    """

    number: int
    account: int
    pieces: int
    left: int
    paid_minor: int

    def worth_minor(self, taken: int) -> int:
        """What so many of those left have cost; taken one by one or at once they cost the same together.

        The price of all is shared out by the pieces, rounded down, so that the last piece makes up the rest.
        """
        before = self.pieces - self.left
        return self.paid_minor * (before + taken) // self.pieces - self.paid_minor * before // self.pieces


@dataclass(frozen=True)
class Take:
    """Pieces taken from a lot, and what they have cost."""

    lot: Lot
    pieces: int
    worth_minor: int


def take(lots: Sequence[Lot], pieces: int) -> tuple[list[Take], int]:
    """Take pieces from lots in their order; returns what was taken, and how many pieces no lot had."""
    taken: list[Take] = []
    for lot in lots:
        some = min(lot.left, pieces)
        if some > 0:
            taken.append(Take(lot, some, lot.worth_minor(some)))
            pieces -= some
    return taken, pieces


def net_pieces(entries: Sequence[Mapping[str, Any]]) -> tuple[dict[int, int], dict[int, int]]:
    """What a visit used and did not bring back; of a part what was used last came back first.

    Args:
        entries: `visit_part_id`, `kind` (used, returned), `part_id`, `quantity`, `reservation_id`, in the order booked.
            What goes back of a reservation was never used.

    Returns:
        Pieces of each used part by its number; and pieces by part that came back although this visit did not use them:
        an earlier one did.
    """
    net: dict[int, int] = {}
    part_of: dict[int, int] = {}
    surplus: dict[int, int] = {}
    for entry in entries:
        part_id = entry["part_id"]
        if entry["kind"] == "used":
            net[entry["visit_part_id"]] = entry["quantity"]
            part_of[entry["visit_part_id"]] = part_id
        elif entry["reservation_id"] is None:
            back: int = entry["quantity"]
            for number in reversed(net):
                if part_of[number] == part_id:
                    some = min(back, net[number])
                    net[number] -= some
                    back -= some
            if back > 0:
                surplus[part_id] = surplus.get(part_id, 0) + back
    return net, surplus


def beyond_limit(
    partner: str, *, balance_minor: int, limit_minor: int, amount_minor: int, currency: str, path: str
) -> str:
    """Why an amount is not charged, with the remedy.

    Args:
        partner: The partner's code.
        balance_minor: What it owes.
        limit_minor: What it may owe.
        amount_minor: What was to be charged.
        currency: Of all three.
        path: The account's.
    """
    owed, limit, wanted = (money(minor, currency) for minor in (balance_minor, limit_minor, amount_minor))
    excess = money(balance_minor + amount_minor - limit_minor, currency)
    return (
        f"{partner} owes {owed} of at most {limit}; {wanted} more is {excess} too much: book its payment "
        f"(POST {path}/entries), or agree on a higher limit (PATCH {path})"
    )
