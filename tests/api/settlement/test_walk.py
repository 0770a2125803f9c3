"""Whatever people do in whatever order: totals are the sums of lines, and what is closed stays as it was."""

import random
from dataclasses import dataclass, field

from tests.api.settlement.conftest import COUNTRIES, Finance

STEPS = 100
VISITS = 240
SUMS = """
SELECT s.statement_id, s.total_minor, s.line_count, s.closed_at, s.month, coalesce(l.amount, 0) AS amount,
       coalesce(l.counted, 0) AS counted
FROM service.statement s
LEFT JOIN (SELECT statement_id, sum(amount_minor)::bigint AS amount, count(*) AS counted
           FROM service.statement_line GROUP BY 1) l USING (statement_id)
"""


@dataclass
class Walk:
    """People who do things at random; each answers with the status of its request."""

    finance: Finance
    chance: random.Random
    months: list[str] = field(default_factory=lambda: ["2026-10", "2026-11", "2026-12"])

    def _do(self, path: str, body: object = None, **headers: str) -> int:
        return self.finance.send("desk_lead", "POST", path, body, **headers).status_code

    def audit(self) -> int:
        low = self.chance.randint(1, VISITS - 20)
        with self.finance.owner() as owner:
            owner.execute(
                "UPDATE service.completion_check SET state = %s, decision = 'accepted', decided_at = now()"
                " WHERE visit_id BETWEEN %s AND %s",
                (self.chance.choice(["accepted", "accepted", "rejected"]), low, low + 20),
            )
        return self._do("/run")

    def move(self) -> int:
        found = self.finance.get("desk_lead", "/statements")["items"] or [{"statement_id": 1, "version": 1}]
        statement = self.chance.choice(found)
        action = self.chance.choice(["issue", "redraft", "agree", "pay"])
        body = {"paid_at": self.finance.now, "reference": "x"} if action == "pay" else None
        seen = {"If-Match": f'"{statement["version"]}"'}
        return self._do(f"/statements/{statement['statement_id']}/{action}", body, **seen)

    def _line(self) -> int:
        lines = self.finance.rows("SELECT statement_line_id AS number FROM service.statement_line")
        return self.chance.choice(lines)["number"] if lines else 1

    def correct(self) -> int:
        body = {"amount_minor": self.chance.randint(1, 500), "reason": "x"}
        return self._do(f"/lines/{self._line()}/correct", body)

    def dispute(self) -> int:
        body = {"reason": "x", "wanted_minor": self.chance.randint(0, 9999)}
        return self._do(f"/lines/{self._line()}/dispute", body)

    def end_dispute(self) -> int:
        disputes = self.finance.get("desk_lead", "/disputes?state=open")["items"] or [{"dispute_id": 1}]
        action = self.chance.choice(["accept", "reject", "withdraw"])
        return self._do(f"/disputes/{self.chance.choice(disputes)['dispute_id']}/{action}", {"resolution": "x"})

    def reverse(self) -> int:
        return self._do(f"/visits/{self.chance.randint(1, VISITS)}/reverse", {"reason": "x"})

    def close(self) -> int:
        self.finance.now = f"{self.months[1]}-20T08:00:00Z"
        status = self._do(f"/periods/{self.months.pop(0)}/close")
        assert status == 200
        return status


def test_sums_hold_and_closed_months_stay_in_any_order_of_events(finance: Finance):
    for country, currency in COUNTRIES:
        finance.card(country, currency)
    finance.visits(1, VISITS, state="manual")
    walk = Walk(finance, random.Random(20261122))
    closed: dict[int, list[object]] = {}
    done = set()
    actions = [*[walk.audit] * 5, *[walk.move] * 7, *[walk.correct, walk.dispute, walk.end_dispute] * 3]
    for step in range(STEPS):
        action = walk.close if step in {STEPS // 3, 2 * STEPS // 3} else walk.chance.choice([*actions, walk.reverse])
        status = action()
        assert status in {200, 201, 404, 409, 412, 422}
        done.add((action.__name__, status // 100))
        for one in finance.rows(SUMS):
            assert (one["total_minor"], one["line_count"]) == (one["amount"], one["counted"])
            if one["closed_at"] is not None:
                told = [one["total_minor"], one["line_count"], one["closed_at"], one["month"]]
                assert closed.setdefault(one["statement_id"], told) == told
    assert len(closed) == 6
    assert {name for name, status in done if status == 2} == {name for name, _ in done}
    assert len({name for name, _ in done}) == 7
