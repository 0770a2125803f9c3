"""Which piece to get next: the one that avoids most expected shortage for its money. Pure.

The demand of a part at a warehouse until the next order has come is D. One piece more, when there are k, avoids a
shortage of one piece with the probability P(D > k): its gain. Buying pieces in the order of gain over cost gives
for every sum of money the best service that it can buy (marginal analysis, C. Sherbrooke, Optimal Inventory Modeling of
Systems, 1992, chapter 2; exact here up to packs, as gains only fall). A piece may also come from another warehouse of
the same owner: it costs its freight then, and what it would have been good for there is taken off.

The service level is the share of the pieces wanted that are there: 1 - expected shortage / expected demand.
"""

import heapq
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

MOST_DONORS = 8
"""Of a part so many warehouses with the most to spare are asked."""
CURVE_POINTS = 120
LEAST_GAIN = 1e-4
"""Pieces that are wanted less often than this are not worth an entry."""


@dataclass(slots=True)
class Shelf:
    """A part at a warehouse.

    Attributes:
        part_id: Which part.
        warehouse_id: Where.
        owner: Provider whose warehouse it is; None for the house.
        exceeding: Element k is P(D > k), falling; beyond the end 0.
        position: Pieces that can be had until then: available, on their way here, ordered.
        movable: Of them available now, so that they can leave.
        planned: Whether anything may be got for it; else it only gives.
    """

    part_id: int
    warehouse_id: int
    owner: int | None
    exceeding: tuple[float, ...]
    position: int
    movable: int
    planned: bool = True

    def gain(self, pieces: int = 1) -> float:
        """Expected shortage that so many pieces more avoid."""
        if pieces == 1:
            return self.exceeding[self.position] if self.position < len(self.exceeding) else 0.0
        return sum(self.exceeding[self.position : self.position + pieces])

    def loss(self) -> float:
        """What the last piece that could leave is good for here."""
        last = self.position - 1
        return self.exceeding[last] if 0 <= last < len(self.exceeding) else 0.0

    def shortage(self) -> float:
        """Expected pieces short."""
        return sum(self.exceeding[self.position :])


@dataclass(frozen=True)
class Terms:
    """On which terms a part is bought.

    Attributes:
        price_minor: Of a piece.
        minimum: Fewest pieces of an order.
        pack: Pieces come in packs of so many.
    """

    price_minor: int
    minimum: int = 1
    pack: int = 1


@dataclass(frozen=True)
class Freight:
    """What a way costs: a base once, and each piece."""

    base_minor: int
    piece_minor: int


@dataclass(frozen=True)
class Step:
    """Something that was got.

    Attributes:
        part_id: Of what.
        warehouse_id: For where.
        origin_id: From which warehouse; None where it is bought.
        pieces: How many.
        cost_minor: Of all of them.
        gain: Expected shortage avoided, less what is missing at the origin.
    """

    part_id: int
    warehouse_id: int
    origin_id: int | None
    pieces: int
    cost_minor: int
    gain: float

    @property
    def ratio(self) -> float:
        """Gain per money; what costs nothing counts as one minor unit."""
        return self.gain / max(self.cost_minor, 1)


@dataclass
class Market:
    """All shelves, and where pieces for them come from.

    Attributes:
        shelves: Every part × warehouse, planned ones and those that may give.
        terms: By part; one without can't be bought.
        way: Freight of (part, from warehouse, to warehouse), or None where there is no way.
    """

    shelves: list[Shelf]
    terms: Mapping[int, Terms]
    way: Callable[[int, int, int], Freight | None]
    spent_minor: int = 0
    shortage: float = field(init=False)
    wanted: float = field(init=False)
    _donors: dict[int, list[Shelf]] = field(init=False, repr=False)
    # How often a part's pieces were moved: what was worked out before may hold no more.
    _moves: Counter[int] = field(init=False, repr=False, default_factory=Counter)
    _bought: set[tuple[int, int]] = field(init=False, repr=False, default_factory=set)
    _travelled: set[tuple[int, int]] = field(init=False, repr=False, default_factory=set)

    def __post_init__(self) -> None:
        self.wanted = sum(sum(shelf.exceeding) for shelf in self.shelves if shelf.planned)
        self.shortage = sum(shelf.shortage() for shelf in self.shelves if shelf.planned)
        stocked = defaultdict(list)
        for shelf in self.shelves:
            if shelf.movable > 0:
                stocked[shelf.part_id].append(shelf)
        self._donors = {
            part: sorted(shelves, key=lambda one: (one.loss(), -one.movable, one.warehouse_id))[:MOST_DONORS]
            for part, shelves in stocked.items()
        }

    @property
    def service_level(self) -> float:
        """Share of the pieces wanted that are expected to be there."""
        return 1 - self.shortage / self.wanted if self.wanted else 1.0

    def buy(self, limit_minor: int, service_level: float) -> Iterator[Step]:
        """Get piece after piece, the best for its money first, until the level is reached or the money is spent.

        Args:
            limit_minor: Not more than this is spent in all.
            service_level: Enough.

        Yields:
            Each step, done.
        """
        waiting: list[tuple[float, int, int, Shelf, Step]] = []
        for number, shelf in enumerate(self.shelves):
            self._enqueue(waiting, number, shelf, limit_minor)
        while waiting and self.service_level < service_level:
            ratio, number, seen, shelf, step = heapq.heappop(waiting)
            if seen != self._moves[shelf.part_id] or step.cost_minor > limit_minor - self.spent_minor:
                # Another step has taken its pieces or its money meanwhile: then it may be another's turn.
                best = self._best(shelf, limit_minor - self.spent_minor)
                if best is None:
                    continue
                step = best
                if -best.ratio > ratio and waiting and -best.ratio > waiting[0][0]:
                    heapq.heappush(waiting, (-best.ratio, number, self._moves[shelf.part_id], shelf, best))
                    continue
            self._take(shelf, step)
            yield step
            self._enqueue(waiting, number, shelf, limit_minor)

    def _enqueue(
        self, waiting: list[tuple[float, int, int, Shelf, Step]], number: int, shelf: Shelf, limit_minor: int
    ) -> None:
        best = self._best(shelf, limit_minor - self.spent_minor) if shelf.planned else None
        if best is not None:
            heapq.heappush(waiting, (-best.ratio, number, self._moves[shelf.part_id], shelf, best))

    def _best(self, shelf: Shelf, money: int) -> Step | None:
        """The best next step for a shelf that the money is enough for; of equals the first of the donors."""
        worth = shelf.gain()
        if worth < LEAST_GAIN:
            return None
        best = self._purchase(shelf)
        if best is not None and best.cost_minor > money:
            best = None
        for donor in self._donors.get(shelf.part_id, ()):
            gain = worth - donor.loss()
            # What is a partner's own goes nowhere else.
            if gain < LEAST_GAIN or donor.movable < 1 or donor is shelf or donor.owner not in {None, shelf.owner}:
                continue
            cost = self._freight(donor, shelf)
            if cost is not None and cost <= money and (best is None or gain > best.ratio * max(cost, 1)):
                best = Step(shelf.part_id, shelf.warehouse_id, donor.warehouse_id, 1, cost, gain)
        return best

    def _freight(self, donor: Shelf, shelf: Shelf) -> int | None:
        """Of one piece; the base is paid once for all that travels together."""
        way = self.way(shelf.part_id, donor.warehouse_id, shelf.warehouse_id)
        if way is None:
            return None
        paid = (donor.warehouse_id, shelf.warehouse_id) in self._travelled
        return way.piece_minor if paid else way.piece_minor + way.base_minor

    def _purchase(self, shelf: Shelf) -> Step | None:
        terms = self.terms.get(shelf.part_id)
        if terms is None:
            return None
        least = 1 if (shelf.part_id, shelf.warehouse_id) in self._bought else terms.minimum
        pieces = -(-max(least, 1) // terms.pack) * terms.pack
        return Step(shelf.part_id, shelf.warehouse_id, None, pieces, pieces * terms.price_minor, shelf.gain(pieces))

    def _take(self, shelf: Shelf, step: Step) -> None:
        shelf.position += step.pieces
        if step.origin_id is None:
            self._bought.add((step.part_id, step.warehouse_id))
        else:
            donor = next(one for one in self._donors[step.part_id] if one.warehouse_id == step.origin_id)
            donor.position -= step.pieces
            donor.movable -= step.pieces
            self._moves[step.part_id] += 1
            self._travelled.add((step.origin_id, step.warehouse_id))
        self.spent_minor += step.cost_minor
        self.shortage -= step.gain


def worth_keeping(shelf: Shelf, price_minor: int, least_ratio: float) -> int:
    """Up to which level pieces are worth what the last money spent was worth elsewhere.

    >>> worth_keeping(Shelf(1, 1, None, (0.9, 0.5, 0.1, 0.01), 1, 1), 100, 0.001)
    3
    """
    return sum(gain / max(price_minor, 1) >= least_ratio for gain in shelf.exceeding)


def level_for(shelf: Shelf, service_level: float) -> int:
    """The fewest pieces with which a shelf by itself serves such a share of what is wanted.

    >>> level_for(Shelf(1, 1, None, (0.9, 0.5, 0.1, 0.01), 1, 1), 0.9)
    2
    """
    short = wanted = sum(shelf.exceeding)
    for pieces, gain in enumerate(shelf.exceeding):
        if short <= wanted * (1 - service_level):
            return pieces
        short -= gain
    return len(shelf.exceeding)


def order_point(most: int, wanted: float, look_share: float) -> int:
    """At which level to order up to `most`: when so much is gone as is wanted between two looks.

    >>> order_point(5, 3.0, 0.5)
    3
    """
    return max(most - max(1, round(wanted * look_share)), 0)


def thinned(curve: list[tuple[int, float]]) -> list[tuple[int, float]]:
    """So many points of a curve as one can look at; the first and the last among them.

    >>> thinned([(0, 0.5), (10, 0.75)])
    [(0, 0.5), (10, 0.75)]
    """
    if len(curve) <= CURVE_POINTS:
        return curve
    places = [round(number * (len(curve) - 1) / (CURVE_POINTS - 1)) for number in range(CURVE_POINTS)]
    return [curve[place] for place in places]


def bought_per_money(curve: list[tuple[int, float]], major: int = 100) -> float | None:
    """Points of service level (hundredths) that the last unit of money on a curve bought; None where none was spent.

    >>> bought_per_money([(0, 0.5), (1000, 0.6), (2000, 0.65)])
    0.5
    """
    for (low, service), (high, better) in reversed(list(pairwise(curve))):
        if high > low:
            return round((better - service) * 100 / ((high - low) / major), 9)
    return None
