"""SQL stands in `queries.sql`, one statement under each `-- name: …` line; this reads it.

aiosql does the same for synchronous psycopg only; the API works with asynchronous connections, so the statement's text
is all we want (docs/decisions/0003-no-orm.md).
"""

import re
from importlib.resources import files
from typing import LiteralString

_NAME = re.compile(r"^-- name: (?P<name>[a-z][a-z0-9_]*)\s*$", re.MULTILINE)


def load_queries(package: str, file: str = "queries.sql") -> dict[str, LiteralString]:
    """The statements of a package's SQL file, by name.

    Args:
        package: Dotted name of the package that holds the file.
        file: Name of the file.

    Raises:
        ValueError: A name stands twice, or text stands before the first name.
    """
    text = files(package).joinpath(file).read_text(encoding="utf-8")
    marks = list(_NAME.finditer(text))
    before = text[: marks[0].start()] if marks else text
    if any(line.strip() and not line.startswith("--") for line in before.splitlines()):
        raise ValueError(f"{package}/{file}: a statement stands before the first '-- name:' line")
    queries: dict[str, LiteralString] = {}
    for mark, following in zip(marks, [*marks[1:], None], strict=True):
        name = mark["name"]
        if name in queries:
            raise ValueError(f"{package}/{file}: the name {name} stands twice")
        statement = text[mark.end() : following.start() if following else len(text)].strip()
        queries[name] = statement
    return queries
