"""What the scheduler asks several hundred times a day stays quick when years of jobs lie behind."""

from api.dispatch.repository import _JOBS_BY_STATE
from api.dispatch.repository import SQL as DISPATCH
from api.reservations.repository import SQL as PARTS
from careloop.database.engine import connect

YEARS_OF_WORK = """
INSERT INTO service.job (asset_id, plan_id, occurrence, state, skill, labour_minutes, created_at)
    SELECT 1, 1, number, 'completed', 'oiling', 30, '2025-01-01Z' FROM generate_series(100, 20100) number;
INSERT INTO service.visit (job_id, technician_id, starts_at, ends_at, state, dispatched_at)
    SELECT job_id, 1, '2025-01-01 08:00Z', '2025-01-01 09:00Z', 'completed', '2025-01-01Z' FROM service.job;
INSERT INTO service.reservation (job_id, part_id, warehouse_id, quantity, state, available_at, created_at)
    SELECT job_id, 1, 1, 1, 'consumed', '2025-01-01Z', '2025-01-01Z' FROM service.job;
ANALYZE
"""
PAGE = {"after_id": 0, "fetch": 201}
VISITS = {"technician_id": None, "ends_after": None, "starts_before": None}


def test_the_schedulers_questions_read_only_what_is_open(workshop) -> None:
    workshop.dispatch(workshop.job())
    workshop.job()
    questions = [
        ("job_state", _JOBS_BY_STATE, {"states": ["open", "waiting"]}),
        ("visit_state", DISPATCH["list_visits"], {"states": ["planned", "started"], **VISITS}),
        ("reservation_state", PARTS["list_reservations"], {"states": ["reserved"]}),
    ]
    with connect(workshop.database_url) as connection:
        connection.execute(YEARS_OF_WORK)
        for index, query, wanted in questions:
            explain = "EXPLAIN (ANALYZE, FORMAT JSON) " + query
            (row,) = connection.execute(explain, {**PAGE, **wanted}).fetchall()
            scans = [node for node in nodes(row["QUERY PLAN"][0]["Plan"]) if node.get("Index Name") == index]
            assert scans, f"{index} is not used"
            assert all(node["Actual Rows"] <= 2 and node.get("Rows Removed by Filter", 0) <= 2 for node in scans)


def nodes(plan: dict) -> list[dict]:
    return [plan, *(node for child in plan.get("Plans", []) for node in nodes(child))]
