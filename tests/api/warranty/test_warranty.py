"""Warranty over HTTP."""

from datetime import UTC, date, datetime

import pytest

from careloop.client import ProblemError

NOW = datetime(2026, 1, 31, 15, 30, tzinfo=UTC)  # in Shanghai 23:30 of the last day
TERM = {"starts_on": "2025-02-01", "ends_on": "2026-01-31"}


def add(client, serial="HD5-1", **change):
    return client.post(f"/v1/assets/{serial}/warranty-terms", {**TERM, **change})


def test_a_term_is_added_once(desk) -> None:
    term = add(desk)
    assert {**term, "term_id": 0} == {
        "term_id": 0, "serial": "HD5-1", "name": "standard", **TERM, "ticket_id": None, "source": "manual",
        "component": None, "meter_metric": None, "meter_limit": None, "parts": True, "labour": True, "travel": True,
        "policy": None, "policy_version": None, "contract_id": None, "extension_id": None,
    }  # fmt: skip
    with pytest.raises(ProblemError) as refused:
        add(desk)
    assert (refused.value.status, refused.value.type) == (409, "/problems/term-taken")
    assert add(desk, name="extension")["term_id"] != term["term_id"]


def test_bad_fields_are_named(desk) -> None:
    named = {}
    for field, value in (
        ("ends_on", "2025-01-31"),
        ("ends_on", "soon"),
        ("starts_on", None),
        ("starts_on", "2025-02-30"),
        ("name", ""),
        ("name", "a\x00b"),
        ("colour", "yellow"),
    ):
        with pytest.raises(ProblemError) as refused:
            add(desk, **{field: value})
        assert refused.value.status == 422
        named[field, value] = refused.value.problem["errors"][0]["field"]
    assert named == {key: f"body.{key[0]}" for key in named}
    assert list(desk.pages("/v1/warranty-terms")) == []
    with pytest.raises(ProblemError) as refused:
        add(desk, serial="NOBODY")
    assert refused.value.status == 404
    with pytest.raises(ProblemError) as refused:
        desk.get("/v1/assets/NOBODY/warranty")
    assert refused.value.status == 404
    with pytest.raises(ProblemError) as refused:
        desk.get("/v1/assets/HD5-1/warranty", on="someday")
    assert refused.value.problem["errors"][0]["field"] == "query.on"


def test_whether_a_day_is_covered(desk) -> None:
    term = add(desk)
    last = desk.get("/v1/assets/HD5-1/warranty", on=date(2026, 1, 31))
    assert (last["covered"], last["term"]) == (True, term)
    after = desk.get("/v1/assets/HD5-1/warranty", on=date(2026, 2, 1))
    assert (after["covered"], after["reason"]) == (False, "the warranty standard ended on 2026-01-31")
    assert desk.get("/v1/assets/HD5-2/warranty", on=date(2026, 1, 1))["reason"] == "the asset has no warranty terms"


def test_today_is_where_the_machine_stands(desk) -> None:
    """At 15:30 UTC it is still the last day in Shanghai (23:30); at 16:30 UTC it is the day after."""
    add(desk)
    assert desk.get("/v1/assets/HD5-1/warranty", now=NOW)["covered"] is True
    later = desk.get("/v1/assets/HD5-1/warranty", now=NOW.replace(hour=16))
    assert (later["on"], later["covered"]) == ("2026-02-01", False)


def test_the_sweep_finds_terms_about_to_end_that_have_no_ticket(desk) -> None:
    ending, later = add(desk), add(desk, serial="HD5-2", ends_on="2026-03-01")
    span = {"ends_from": date(2026, 1, 31), "ends_before": date(2026, 3, 1)}
    assert list(desk.unticketed_warranty_terms(**span)) == [ending]
    wish = {"kind": "warranty_expiry", "serial": "HD5-1", "title": "Ends", "term_id": ending["term_id"]}
    ticket = desk.open_ticket(wish, now=NOW)
    assert list(desk.unticketed_warranty_terms(**span)) == []
    everything = list(desk.pages("/v1/warranty-terms"))
    assert [term["ticket_id"] for term in everything] == [ticket["ticket_id"], None]
    assert list(desk.pages("/v1/warranty-terms", unticketed=False)) == [everything[0]]
    assert list(desk.pages("/v1/warranty-terms", ends_from=date(2026, 3, 1))) == [later]
    page = desk.get("/v1/warranty-terms", limit=1)
    assert desk.get("/v1/warranty-terms", limit=1, after=page["next"])["items"] == [later]


def test_technicians_may_look_but_not_promise(api, desk) -> None:
    with api.client("technician") as technician:
        assert technician.get("/v1/assets/HD5-1/warranty")["covered"] is False
        with pytest.raises(ProblemError) as refused:
            add(technician)
        assert refused.value.status == 403
