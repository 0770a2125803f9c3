"""Text and bytes into records: mappings or JSON values whose fields `find` reaches."""

import csv
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from edge_agent.sources.payload.config import LinesConfig

NO_PARTS: Mapping[str, str] = {}


class PayloadError(ValueError):
    """The payload says nothing that can be understood; the text says why, and quotes it."""


class Record(NamedTuple):
    """One thing said.

    Attributes:
        item: Its fields.
        root: The whole document.
        parts: What is known of it besides: parts of a topic or path, its key.
    """

    item: Any
    root: Any
    parts: Mapping[str, str] = NO_PARTS

    def find(self, at: str) -> object:
        """A field's value; None when it is not there."""
        start = at[0]
        if start == "/":
            return pointed(self.item, at)
        if start == "$":
            return pointed(self.root, at[1:])
        if start == "@":
            return self.parts.get(at[1:])
        return self.item.get(at) if isinstance(self.item, Mapping) else None


def pointed(value: Any, pointer: str) -> Any:
    """What a JSON pointer (RFC 6901) points at; None when there is nothing.

    >>> pointed({"a": [{"b/c": 5}]}, "/a/0/b~1c")
    5
    """
    for token in pointer.split("/")[1:]:
        name = token.replace("~1", "/").replace("~0", "~")
        if isinstance(value, Mapping):
            value = value.get(name)
        elif isinstance(value, Sequence) and not isinstance(value, str):
            value = value[int(name)] if name.isdecimal() and int(name) < len(value) else None
        else:
            return None
    return value


def json_value(text: str | bytes) -> Any:
    """A JSON document.

    Raises:
        PayloadError: It is not JSON, or nested too deep.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise PayloadError(f"not JSON: {quoted(text)}") from error


def json_records(value: Any, each: str | None, parts: Mapping[str, str] = NO_PARTS) -> Iterator[Record]:
    """The records of a JSON document: itself, or what `each` points at, every one with its `@key`.

    Raises:
        PayloadError: There is nothing at `each`.
    """
    if each is None:
        yield Record(value, value, parts)
        return
    held = pointed(value, each)
    if isinstance(held, Mapping):
        keyed = [(str(key), item) for key, item in held.items()]
    elif isinstance(held, list):
        keyed = [(str(number), item) for number, item in enumerate(held)]
    else:
        raise PayloadError(f"no list or object at {each!r}")
    for key, item in keyed:
        yield Record(item, value, {**parts, "key": key})


Parser = Callable[[str, Mapping[str, str]], Iterator[Record]]


def line_parser(config: LinesConfig, columns: Sequence[str] | None = None) -> Parser:
    """What makes records of a line; `columns` over the configured ones.

    What the parser returns raises PayloadError when it is iterated, if the line is wrong.
    """
    match config.format:
        case "csv":
            names = tuple(columns or config.columns)
            return lambda line, parts: _csv_record(line, names, config.delimiter, parts)
        case "regex":
            pattern = re.compile(config.pattern or "")
            return lambda line, parts: _regex_record(line, pattern, parts)
        case _:
            return lambda line, parts: _json_line(line, config.each, parts)


def csv_cells(line: str, delimiter: str) -> list[str]:
    """The cells of one line.

    Raises:
        PayloadError: A quote is not closed, or the line is too long.
    """
    try:
        return [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter, strict=True), [])]
    except csv.Error as error:
        raise PayloadError(f"not CSV ({error}): {quoted(line)}") from error


def quoted(text: str | bytes) -> str:
    """The beginning of a payload, for a message."""
    plain = text.decode(errors="replace") if isinstance(text, bytes) else text
    return repr(plain[:60]) + ("…" if len(plain) > 60 else "")


def _json_line(line: str, each: str | None, parts: Mapping[str, str]) -> Iterator[Record]:
    yield from json_records(json_value(line), each, parts)


def _csv_record(line: str, names: tuple[str, ...], delimiter: str, parts: Mapping[str, str]) -> Iterator[Record]:
    cells = csv_cells(line, delimiter)
    if len(cells) != len(names):
        raise PayloadError(f"{len(cells)} columns instead of {len(names)}: {quoted(line)}")
    item = dict(zip(names, cells, strict=True))
    yield Record(item, item, parts)


def _regex_record(line: str, pattern: re.Pattern[str], parts: Mapping[str, str]) -> Iterator[Record]:
    found = pattern.search(line)
    if found:
        item = found.groupdict()
        yield Record(item, item, parts)
