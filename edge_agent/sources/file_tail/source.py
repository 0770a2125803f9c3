"""Follows files line by line, each exactly once, whatever is killed when.

The places are stored in the same transaction as the lines before them; so after a kill the next line read is the first
one that is not in the buffer. It runs in the agent's own thread: local files do not block.
"""

import glob
import json
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

from edge_agent.sources.file_tail.config import FileConfig
from edge_agent.sources.file_tail.tail import Place, Tail
from edge_agent.sources.payload.mapper import Mapper
from edge_agent.sources.payload.records import PayloadError, Record, csv_cells, line_parser, quoted
from edge_agent.sources.source import Clock, Harvest, Source, SourceError, remembered

log = logging.getLogger(__name__)

# Of all files together in one poll; the rest at once after the other sources had their turn.
MOST_BYTES = 512 * 1024


class FileSource(Source):
    """One path, or several of a pattern.

    Args:
        config: The path and what its lines mean.
        clock: Not used: the poll tells the time.
    """

    def __init__(self, config: FileConfig, clock: Clock) -> None:  # noqa: ARG002 - as every source
        self.name = config.name or config.kind
        self.interval_s = config.interval_s
        self._config = config
        self._mapper = Mapper(config, self.name)
        self._pattern = _pattern(config.path)
        self._glob = re.sub(r"\{\w+\}", "*", config.path)
        self._is_one = not glob.has_magic(self._glob)
        self._tails: dict[str, Tail] = {}
        self._has_more = False
        # What `checkpoint` said last, and what of it is on disk.
        self._offered: str | None = None
        self._stored: str | None = None

    @property
    def has_news(self) -> bool:
        """Whether the last poll left something."""
        return self._has_more

    def open(self, checkpoint: str | None, since: datetime | None) -> None:  # noqa: ARG002 - the lines have their own time
        """Go on where reading had got to."""
        self._stored = checkpoint
        self._go_to(checkpoint)
        if checkpoint is None and self._config.start == "end":
            for tail in self._found():
                tail.skip_to_end()

    def units_of(self, serial: str) -> Mapping[str, str]:
        """The configured units."""
        return self._mapper.units_of(serial)

    def serials(self) -> Sequence[str]:
        """Those in the configuration."""
        return self._mapper.serials

    def poll(self, now: datetime) -> Harvest:
        """The lines that came since the last poll."""
        most_bytes = max(MOST_BYTES, 2 * self._config.max_line_bytes)
        payloads: list[Iterator[Record]] = []
        too_long = 0
        self._has_more = False
        errors: list[str] = []
        for tail in self._found():
            try:
                lines = tail.read(most_bytes)
            except OSError as error:
                errors.append(f"{tail.path} cannot be read: {error.strerror or error}")
                continue
            if lines:
                payloads += self._payloads(tail, lines)
            self._has_more |= tail.has_more
            too_long += tail.too_long
            tail.too_long = 0
        if self._has_more:
            self.wake()
        if errors and not payloads:
            raise SourceError("; ".join(errors))
        for text in errors:
            # What the others said counts; the next poll that brings nothing tells the failure.
            log.warning("source %s: %s", self.name, text)
        harvest = self._mapper.harvest(payloads, now)
        return Harvest(harvest.rows, harvest.events, harvest.refused + too_long)

    def checkpoint(self) -> str | None:
        """The place in every file; None when nothing was read."""
        self._offered = self._places()
        return None if self._offered == self._stored else self._offered

    def confirm(self) -> None:
        """What was read is on disk."""
        self._stored = self._offered

    def close(self) -> None:
        """Close the files."""
        for tail in self._tails.values():
            tail.close()

    def _places(self) -> str:
        places = {path: asdict(tail.place) for path, tail in self._tails.items() if tail.place is not None}
        return json.dumps({"places": places, "events": self._mapper.memory()}, separators=(",", ":"))

    def _go_to(self, checkpoint: str | None) -> None:
        self.close()
        self._tails.clear()
        stored = remembered(checkpoint, "places", "events")
        if stored is None:
            return
        if stored["events"]:
            self._mapper.restore(stored["events"])
        for path, place in stored["places"].items():
            tail = self._tails[path] = Tail(Path(path), self._config.max_line_bytes)
            tail.resume(Place(**place))

    def _found(self) -> list[Tail]:
        """What there is to read; a file that is gone for good is forgotten."""
        paths = [self._config.path] if self._is_one else sorted(glob.glob(self._glob))  # noqa: PTH207 - Path.glob takes no absolute pattern
        for path in paths:
            if path not in self._tails and self._pattern.fullmatch(path):
                self._tails[path] = Tail(Path(path), self._config.max_line_bytes)
        if not self._is_one:
            for path in [path for path, tail in self._tails.items() if tail.is_gone]:
                del self._tails[path]
        return list(self._tails.values())

    def _payloads(self, tail: Tail, lines: Sequence[str]) -> Iterator[Iterator[Record]]:
        found = self._pattern.fullmatch(str(tail.path))
        parts = {"path": str(tail.path), **(found.groupdict() if found else {})}
        columns: Sequence[str] | None = None
        if self._config.header:
            header = lines[0] if tail.at_start else tail.first_line()
            lines = lines[1:] if tail.at_start else lines
            try:
                columns = self._columns(header or "")
            except PayloadError as error:
                yield _refused(f"{tail.path}: {error}")
                return
        parse = line_parser(self._config, columns)
        for line in lines:
            if line.strip():
                yield parse(line, parts)

    def _columns(self, header: str) -> Sequence[str]:
        columns = csv_cells(header, self._config.delimiter)
        for at in self._config.fields():
            if not at.startswith("@") and at not in columns:
                raise PayloadError(f"its header has no column {at!r}: {quoted(header)}")
        return columns


def _pattern(template: str) -> re.Pattern[str]:
    """What matches the template's paths, with a group for each name."""
    pieces = re.split(r"(\*|\?|\{\w+\})", template)
    in_regex = {"*": "[^/]*", "?": "[^/]"}
    return re.compile(
        "".join(
            f"(?P<{piece[1:-1]}>[^/]+)" if piece.startswith("{") else in_regex.get(piece, re.escape(piece))
            for piece in pieces
        )
    )


def _refused(reason: str) -> Iterator[Record]:
    """A payload that is wrong as a whole."""
    raise PayloadError(reason)
    yield


def file_source(config: FileConfig, clock: Clock) -> Source:
    """A file as a source."""
    return FileSource(config, clock)
