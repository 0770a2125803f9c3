"""Which index a list of tickets walks along, and what is looked at besides: pure.

A wish is any combination of known fields. One of them, the one that narrows most, is walked along by an index that is
in the order of the list already; the others are looked at row by row, in at most `SCAN` rows a page. So a page may have
fewer tickets than asked for and still a `next`: no combination, however rare, makes the database read a whole table
(docs/decisions/0022-finding-tickets.md).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, LiteralString

from api.tickets.models import Order, TicketWish
from api.tickets.rules import ACTIVE
from careloop.database.queries import load_queries

PIECES = load_queries("api.tickets", "lists.sql")
_COLUMNS, *_ = PIECES.values()

# So many rows does a page look at before it says: go on with `next`. In the order of due dates fewer: they lie all over
# the table, and for thousands the planner would rather sort all active tickets.
SCAN = 4000
SCAN_BY_DATE = 500
# So many rows does a count look at.
COUNTED = 2000

BUILT_IN: Mapping[str, TicketWish] = {
    "to_do": TicketWish(states=["open", "in_progress"]),
    "to_claim": TicketWish(states=["open"], owner="nobody"),
    "to_review": TicketWish(states=["resolved"]),
    "overdue": TicketWish(overdue=True, order="due"),
    "waiting_customer": TicketWish(states=["waiting_customer"]),
    "mine": TicketWish(owner="me", states=list(ACTIVE)),
}


@dataclass(frozen=True)
class Viewer:
    """Who looks, as far as it narrows a list: their number and whose cases alone they see."""

    user_id: int | None
    customer_id: int | None
    provider_id: int | None


@dataclass(frozen=True)
class Walk:
    """How a list is read.

    Attributes:
        along: The piece that walks an index.
        fits: The pieces that every row must fit besides.
        order: Of the list.
    """

    along: str
    fits: tuple[str, ...]
    order: Order

    @property
    def scan(self) -> int:
        """How many rows a page looks at."""
        return SCAN_BY_DATE if self.order == "due" else SCAN

    @property
    def date(self) -> LiteralString:
        """The column of the date in whose order a list by date is."""
        return "late_at" if self.along == "walk_late" else "due_by"

    def rows(self) -> LiteralString:
        """A page: parameters of the wish, `after_id`, `fetch`, `scan`, and `after_due` in the order of dates.

        Each row has its place in the order of dates besides (`placed_at`).
        """
        order = self._order("t.")
        picked = "SELECT * FROM (" + self._page() + ") t WHERE " + self._fit() + order + " LIMIT %(fetch)s"  # noqa: S608 - pieces of ours, no words of callers
        columns = _COLUMNS + ", t." + self.date + " AS placed_at"
        return columns + " FROM (" + picked + ") t LEFT JOIN service.asset a USING (asset_id)" + order

    def reached(self) -> LiteralString:
        """Where the rows looked at for a page end: the last one's number and place, and how many (`looked_at`)."""
        columns = "ticket_id, " + self.date + " AS placed_at, row_number() OVER () AS looked_at"
        numbered = "SELECT " + columns + " FROM (" + self._page() + ") t"  # noqa: S608 - pieces of ours, no words of callers
        return "SELECT ticket_id, placed_at, looked_at FROM (" + numbered + ") n ORDER BY looked_at DESC LIMIT 1"  # noqa: S608 - pieces of ours, no words of callers

    def count(self) -> LiteralString:
        """How many of the first rows fit (`counted`), and how many those rows are (`looked_at`)."""
        counted = "SELECT count(*) FILTER (WHERE " + self._fit() + ") AS counted, count(*) AS looked_at FROM ("  # noqa: S608 - pieces of ours, no words of callers
        return counted + PIECES[self.along] + self._order() + " LIMIT %(scan)s) t"

    def _page(self) -> LiteralString:
        return PIECES[self.along] + self._after() + self._order() + " LIMIT %(scan)s"

    def _after(self) -> LiteralString:
        if self.along == "walk_late":
            # Both of its walks begin there themselves.
            return ""
        if self.order == "due":
            return " AND (due_by, ticket_id) > (%(after_due)s, %(after_id)s)"
        return " AND ticket_id " + ("<" if self.order == "newest" else ">") + " %(after_id)s"

    def _order(self, table: LiteralString = "") -> LiteralString:
        if self.order == "due":
            return " ORDER BY " + table + self.date + ", " + table + self._number()
        return " ORDER BY " + table + "ticket_id" + (" DESC" if self.order == "newest" else "")

    def _number(self) -> LiteralString:
        # The number as the index of the clocks has it.
        return "late_id" if self.along == "walk_late" else "ticket_id"

    def _fit(self) -> LiteralString:
        return " AND ".join(["true", *(PIECES[fit] for fit in self.fits)])


def walk_of(wish: TicketWish, viewer: Viewer) -> tuple[Walk, dict[str, Any]]:
    """How a wish is read, and the parameters it brings."""
    values = _values(wish, viewer)
    fits = _fits(wish, values)
    along, covered = _along(wish, values, fits)
    return Walk(along, tuple(fit for fit in fits if fit not in covered), wish.order or "oldest"), values


def _values(wish: TicketWish, viewer: Viewer) -> dict[str, Any]:
    values = {name: value for name, value in wish.model_dump(exclude={"owner", "order"}).items() if value is not None}
    if wish.owner == "me":
        # Somebody who is nobody owns nothing.
        values["owner_id"] = viewer.user_id or 0
    elif isinstance(wish.owner, int):
        values["owner_id"] = wish.owner
    if wish.watched:
        values["me"] = viewer.user_id or 0
    # What row-level security would sort out one by one is walked along instead.
    for name, own in (("customer_id", viewer.customer_id), ("provider_id", viewer.provider_id)):
        if own is not None:
            values.setdefault(name, own)
    if wish.states is not None and len(wish.states) == 1:
        values["state"] = wish.states[0]
    if wish.kinds is not None and len(wish.kinds) == 1:
        values["kind"] = wish.kinds[0]
    return values


_SIMPLE_FITS = (
    "serial", "customer_id", "watched", "owner_id", "tag", "provider_id", "queue", "states", "kinds", "service_modes",
    "priorities", "component", "overdue",
)  # fmt: skip


def _fits(wish: TicketWish, values: Mapping[str, Any]) -> list[str]:
    fits = [f"fit_{name}" for name in _SIMPLE_FITS if name in values]
    if wish.owner == "nobody":
        fits.append("fit_unowned")
    if wish.reopened is not None:
        fits.append("fit_reopened" if wish.reopened else "fit_not_reopened")
    if wish.needs_job is not None:
        fits += ["fit_job_wanted", "fit_no_job"] if wish.needs_job else ["fit_no_job_wanted"]
    return fits


def _along(wish: TicketWish, values: Mapping[str, Any], fits: list[str]) -> tuple[str, set[str]]:
    """The walk that narrows most, and the pieces it makes needless."""
    if wish.order == "due":
        return ("walk_late", {"fit_overdue"}) if wish.overdue else ("walk_due", set())
    active = bool(wish.overdue) or (wish.states is not None and set(wish.states) <= set(ACTIVE))
    every_active = {"fit_states"} if set(wish.states or ()) == set(ACTIVE) else set()
    unclaimed = "fit_unowned" in fits and wish.states == ["open"]
    # In the order of how few rows there may be; where there are two indexes, that of active cases if it will do.
    for needed, walk, covered in (
        ("fit_serial", "walk_asset", {"fit_serial"}),
        ("fit_customer_id", "walk_customer", {"fit_customer_id"}),
        ("fit_watched", "walk_watched", {"fit_watched"}),
        ("fit_owner_id", "walk_owner", {"fit_owner_id"}),
        ("fit_tag", "walk_tag", {"fit_tag"}),
        ("fit_provider_id", "walk_provider", {"fit_provider_id"}),
        ("fit_queue", "walk_unclaimed_queue" if unclaimed else "walk_queue", {"fit_queue"}),
        ("fit_job_wanted", "walk_job_wanted", {"fit_job_wanted"}),
    ):
        if needed not in fits:
            continue
        if walk == "walk_unclaimed_queue":
            return walk, covered | {"fit_unowned", "fit_states"}
        if active and f"{walk}_active" in PIECES:
            return f"{walk}_active", covered | every_active
        return walk, covered
    if unclaimed:
        return "walk_unclaimed", {"fit_unowned", "fit_states"}
    return _along_states(values, every_active, active=active)


def _along_states(values: Mapping[str, Any], every_active: set[str], *, active: bool) -> tuple[str, set[str]]:
    if "kind" in values and "state" in values:
        return "walk_kind_state", {"fit_kinds", "fit_states"}
    if "state" in values:
        return "walk_state", {"fit_states"}
    if active:
        return "walk_active", every_active
    if "kind" in values:
        return "walk_kind", {"fit_kinds"}
    return "walk_all", set()
