"""Stock under many hands at once: real threads against the real server and database."""

from itertools import cycle

import pytest

from careloop.client import ProblemError
from careloop.database.engine import connect

THREADS = 16
CROWD = 64

BALANCES = """
SELECT s.on_hand, s.reserved,
       coalesce((SELECT sum(r.quantity) FROM service.reservation r
                 WHERE r.part_id = s.part_id AND r.warehouse_id = s.warehouse_id AND r.state = 'reserved'), 0) AS kept
FROM service.stock s
"""


def check_balances(api) -> None:
    """What is on hand and reserved is what the ledger and the open reservations say."""
    with connect(api.database_url) as connection:
        rows = connection.execute(BALANCES).fetchall()
        assert connection.execute("SELECT * FROM service.stock_imbalance").fetchall() == []
    assert rows
    for row in rows:
        assert row["reserved"] == row["kept"]
        assert 0 <= row["reserved"] <= row["on_hand"]


def test_the_last_piece_has_exactly_one_winner(api, stores, at_once) -> None:
    stores.part()
    stores.warehouse("HUB", pieces=1)
    jobs = [stores.job() for _ in range(CROWD)]
    answers = at_once(lambda client, job_id: client.reserve(job_id, "PUMP", 1, now=None), jobs)
    won = [answer for answer in answers if not isinstance(answer, ProblemError)]
    lost = [answer.type for answer in answers if isinstance(answer, ProblemError)]
    assert (len(won), lost) == (1, ["/problems/no-stock"] * (CROWD - 1))
    assert stores.balance("HUB") == (1, 1, 0)
    check_balances(api)


def test_one_job_asked_for_sixteen_times_gets_one_reservation(api, stores, at_once) -> None:
    stores.part()
    stores.warehouse("HUB", pieces=THREADS)
    answers = at_once(lambda client, job_id: client.reserve(job_id, "PUMP", 1, now=None), [stores.job()] * THREADS)
    assert {answer["reservation_id"] for answer in answers} == {1}
    assert stores.balance("HUB") == (THREADS, 1, THREADS - 1)


def test_jobs_of_two_territories_share_three_warehouses_without_a_deadlock(api, stores, at_once) -> None:
    """Opposite preferences: each territory's warehouse first, the other's next."""
    stores.part()
    for code, territory in (("NORTH", "north"), ("SOUTH", "south"), ("HUB", "middle")):
        stores.warehouse(code, pieces=3, territory=territory)
    serials = cycle(["HD5-1", "HD5-2"])
    jobs = [stores.job(next(serials)) for _ in range(THREADS)]

    def reserve_release_reserve(client, job_id):
        number = client.reserve(job_id, "PUMP", 1, now=None)["reservation_id"]
        client.post(f"/v1/parts/reservations/{number}/release", {})
        return client.reserve(job_id, "PUMP", 1, now=None)

    answers = at_once(reserve_release_reserve, jobs)
    problems = {answer.type for answer in answers if isinstance(answer, ProblemError)}
    assert problems <= {"/problems/no-stock"}
    check_balances(api)
    kept = list(stores.client.pages("/v1/parts/reservations", state="reserved"))
    assert len(kept) == len(answers) - sum(isinstance(answer, ProblemError) for answer in answers)
    assert sum(stores.balance(code)[1] for code in ("NORTH", "SOUTH", "HUB")) == len(kept)


@pytest.mark.parametrize(("action", "left"), [("release", (5, 0, 5)), ("consume", (4, 0, 4))])
def test_a_reservation_is_ended_once(api, stores, at_once, action, left) -> None:
    stores.part()
    stores.warehouse("HUB", pieces=5)
    number = stores.reserve(stores.job())["reservation_id"]
    at_once(lambda client, _: client.post(f"/v1/parts/reservations/{number}/{action}", {}), range(THREADS))
    assert stores.balance("HUB") == left
    check_balances(api)


def test_cancelling_and_reserving_at_once_keeps_nothing_for_a_cancelled_job(api, stores, at_once) -> None:
    stores.part()
    stores.warehouse("HUB", pieces=THREADS)
    jobs = [stores.job() for _ in range(THREADS // 2)]

    def either(client, task):
        action, job_id = task
        if action == "cancel":
            return client.post(f"/v1/jobs/{job_id}/cancel", {"reason": "sold"})
        return client.reserve(job_id, "PUMP", 1, now=None)

    at_once(either, [(action, job_id) for job_id in jobs for action in ("reserve", "cancel")])
    assert stores.balance("HUB") == (THREADS, 0, THREADS)
    check_balances(api)
