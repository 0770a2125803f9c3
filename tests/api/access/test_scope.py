"""Who sees a part only sees nothing of others: over HTTP for every GET, and in every table by its policies."""

import re

import httpx
import pytest

from careloop.database.engine import connect
from tests.api.access.endpoints import SCOPED, Row, rows
from tests.api.access.strangers import PATHS, World, shows_theirs

# Catalogue words in paths: everybody's.
SHARED = {"code": "HD-5", "sku": "PUMP", "name": "pump", "component": "pump", "plan_id": 1}


def _with(path: str, values: dict[str, object]) -> str:
    def fill(match: re.Match[str]) -> str:
        name = match[1]
        assert name in values, f"{path}: give a stranger one, by {name}, in strangers.py"
        return str(values[name])

    return re.sub(r"\{(\w+)(?::\w+)?\}", fill, path)


def _scoped_gets(role: str) -> list[Row]:
    return [row for row in rows().values() if row.method == "GET" and row.cell(role) == "scoped"]


@pytest.mark.parametrize("role", sorted(SCOPED))
def test_nothing_of_a_stranger_is_there(api, world: World, role: str) -> None:
    """Details of strangers are 404, lists have nothing of them, filters by them find nothing."""
    values = {**SHARED, **world.theirs.ids, **PATHS}
    leaks: list[str] = []
    with httpx.Client(base_url=api.url, headers={"Authorization": f"Bearer {world.keys[role]}"}, timeout=30) as client:
        for row in _scoped_gets(role):
            names = set(re.findall(r"\{(\w+)", row.path)) - set(SHARED)
            path = _with(row.path, values)
            # What a chart must say besides; another route takes no notice.
            answer = client.get(path, params={"metric": "pressure", "on": "2026-07-01"})
            if names and answer.status_code not in {404, 422}:
                leaks.append(
                    f"{row.path}: {answer.status_code} for a stranger's {', '.join(names)}: {answer.text[:200]}"
                )
            if not names and answer.status_code not in {200, 422}:
                leaks.append(f"{row.path}: {answer.status_code} {answer.text[:200]}")
            seen = shows_theirs(answer.text) if answer.status_code == 200 else None
            if seen:
                leaks.append(f"{row.path}: shows {seen}")
            for filtered in ("ticket_id", "customer_id", "provider_id", "technician_id", "job_id", "serial"):
                if not names and answer.status_code == 200:
                    wanted = client.get(path, params={filtered: values[filtered]})
                    seen = shows_theirs(wanted.text)
                    if wanted.status_code == 200 and seen:
                        leaks.append(f"{row.path}?{filtered}=: shows {seen}")
    assert leaks == [], "\n".join(leaks)


@pytest.mark.parametrize("role", sorted(SCOPED))
def test_nothing_of_a_stranger_changes(api, world: World, role: str) -> None:
    """Whatever is asked of a stranger's thing is refused, and leaves all that strangers have as it was."""
    values = {**SHARED, "page": 1, **world.theirs.ids, **PATHS}
    done: list[str] = []
    before = _theirs(api)
    headers = {"Authorization": f"Bearer {world.keys[role]}", "If-Match": '"1"'}
    with httpx.Client(base_url=api.url, headers=headers, timeout=30) as client:
        for row in rows().values():
            names = set(re.findall(r"\{(\w+)", row.path)) & {*world.theirs.ids, *PATHS}
            if row.method == "GET" or row.cell(role) != "scoped" or not names:
                continue
            path = re.sub(r"\{(\w+)(?::\w+)?\}", lambda match: str(values.get(match[1], 999_999_999)), row.path)
            answer = client.request(row.method, path, json=None if row.method == "DELETE" else {})
            if answer.status_code not in {404, 409, 422, 428}:
                done.append(f"{row.method} {path}: {answer.status_code} {answer.text[:200]}")
            if answer.status_code == 409 and "/problems/no-user" not in answer.text:
                done.append(f"{row.method} {path}: tells of the stranger's: {answer.text[:200]}")
    assert done == [], "\n".join(done)
    after = _theirs(api)
    assert {name: texts ^ after[name] for name, texts in before.items() if texts != after[name]} == {}


def _theirs(api) -> dict[str, set[str]]:
    """Every row of strangers, by table."""
    with connect(api.database_url) as owner:
        tables = owner.execute("SELECT table_name FROM service.guarded").fetchall()
        return {
            name: {
                row["text"]
                for row in owner.execute(f"SELECT t::text AS text FROM service.{name} t").fetchall()
                if shows_theirs(row["text"])
            }
            for name in sorted(row["table_name"] for row in tables)
            if name not in {"idempotency_key", "feed", "feed_mark"}
        }
