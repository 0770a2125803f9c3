"""The whole schema as it is today, to read: `schema.sql` for every engine, then `schema.ENGINE.sql` for its storage.

Databases are made by migrations alone; a test holds these files against them. After a migration was added, run

    python -m careloop.database.schema

which writes the files anew from the migrations. Where a migration altered what an earlier one made, fold the two by
hand: the test compares what comes out, not the text.
"""

from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import LiteralString, get_args

from careloop.database.engine import EngineName
from careloop.database.migrations import migrations_for

_HEAD = "-- {what} Written by python -m careloop.database.schema; nothing runs it but a test.\n"


def schema_for(engine: EngineName) -> LiteralString:
    """The statements that make the schema from nothing."""
    here = files("careloop.database")
    return "\n".join(here.joinpath(name).read_text(encoding="utf-8") for name in ("schema.sql", f"schema.{engine}.sql"))


def compose() -> Iterator[tuple[str, str]]:
    """The files' names and texts, as the migrations give them."""
    steps = {engine: {step.step: step.sql for step in migrations_for(engine)} for engine in get_args(EngineName)}
    first, *others = steps.values()
    common = {step for step, sql in first.items() if all(other.get(step) == sql for other in others)}
    yield "schema.sql", _joined("The whole schema, on every engine.", [first[step] for step in sorted(common)])
    for engine, texts in steps.items():
        own = [texts[step] for step in sorted(texts.keys() - common)]
        yield f"schema.{engine}.sql", _joined("What is made on this engine only, after schema.sql.", own)


def _joined(what: str, texts: list[str]) -> str:
    return _HEAD.format(what=what) + "".join(f"\n{text.strip()}\n" for text in texts)


if __name__ == "__main__":
    for name, text in compose():
        Path(__file__).with_name(name).write_text(text, encoding="utf-8")
