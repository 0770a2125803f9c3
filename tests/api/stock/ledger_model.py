"""What the ledger should do, in a few lines of bookkeeping: deeds as values that a model and the API both do."""

from collections import Counter
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import timedelta

from api.conventions.call import Call
from api.reservations import service as reservations
from api.reservations import travelling
from api.stock.rules import IN_A_WAREHOUSE, MovementKind, PlaceKind
from api.stock.service import Cause, Entry, Place, post

# Done, or why not, by the slug of the problem.
Outcome = str
DONE = "done"
OUT = "stock-out-of-range"


@dataclass
class Kept:
    """An open or ended reservation."""

    part: int
    warehouse: int
    quantity: int
    state: str = "reserved"
    place: str = "reserved"


@dataclass
class Books:
    """All pieces of some parts by (part, place, warehouse), and what is kept."""

    pieces: Counter = field(default_factory=Counter)
    kept: dict[int, Kept] = field(default_factory=dict)

    def copy(self) -> "Books":
        return deepcopy(self)

    def move(self, *entries: Entry) -> Outcome:
        """All entries, or none."""
        after = Counter(self.pieces)
        for entry in entries:
            after[entry.part_id, entry.source.kind, entry.source.warehouse_id] -= entry.quantity
            after[entry.part_id, entry.target.kind, entry.target.warehouse_id] += entry.quantity
        if any(count < 0 and place in IN_A_WAREHOUSE for (_, place, _), count in after.items()):
            return OUT
        self.pieces = after
        return DONE

    def shelves(self) -> dict[tuple[int, str, int], int]:
        """What lies in warehouses, where there is anything."""
        return {where: count for where, count in self.pieces.items() if count and where[1] in IN_A_WAREHOUSE}

    def reservations(self) -> dict[int, tuple]:
        return {
            number: (one.part, one.warehouse, one.quantity, one.state, one.place if one.state == "reserved" else "")
            for number, one in self.kept.items()
        }


@dataclass(frozen=True)
class Move:
    """Pieces from one place to another; of a kit in two lines at once."""

    kind: MovementKind
    part: int
    quantity: int
    source: tuple[PlaceKind, int | None]
    target: tuple[PlaceKind, int | None]
    # A kit taken apart, or put together: what becomes of it.
    becomes: int | None = None

    def entries(self) -> list[Entry]:
        source, target = Place(*self.source), Place(*self.target)
        first = Entry(self.part, self.quantity, self.kind, source, target)
        if self.becomes is None:
            return [first]
        return [first, Entry(self.becomes, 2 * self.quantity, self.kind, target, source)]

    def model(self, books: Books, _: int | None) -> Outcome:
        return books.move(*self.entries())

    async def act(self, call: Call) -> int | None:
        await post(call, self.entries(), Cause("note", "a test"))
        return None


@dataclass(frozen=True)
class Reserve:
    """Pieces kept for a case; the number of the reservation is the API's."""

    ticket_id: int
    part: int
    warehouse: int
    quantity: int

    def model(self, books: Books, made: int | None) -> Outcome:
        free, kept = Place("free", self.warehouse), Place("reserved", self.warehouse)
        outcome = books.move(Entry(self.part, self.quantity, "reserve", free, kept))
        if outcome == DONE and made is not None:
            books.kept[made] = Kept(self.part, self.warehouse, self.quantity)
        return outcome

    async def act(self, call: Call) -> int | None:
        row = await reservations.reserve_at(
            call,
            part_id=self.part,
            warehouse_id=self.warehouse,
            quantity=self.quantity,
            ticket_id=self.ticket_id,
            available_at=call.now,
        )
        number: int = row["reservation_id"]
        return number


@dataclass(frozen=True)
class Settle:
    """A reservation's end."""

    number: int
    state: str

    def model(self, books: Books, _: int | None) -> Outcome:
        one = books.kept[self.number]
        if one.state != "reserved":
            return DONE if one.state == self.state else "reservation-ended"
        if one.place == "transit":
            if self.state == "consumed":
                return "reservation-elsewhere"
            one.state = self.state
            return DONE
        source = Place(one.place, one.warehouse)
        target = Place("used") if self.state == "consumed" else Place("free", one.warehouse)
        one.state = self.state
        return books.move(Entry(one.part, one.quantity, "release", source, target))

    async def act(self, call: Call) -> int | None:
        await reservations.settle(call, self.number, self.state)
        return None


@dataclass(frozen=True)
class Travel:
    """What is kept is handed out, sent or taken in; pieces that came in for nobody become free."""

    number: int
    how: str
    warehouse: int

    def model(self, books: Books, _: int | None) -> Outcome:
        one = books.kept[self.number]
        if self.how == "arrive" and one.state != "reserved":
            return DONE
        if one.state != "reserved":
            return "reservation-ended"
        if self.how == "issue" and one.place == "issued":
            return DONE
        if one.place != ("transit" if self.how == "arrive" else "reserved"):
            return "reservation-elsewhere"
        source = Place(one.place, one.warehouse)
        if self.how == "ship":
            one.place, one.warehouse = "transit", self.warehouse
        else:
            one.place = "issued" if self.how == "issue" else "reserved"
        return books.move(Entry(one.part, one.quantity, "issue", source, Place(one.place, one.warehouse)))

    async def act(self, call: Call) -> int | None:
        if self.how == "issue":
            await travelling.issue(call, self.number)
        elif self.how == "ship":
            later = call.now + timedelta(days=1)
            await travelling.ship(call, self.number, self.warehouse, Cause("transfer", "1"), expected_at=later)
        else:
            await travelling.arrive(call, self.number, Cause("transfer", "1"))
        return None


Deed = Move | Reserve | Settle | Travel
