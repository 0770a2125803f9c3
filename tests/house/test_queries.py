"""Every statement in a `queries.sql` is used, every one used is there, and PostgreSQL understands each of them."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from careloop.database.engine import connect
from careloop.database.queries import load_queries

# Not PostgreSQL's dialect; its own tests run every statement.
SQLITE = {"edge_agent"}

_PLACEHOLDER = re.compile(r"%\((?P<name>\w+)\)[sbt]|%%")
_PREPARABLE = re.compile(r"\s*(?:--[^\n]*\n\s*)*(?:SELECT|INSERT|UPDATE|DELETE|MERGE|VALUES|WITH)\b", re.IGNORECASE)
# Where PostgreSQL cannot tell a parameter's type from its place, the driver tells it; by name here.
_TYPES = [
    (re.compile(r"(?:^|_)(?:now|at|before|after|since|from|time|until|as_of|from_time|to_time)$"), "timestamptz"),
    (re.compile(r"(?:^|_)(?:every|lease|age|interval|within)$"), "interval"),
    (re.compile(r"(?:_id|^limit|^offset)$"), "bigint"),
]


def _packages(root: Path) -> Iterator[str]:
    for file in sorted(root.glob("*/**/queries.sql")):
        if not {".venv", "node_modules"} & set(file.parts):
            yield ".".join(file.parent.relative_to(root).parts)


def _loaded(tree: ast.Module) -> dict[str, str]:
    """The package whose queries stand under each module-level name."""
    return {
        node.targets[0].id: str(node.value.args[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Call)
        and isinstance(node.value.func, ast.Name)
        and node.value.func.id == "load_queries"
        and isinstance(node.value.args[0], ast.Constant)
        and isinstance(node.targets[0], ast.Name)
    }


def _used(root: Path, product_code: list[Path]) -> dict[str, set[str]]:
    """Names used as `X["name"]`, by the package whose queries the module loads as X."""
    used: dict[str, set[str]] = {}
    for path in product_code:
        tree = ast.parse((root / path).read_text(encoding="utf-8"))
        loaded = _loaded(tree)
        for node in ast.walk(tree):
            if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id in loaded:
                names = used.setdefault(loaded[node.value.id], set())
                names |= {
                    part.value
                    for part in ast.walk(node.slice)
                    if isinstance(part, ast.Constant) and isinstance(part.value, str)
                }
    return used


def _composed(root: Path, product_code: list[Path]) -> Iterator[tuple[str, set[str], str]]:
    """Statements put together as `X["one"] + … + X["other"]`: package, names of the pieces, whole text."""
    for path in product_code:
        tree = ast.parse((root / path).read_text(encoding="utf-8"))
        loaded = _loaded(tree)
        inner: set[ast.AST] = set()
        for node in ast.walk(tree):
            if not isinstance(node, ast.BinOp) or not isinstance(node.op, ast.Add) or node in inner:
                continue
            inner |= {part for part in ast.walk(node) if isinstance(part, ast.BinOp)}
            pieces: list[tuple[str, str]] = []
            texts: list[str] = []
            for part in _summands(node):
                if isinstance(part, ast.Constant) and isinstance(part.value, str):
                    texts.append(part.value)
                elif (
                    isinstance(part, ast.Subscript)
                    and isinstance(part.value, ast.Name)
                    and part.value.id in loaded
                    and isinstance(part.slice, ast.Constant)
                ):
                    package, name = loaded[part.value.id], str(part.slice.value)
                    pieces.append((package, name))
                    texts.append(load_queries(package)[name])
                else:
                    pieces.clear()
                    break
            if pieces:
                yield pieces[0][0], {name for _, name in pieces}, "".join(texts)


def _summands(node: ast.expr) -> Iterator[ast.expr]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        yield from _summands(node.left)
        yield from _summands(node.right)
    else:
        yield node


def _text_constants(root: Path, product_code: list[Path], package: str) -> set[str]:
    folder = Path(*package.split("."))
    return {
        node.value
        for path in product_code
        if folder in path.parents
        for node in ast.walk(ast.parse((root / path).read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def test_every_statement_is_used_and_every_one_used_is_there(root: Path, product_code: list[Path]) -> None:
    used = _used(root, product_code)
    problems: list[str] = []
    for package in _packages(root):
        there = set(load_queries(package))
        problems += [f"{package}: {name} is used but not there" for name in used.get(package, set()) - there]
        mentioned = used.get(package, set()) | _text_constants(root, product_code, package)
        problems += [f"{package}: {name} is not used" for name in there - mentioned]
    assert problems == []


def _as_prepared(statement: str) -> tuple[list[str], str]:
    """The parameters' types, and the statement with $1, $2 … as PREPARE wants it."""
    names: list[str] = []

    def number(match: re.Match[str]) -> str:
        name = match["name"]
        if name is None:
            return "%"
        if name not in names:
            names.append(name)
        return f"${names.index(name) + 1}"

    text = _PLACEHOLDER.sub(number, statement)
    types = [next((kind for pattern, kind in _TYPES if pattern.search(name)), "unknown") for name in names]
    return types, text.rstrip().rstrip(";")


def _statements(root: Path, product_code: list[Path]) -> Iterator[tuple[str, str]]:
    """Every statement of every package under a name for messages; pieces of composed ones only as the whole."""
    pieces: set[tuple[str, str]] = set()
    for package, names, text in _composed(root, product_code):
        pieces |= {(package, name) for name in names}
        yield f"{package}: {' + '.join(sorted(names))}", text
    for package in _packages(root):
        for name, text in load_queries(package).items():
            if (package, name) not in pieces:
                yield f"{package}: {name}", text


def test_postgresql_understands_every_statement(root: Path, product_code: list[Path], database_url: str) -> None:
    problems: list[str] = []
    prepared = 0
    with connect(database_url) as connection:
        for name, statement in _statements(root, product_code):
            if name.split(":")[0] in SQLITE or not _PREPARABLE.match(statement):
                continue
            types, text = _as_prepared(statement)
            for attempt in (types, ["unknown"] * len(types)):
                error = _prepare(connection, f"({', '.join(attempt)})" if attempt else "", text)
                if error is None:
                    prepared += 1
                    break
            else:
                problems.append(f"{name}: {error}")
    assert problems == []
    assert prepared > 100


def _prepare(connection: psycopg.Connection, signature: str, text: str) -> str | None:
    try:
        with connection.transaction(force_rollback=True):
            connection.execute(f"PREPARE checked {signature} AS {text}", prepare=False)
            connection.execute("DEALLOCATE checked")
    except psycopg.errors.IndeterminateDatatype:
        # Understood but for the type that only the driver knows.
        return None
    except psycopg.Error as error:
        return str(error).splitlines()[0]
    return None


def test_a_statement_that_is_wrong_would_be_found(database_url: str) -> None:
    with connect(database_url) as connection:
        assert _prepare(connection, "", "SELECT no_such_column FROM service.asset") is not None
        types, text = _as_prepared("SELECT * FROM service.asset WHERE created_at < %(now)s AND serial LIKE '%%x'")
        assert types == ["timestamptz"]
        assert _prepare(connection, "(timestamptz)", text) is None


@pytest.mark.parametrize("package", ["careloop.line", "scheduler"])
def test_the_packages_are_found(root: Path, package: str) -> None:
    assert package in set(_packages(root))
