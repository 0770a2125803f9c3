"""Every endpoint × every role: who may call it. The rows stand in endpoints.txt, a line for each endpoint.

A line is method, path (as the route writes it), and words:

    GET /v1/tickets/{ticket_id}        staff field customer
    GET /v1/parts                      staff field same
    POST /v1/login                     open

- A role's name lets that role in; `staff` is agent dispatcher engineer service, `field` is technician partner_manager.
  `admin` may always, `desk_lead` whatever `agent` may; a line that names neither more is written `admin`.
- Who is not named is refused: 403.
- customer, technician and partner_manager are *scoped*: they see only what is theirs. test_scope.py asks every GET for
  things of others and wants 404 or nothing of them. `same` says that there is nothing to scope: everybody sees the same
  (a catalogue).
- `open` needs no key.

A new endpoint needs a line, or test_table.py fails; its message is the line to add. Running this file (PYTHONPATH=.)
prints the lines that are missing, as the routes say it; read them before you believe them. A new name in a path, e.g.
`{quote_id}`, needs something of a stranger's in strangers.py, if a scoped role may GET it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fastapi.routing import APIRoute

from api.application import ROUTERS
from api.conventions.call import Allowed, CallRoute
from api.conventions.roles import FIELD, ROLES, STAFF, Role

TABLE = Path(__file__).with_name("endpoints.txt")
GROUPS: dict[str, tuple[Role, ...]] = {"staff": STAFF, "field": FIELD, **{role: (role,) for role in ROLES}}
SCOPED: frozenset[Role] = frozenset({"customer", "technician", "partner_manager"})


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    method: str
    path: str
    words: tuple[str, ...]

    @property
    def open(self) -> bool:
        return "open" in self.words

    @property
    def roles(self) -> frozenset[Role]:
        named = {role for word in self.words if word not in {"open", "same"} for role in GROUPS[word]}
        return frozenset(named | {"admin"} | ({"desk_lead"} if "agent" in named else set()))

    def cell(self, role: Role) -> str:
        """`open`, `allowed`, `scoped` or `refused`."""
        if self.open:
            return "open"
        if role not in self.roles:
            return "refused"
        return "scoped" if role in SCOPED and "same" not in self.words else "allowed"


def rows() -> dict[tuple[str, str], Row]:
    """The table by method and path."""
    found: dict[tuple[str, str], Row] = {}
    for number, line in enumerate(TABLE.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        method, path, *words = line.split()
        unknown = set(words) - set(GROUPS) - {"open", "same"}
        assert words, f"endpoints.txt:{number}: {method} {path} says nothing; who may only be admin is `admin`"
        assert not unknown, f"endpoints.txt:{number}: {unknown} is neither a role nor staff, field, same or open"
        assert (method, path) not in found, f"endpoints.txt:{number}: {method} {path} stands twice"
        found[method, path] = Row(method, path, tuple(words))
    return found


def routes() -> Iterator[tuple[str, str, APIRoute]]:
    """Every route of the application by method and path."""
    for router in ROUTERS:
        for route in router.routes:
            assert isinstance(route, APIRoute), route
            for method in sorted(route.methods):
                yield method, route.path, route


def declared(route: APIRoute) -> frozenset[Role] | None:
    """The roles that a route lets in; None for one that needs no key."""
    given = [one.dependency.roles for one in route.dependencies if isinstance(one.dependency, Allowed)]
    if not isinstance(route, CallRoute):
        assert not given, f"{route.path} allows roles and asks for no key"
        return None
    assert len(given) == 1, f"{route.methods} {route.path} must have exactly one allow(…) in its dependencies"
    return given[0]


def line_of(method: str, path: str, roles: frozenset[Role] | None) -> str:
    """A line for a route, as it says itself."""
    if roles is None:
        words = ["open"]
    else:
        left = set(roles) - {"admin"} - ({"desk_lead"} if "agent" in roles else set())
        words = []
        for name, group in (("staff", STAFF), ("field", FIELD)):
            if set(group) <= left:
                words.append(name)
                left -= set(group)
        words += [role for role in ROLES if role in left]
    return f"{method + ' ' + path:<60} {' '.join(words or ['admin'])}"


if __name__ == "__main__":
    there = rows()
    for method, path, route in routes():
        if (method, path) not in there:
            print(line_of(method, path, declared(route)))
