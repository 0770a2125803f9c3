"""The table of who may call what (endpoints.txt) is complete, and the API keeps to it."""

import http.client
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from api.conventions.roles import ROLES, Role
from tests.api.access.endpoints import Row, declared, line_of, routes, rows

# So many ask at once, that one may be answered while another's query is under way.
CALLERS = 4
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

    def wrong_cells(part: list[Row]) -> list[str]:
        connection = http.client.HTTPConnection(api.url.removeprefix("http://"), timeout=60)
        return [fault for row in part for role in cells(row) if (fault := wrong_cell(connection, row, role, keys))]

    everything = list(rows().values())
    with ThreadPoolExecutor(CALLERS) as callers:
        found = callers.map(wrong_cells, [everything[start::CALLERS] for start in range(CALLERS)])
        assert [fault for part in found for fault in part] == []


def cells(row: Row) -> tuple[Role | None, ...]:
    """Whom to ask a row as; None is somebody without a key."""
    return (None,) if row.open else (None, *ROLES)


def wrong_cell(connection: http.client.HTTPConnection, row: Row, role: Role | None, keys: Mapping[str, str]) -> str:
    """What is wrong with an answer; empty if nothing is."""
    status, text = asked(connection, row, keys[role] if role else None)
    if row.open:
        # It may well say that this is no valid login; but it never asks for an API key.
        right = "/problems/api-key-missing" not in text and "/problems/forbidden" not in text
    elif role is None:
        right = status == 401
    else:
        right = (status == 403) == (row.cell(role) == "refused") and status != 401
    return "" if right and status < 500 else f"{row.method} {row.path} as {role}: {status} {text[:200]}"


def asked(connection: http.client.HTTPConnection, row: Row, key: str | None) -> tuple[int, str]:
    """Status and text of an answer; 599 where the connection broke, as it does after a defect."""
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {key}"} if key else {})}
    body = None if row.method in {"GET", "DELETE"} else b"{}"
    try:
        connection.request(row.method, nowhere(row.path), body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode(errors="replace")
    except (http.client.HTTPException, OSError) as error:
        connection.close()
        return 599, repr(error)
