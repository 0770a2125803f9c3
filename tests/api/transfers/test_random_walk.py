"""Whatever is done with transfers and reservations, in whatever order, every piece is where the books say."""

import random
from datetime import UTC, datetime

import pytest

from careloop.client import ProblemError
from careloop.database.engine import connect

NOW = datetime(2026, 7, 1, 8, tzinfo=UTC)
HOUSES = ("A", "B", "C")
STEPS = 160

# What must never give a row, by what it would prove.
LAWS = {
    "a balance that its movements do not make": "SELECT * FROM service.stock_imbalance",
    "reserved pieces that nobody keeps": """
        SELECT s.warehouse_id, s.reserved FROM service.stock s
        WHERE s.reserved <> (SELECT coalesce(sum(r.quantity), 0) FROM service.reservation r
                             WHERE r.warehouse_id = s.warehouse_id AND r.part_id = s.part_id
                               AND r.state = 'reserved' AND r.place = 'reserved')
                          + (SELECT coalesce(sum(t.quantity), 0) FROM service.transfer t
                             WHERE t.from_warehouse_id = s.warehouse_id AND t.part_id = s.part_id
                               AND t.state = 'planned' AND t.reservation_id IS NULL)""",
    "pieces on their way by no transfer": """
        SELECT s.warehouse_id, s.in_transit FROM service.stock s
        WHERE s.in_transit <> (SELECT coalesce(sum(t.quantity - t.received - t.damaged - t.missing), 0)
                               FROM service.transfer t
                               WHERE t.to_warehouse_id = s.warehouse_id AND t.part_id = s.part_id
                                 AND t.state = 'shipped')""",
    "a reservation on its way by no transfer": """
        SELECT r.reservation_id FROM service.reservation r
        WHERE r.state = 'reserved' AND r.place = 'transit'
          AND NOT EXISTS (SELECT FROM service.transfer t
                          WHERE t.reservation_id = r.reservation_id AND t.state = 'shipped'
                          AND t.quantity - t.received - t.damaged - t.missing = r.quantity)""",
    "pieces that came from nowhere": """
        SELECT sum(s.on_hand + s.issued + s.in_transit) FROM service.stock s
        HAVING sum(s.on_hand + s.issued + s.in_transit) <>
            (SELECT sum(CASE WHEN m.from_warehouse_id IS NULL THEN m.quantity
                             WHEN m.to_warehouse_id IS NULL THEN -m.quantity ELSE 0 END)
             FROM service.stock_movement m)""",
}


class Walker:
    """Does something possible or impossible at random; what is refused must change nothing."""

    def __init__(self, stores, chance: random.Random) -> None:
        self.stores, self.client, self.chance = stores, stores.client, chance
        self.transfers: list[int] = []
        self.reservations: list[int] = []
        self.done: dict[str, int] = {}

    def step(self) -> None:
        (act,) = self.chance.choices(
            (self.reserve, self.plan, self.plan_reserved, self.ship, self.receive, self.lose, self.cancel, self.settle),
            (3, 2, 4, 4, 4, 2, 1, 1),
        )
        try:
            act()
        except ProblemError as problem:
            if problem.status not in {409, 422}:
                raise
        except IndexError:
            return
        else:
            self.done[act.__name__] = self.done.get(act.__name__, 0) + 1

    def recent(self, numbers: list[int]) -> int:
        """One of the last few: with the old ones nothing is possible any more."""
        return self.chance.choice(numbers[-5:])

    def reserve(self) -> None:
        kept = self.stores.reserve(self.stores.job(), self.chance.randint(1, 3))
        self.reservations.append(kept["reservation_id"])

    def plan(self, **more) -> None:
        origin, to = self.chance.sample(HOUSES, 2)
        body = {"sku": "PUMP", "quantity": self.chance.randint(1, 4), "from": origin, "to": to, **more}
        self.transfers.append(self.client.post("/v1/transfers", body, now=NOW)["transfer_id"])

    def plan_reserved(self) -> None:
        number = self.recent(self.reservations)
        kept = self.client.get(f"/v1/parts/reservations/{number}")
        to = self.chance.choice([house for house in HOUSES if house != kept["warehouse"]])
        self.plan(**{"from": kept["warehouse"], "to": to, "quantity": kept["quantity"], "reservation_id": number})

    def ship(self) -> None:
        self.client.post("/v1/transfers/shipments", {"transfer_ids": [self.recent(self.transfers)]}, now=NOW)

    def receive(self) -> None:
        body = self.chance.choice(({}, {"quantity": 1}, {"quantity": 1, "damaged": 1}, {"damaged": 1}, {"quantity": 2}))
        moved = self.client.post(f"/v1/transfers/{self.recent(self.transfers)}/receive", body, now=NOW)
        if moved["reservation_id"] is not None:
            self.reservations.append(moved["reservation_id"])

    def lose(self) -> None:
        self.client.post(f"/v1/transfers/{self.recent(self.transfers)}/lose", {"reason": "gone"}, now=NOW)

    def cancel(self) -> None:
        self.client.post(f"/v1/transfers/{self.recent(self.transfers)}/cancel", {"reason": "no"}, now=NOW)

    def settle(self) -> None:
        way = self.chance.choice(("release", "consume", "issue"))
        self.client.post(f"/v1/parts/reservations/{self.recent(self.reservations)}/{way}", {}, now=NOW)


@pytest.mark.parametrize("seed", [1])
def test_every_piece_is_where_the_books_say(stores, database_url, seed) -> None:
    stores.part("PUMP")
    for house in HOUSES:
        stores.warehouse(house, pieces=12, territory="north")
    stores.warehouse("Q", kind="quarantine")
    walker = Walker(stores, random.Random(seed))
    with connect(database_url) as connection:
        for step in range(STEPS):
            walker.step()
            if step % 10 == 9:
                for broken, law in LAWS.items():
                    assert connection.execute(law).fetchall() == [], f"{broken}, after step {step} of seed {seed}"
    # A walk that only ran into refusals would prove nothing.
    assert all(walker.done.get(name, 0) > 0 for name in ("plan_reserved", "ship", "receive", "lose", "cancel")), (
        walker.done
    )
