"""The table of who may call what (endpoints.txt) is complete, and the API keeps to it."""

import re

import httpx

from api.conventions.roles import ROLES
from tests.api.access.endpoints import declared, line_of, routes, rows

# Nothing has these; what is refused is refused before anybody looks.
NOBODYS = {"serial": "NOWHERE-1", "sku": "NOWHERE", "code": "nowhere", "name": "nowhere"}


def nowhere(path: str) -> str:
    return re.sub(r"\{(\w+)(?::\w+)?\}", lambda match: NOBODYS.get(match[1], "999999999"), path)


def test_every_endpoint_has_a_line_and_every_line_an_endpoint() -> None:
    table = rows()
    there = {(method, path): line_of(method, path, declared(route)) for method, path, route in routes()}
    assert [line for key, line in there.items() if key not in table] == [], "add these to endpoints.txt"
    assert sorted(set(table) - set(there)) == [], "take these out of endpoints.txt"


def test_the_routes_say_what_the_table_says() -> None:
    table = rows()
    otherwise = {}
    for method, path, route in routes():
        row, roles = table[method, path], declared(route)
        if (row.open, row.roles) != (roles is None, roles if roles is not None else row.roles):
            otherwise[f"{method} {path}"] = line_of(method, path, roles)
    assert otherwise == {}, "the routes' own words; change the route or the table"


def test_every_cell_over_http(api, keys) -> None:
    """A refused role gets 403, nobody at all 401; who is allowed gets anything else, even if only 404 or 422."""
    wrong: list[str] = []
    with httpx.Client(base_url=api.url, timeout=30) as client:
        for row in rows().values():
            body = None if row.method in {"GET", "DELETE"} else {}
            for role in (None, *ROLES):
                headers = {"Authorization": f"Bearer {keys[role]}"} if role else {}
                answer = client.request(row.method, nowhere(row.path), json=body, headers=headers)
                if row.open:
                    # It may well say that this is no valid login; but it never asks for an API key.
                    problem = answer.json().get("type", "") if answer.status_code >= 400 else ""
                    right = problem not in {"/problems/api-key-missing", "/problems/forbidden"}
                elif role is None:
                    right = answer.status_code == 401
                else:
                    right = (answer.status_code == 403) == (row.cell(role) == "refused") and answer.status_code != 401
                if not right or answer.status_code >= 500:
                    wrong.append(f"{row.method} {row.path} as {role}: {answer.status_code} {answer.text[:200]}")
                if row.open and role is None:
                    break
    assert wrong == []
