"""Every table of schema service is guarded, by construction: scope, audit and change feed, or a written reason."""

from typing import Any

import psycopg
import pytest
from psycopg import Connection

from careloop.database.engine import connect
from careloop.database.roles import login_of
from tests.api.access.strangers import make_world, shows_theirs
from tests.conftest import API_PASSWORD

# Why a table's writes are not in the audit.
NOT_AUDITED = {
    "alert": "the outbox: delivery is the platform's business",
    "asset_firmware": "is a journal of what was reported, with time and source",
    "audit": "is the audit",
    "change": "is a journal, written by triggers only",
    "completion_run": "is a journal of what was judged when",
    "completion_step": "is a journal with actor and time",
    "completion_trial": "is written once, with who asked and when",
    "conversation": "who is to answer next, reckoned from the messages, which are audited",
    "customer_merge": "is a journal with actor and time",
    "demand_forecast_line": "is written once with its forecast",
    "device_revision": "a counter",
    "dispute_message": "is a journal with author and time",
    "entry_to_settle": "entries of partners' accounts, which are a journal, until a statement has them",
    "erasure": "is the record of an erasure, with actor and time and nothing of the person",
    "escalation_step": "is a journal of who was told when",
    "feed": "the order of the change feed",
    "feed_mark": "how far the feed has been put in order",
    "firmware_progress": "how far reported firmware has been taken over",
    "guarded": "is written by migrations only",
    "idempotency_key": "is the record of an answer, with its caller and time",
    "instrument_calibration": "is a journal with actor and time",
    "message_read": "who has read how far, with the time",
    "oidc_attempt": "ten minutes of somebody who is nobody yet",
    "old_part_inspection": "is a journal with actor and time",
    "part_decision": "is a journal with actor and time",
    "partner_entry": "is a journal with actor and time",
    "payment_message": "is a journal of what payment providers sent",
    "purchase_receipt": "is a journal with actor and time",
    "quote_consent": "is a journal of consents with text, person, way and time",
    "quote_line": "is written with its quote and never changed once that was sent",
    "rotable_event": "is a journal with actor and time",
    "session": "tokens; each begins and ends with its own times",
    "settlement_period": "is written once with actor and time",
    "sla_revision": "a counter",
    "statement_line": "is written once with actor and time",
    "stock": "is moved only together with a stock_movement, which is a journal",
    "stock_count_line": "names who counted what and when; what becomes of it are movements",
    "stock_movement": "is a journal with cause and time",
    "stock_proof": "is a journal of what was found",
    "ticket_clock": "reckoned from policies, calendars and the case's moves, which are audited",
    "ticket_event": "is a journal with actor and time",
    "ticket_search": "words for finding, made from what is audited",
    "visit_change": "is a journal with actor and time",
    "visit_contact": "is a journal with actor and time",
    "visit_entry": "is a journal with actor and time",
    "visit_position": "is a journal with actor and time",
    "visit_settlement": "reckoned from audit, old parts and rate cards; what comes of it are lines",
    "warranty_pending": "machines whose warranty is still to be reckoned",
    "webhook_parked": "delivery is the platform's business",
    "webhook_progress": "delivery is the platform's business",
}
# Why a table's column `state` is not in the change feed.
NOT_FED = {
    "alert": "delivery is nobody's case; the feed would tell of its own deliveries",
    "consent": "each row is a fact that stands; a newer one takes its place",
    "visit_settlement": "a place in a queue; what comes of it stands on statements, which are fed",
    "visit_slot": "times offered for a visit, whose own states are fed",
}
# Tables that every scoped caller sees whole (policy `true`), and why: nothing in them is anybody's.
OPEN_TO_ALL = {
    "bom_item": "catalogue",
    "calendar": "catalogue",
    "calendar_day": "catalogue",
    "component": "catalogue",
    "cover_product": "catalogue",
    "fault_code": "catalogue",
    "guarded": "the book of what is guarded",
    "idempotency_key": "looked up by the caller's own key only",
    "kit_part": "catalogue",
    "metric": "catalogue",
    "metric_review": "catalogue",
    "model_metric": "catalogue",
    "part": "catalogue",
    "part_alternative": "catalogue",
    "part_fit": "catalogue",
    "part_supersession": "catalogue",
    "plan": "catalogue",
    "plan_part": "catalogue",
    "product_model": "catalogue",
    "sla_revision": "a counter",
    "ticket_route": "catalogue",
    "warranty_pending": "bare numbers, which no route shows",
    "warranty_policy": "catalogue",
    "warranty_policy_line": "catalogue",
}
# What one kind of scoped caller may see of strangers all the same, by table and whose scope it is.
SEEN_ALL_THE_SAME = {
    ("provider", "customer_id"): "a customer may know who comes",
    ("provider_territory", "customer_id"): "a customer may know who comes",
    ("technician", "customer_id"): "a customer may know who comes",
    ("escalation_ladder", "provider_id"): "partners read who decides about their cases",
    ("price_list", "provider_id"): "partners quote by the maker's prices",
    ("price_list", ""): "hidden from customers only",
    ("price_item", "provider_id"): "partners quote by the maker's prices",
    ("price_item", ""): "hidden from customers only",
}
# Functions with the owner's rights that may be called, and why that gets nobody around the policies.
CALLED_AS_OWNER = {
    "erase_audit": "takes a person out of the audit; not for scoped callers",
    "erase_changes": "takes a person out of the change feed; not for scoped callers",
    "index_tickets": "writes words for finding anew, and tells nothing",
    "next_ticket_id": "a number",
    "warehouse_code": "a name on a label",
    "search_tickets": "looks for the caller's own only, by what the call has said of it",
}


@pytest.fixture
def owner(database_url: str):
    with connect(database_url) as connection:
        yield connection


def tables(owner: Connection) -> dict[str, dict[str, Any]]:
    """Every table by name: what PostgreSQL knows of it, and what the guard's book says."""
    rows = owner.execute(
        """
        SELECT c.relname AS name, c.relrowsecurity AS secured, g.audited, g.states,
               EXISTS (SELECT FROM pg_attribute a
                       WHERE a.attrelid = c.oid AND a.attname = 'state' AND NOT a.attisdropped) AS has_state,
               ARRAY(SELECT p.policyname || ' to ' || array_to_string(p.roles, ',') FROM pg_policies p
                     WHERE p.schemaname = 'service' AND p.tablename = c.relname ORDER BY 1) AS policies,
               ARRAY(SELECT t.tgname::text FROM pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal) AS triggers
        FROM pg_class c
        LEFT JOIN service.guarded g ON g.table_name = c.relname
        WHERE c.relnamespace = 'service'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
        """
    ).fetchall()
    return {row["name"]: row for row in rows}


def test_every_table_is_guarded_or_says_why_not(owner: Connection) -> None:
    wrong: list[str] = []
    found = tables(owner)
    for name, table in found.items():
        if not table["secured"] or table["policies"] != ["everything to careloop_api", "scoped to careloop_scoped"]:
            wrong.append(f"{name}: CALL service.guard('service.{name}', …) at the end of its migration")
            continue
        if table["audited"] != ("audited" in table["triggers"]) or table["states"] != ("fed" in table["triggers"]):
            wrong.append(f"{name}: its triggers are not what service.guarded says")
        if table["audited"] == (name in NOT_AUDITED):
            wrong.append(f"{name}: audit it, or say here why not (NOT_AUDITED)")
        if table["has_state"] and table["states"] == (name in NOT_FED):
            wrong.append(f"{name}: states => true, or say here why not (NOT_FED)")
    assert wrong == []
    assert len(found) > 40
    stale = (set(NOT_AUDITED) | set(NOT_FED)) - set(found)
    assert stale == set(), "no such tables"


def test_what_everybody_sees_is_here_by_name(owner: Connection) -> None:
    whole = owner.execute(
        "SELECT tablename FROM pg_policies WHERE schemaname = 'service' AND policyname = 'scoped' AND qual = 'true'"
    ).fetchall()
    assert {row["tablename"] for row in whole} == set(OPEN_TO_ALL)


def test_no_view_and_no_function_gets_around_the_policies(owner: Connection) -> None:
    """A view shows what its owner sees, and a SECURITY DEFINER function does; each must be here by name."""
    views = owner.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = 'service'::regnamespace AND relkind IN ('v', 'm') "
        "AND NOT coalesce('security_invoker=true' = ANY (reloptions), false)"
    ).fetchall()
    assert [row["relname"] for row in views] == []
    definers = owner.execute(
        "SELECT proname FROM pg_proc WHERE pronamespace = 'service'::regnamespace AND prosecdef "
        "AND prorettype <> 'trigger'::regtype"
    ).fetchall()
    assert {row["proname"] for row in definers} == set(CALLED_AS_OWNER)
    erasing = owner.execute(
        "SELECT proname FROM pg_proc WHERE pronamespace = 'service'::regnamespace AND proname LIKE 'erase%' "
        "AND has_function_privilege('careloop_scoped', oid, 'EXECUTE')"
    ).fetchall()
    assert [row["proname"] for row in erasing] == []
    loose = owner.execute(
        "SELECT proname FROM pg_proc WHERE pronamespace = 'service'::regnamespace AND prosecdef "
        "AND NOT coalesce(proconfig::text LIKE '%search_path%', false)"
    ).fetchall()
    assert [row["proname"] for row in loose] == [], "a SECURITY DEFINER function must set its search_path"


def test_a_scoped_role_sees_no_row_of_strangers(owner: Connection) -> None:
    """In each table, with the scope of ours: no row that holds a number or a word of a stranger's."""
    world = make_world(owner)
    scopes = {"customer_id": world.ours.customer_id, "provider_id": world.ours.provider_id, "": ""}
    leaks: list[str] = []
    compared = 0
    for name in set(tables(owner)) - set(OPEN_TO_ALL):
        query = f"SELECT t::text AS text FROM service.{name} t"
        rows = {row["text"] for row in owner.execute(query).fetchall()}
        theirs = {text for text in rows if shows_theirs(text)}
        compared += len(theirs)
        for setting, value in scopes.items():
            with owner.transaction():
                if setting:
                    owner.execute("SELECT set_config(%s, %s, true)", (f"careloop.{setting}", str(value)))
                owner.execute("SET LOCAL ROLE careloop_scoped")
                seen = {row["text"] for row in owner.execute(query).fetchall()}
            if seen & theirs and (name, setting) not in SEEN_ALL_THE_SAME:
                leaks.append(f"{name} by {setting or 'nobody'}: {sorted(seen & theirs)[:2]}")
    assert leaks == []
    assert compared > 20


def _refused(connection: Connection, *statements: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        _done(connection, *statements)


def _done(connection: Connection, *statements: str) -> int:
    """Statements in a transaction; the rows that the last one touched."""
    with connection.transaction():
        return [connection.execute(statement).rowcount for statement in statements][-1]


def test_a_scoped_role_writes_nothing_for_strangers(owner: Connection) -> None:
    world = make_world(owner)
    scoped = "SET LOCAL ROLE careloop_scoped"
    as_customer = f"SELECT set_config('careloop.customer_id', '{world.ours.customer_id}', true)"
    as_partner = f"SELECT set_config('careloop.provider_id', '{world.ours.provider_id}', true)"
    _refused(
        owner,
        as_customer,
        scoped,
        "INSERT INTO service.ticket (kind, asset_id, title, raised_by, opened_at, customer_id) "
        f"VALUES ('repair', {world.theirs.ids['asset_id']}, 'mine?', 'us', now(), {world.theirs.customer_id})",
    )
    assert _done(owner, as_partner, scoped, "UPDATE service.ticket SET title = 'ours now'") == 1
    # Not even away from oneself.
    _refused(owner, as_partner, scoped, f"UPDATE service.ticket SET provider_id = {world.theirs.provider_id}")
    assert (
        _done(owner, as_partner, scoped, f"DELETE FROM service.asset WHERE customer_id = {world.theirs.customer_id}")
        == 0
    )


def test_what_was_done_cannot_be_unsaid(database_url: str, owner: Connection) -> None:
    """Neither by the API's own login nor in a scoped call; and by the owner only in the functions that erase."""
    make_world(owner)
    url = psycopg.conninfo.make_conninfo(database_url, user=login_of("api"), password=API_PASSWORD)
    columns = {"audit": "actor = 'somebody'", "change": "actor = 'somebody'", "guarded": "audited = false"}
    with connect(url) as api:
        count = api.execute("SELECT count(*) AS n FROM service.audit").fetchone()
        assert count is not None
        assert count["n"] > 10
        for table, change in columns.items():
            for prelude in (
                "SELECT",
                "SET LOCAL ROLE careloop_scoped",
                "SELECT set_config('careloop.erasing', 'yes', true)",
            ):
                _refused(api, prelude, f"UPDATE service.{table} SET {change}")
                _refused(api, prelude, f"DELETE FROM service.{table}")
                _refused(api, prelude, f"INSERT INTO service.{table} DEFAULT VALUES")
            _refused(api, f"TRUNCATE service.{table}")
            _refused(api, f"ALTER TABLE service.{table} DISABLE TRIGGER ALL")
            _refused(api, f"DROP POLICY scoped ON service.{table}")
        _refused(api, "ALTER TABLE service.ticket DISABLE TRIGGER audited")
        _refused(api, "SET session_replication_role = replica")
        _refused(api, "SET ROLE careloop")
    _refused(owner, "DELETE FROM service.audit")
    _refused(owner, "DELETE FROM service.change")
    _refused(owner, "UPDATE service.audit SET actor = 'somebody'")
