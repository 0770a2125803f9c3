"""One file that grows, is renamed, truncated or replaced; where reading has got to is a `Place`.

A place names the file by its inode and the content by a hash of its first bytes, for inodes are given out again and a
truncated file may grow beyond the old place. From a place the rest is found wherever it went: under the same name,
under another (`press.csv.1`, `press.csv-20260101`), or in the copy that was made before a truncation.
"""

import logging
import os
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from io import FileIO
from pathlib import Path

HEAD_BYTES = 1024

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Place:
    """Where reading has got to.

    Attributes:
        inode: The file's.
        offset: Bytes read, up to the end of a line.
        head_bytes: How many of the first bytes `head` is of.
        head: Their hash.
        is_skipping: Whether what comes next, up to the end of the line, is the rest of one that is too long.
    """

    inode: int
    offset: int = 0
    head_bytes: int = 0
    head: str = ""
    is_skipping: bool = False

    def fits(self, file: FileIO) -> bool:
        """Whether the file begins with what was read."""
        start = os.pread(file.fileno(), self.head_bytes, 0)
        return os.fstat(file.fileno()).st_size >= self.offset and _hash(start) == self.head


class Tail:
    """Reads one path on.

    Args:
        path: The path; it need not be there yet.
        max_line_bytes: A longer line is left out, and counted.

    Attributes:
        too_long: Lines that were left out.
        has_more: Whether the last read left something.
        at_start: Whether what was read last began at the file's start.
    """

    def __init__(self, path: Path, max_line_bytes: int) -> None:
        self.path = path
        self.too_long = 0
        self.has_more = False
        self.at_start = False
        self._max_line_bytes = max_line_bytes
        self._file: FileIO | None = None
        self._place: Place | None = None
        # Whether the file under our hands has another name now, and nothing more came since.
        self._is_quiet = False

    @property
    def place(self) -> Place | None:
        """Where reading has got to; None when nothing was ever opened."""
        return self._place

    @property
    def is_gone(self) -> bool:
        """Whether there is nothing open, and nothing at the path."""
        return self._file is None and not self.path.exists()

    def resume(self, place: Place) -> None:
        """Go on from a place, wherever what was read there is now."""
        self.close()
        files = [file for path in [self.path, *self._siblings()] if (file := _opened(path)) is not None]
        # The same inode first: files of a kind may begin alike. Before anything was read nothing else tells.
        files.sort(key=lambda file: os.fstat(file.fileno()).st_ino != place.inode)
        for file in files:
            is_same = os.fstat(file.fileno()).st_ino == place.inode
            if self._file is None and place.fits(file) and (place.offset or is_same):
                self._use(file, place)
            else:
                file.close()
        if self._file is not None:
            return
        if place.offset:
            log.warning("%s: what was read up to byte %d is not there any more", self.path, place.offset)

    def skip_to_end(self) -> None:
        """Leave out what is there already, but for a line that has only begun."""
        if (file := self._current()) is None:
            return
        size = os.fstat(file.fileno()).st_size
        while size:
            start = max(0, size - 65536)
            found = os.pread(file.fileno(), size - start, start).rfind(b"\n")
            if found >= 0:
                self._advance(file, start + found + 1, is_skipping=False)
                return
            size = start

    def read(self, most_bytes: int) -> Sequence[str]:
        """The next whole lines; `at_start` says whether they begin at the file's start.

        Raises:
            OSError: The disk does not give them.
        """
        self.has_more = False
        file = self._current()
        if file is None or self._place is None:
            return []
        offset = self._place.offset
        size = os.fstat(file.fileno()).st_size
        chunk = os.pread(file.fileno(), most_bytes, offset) if size > offset else b""
        # Looked at after reading: what was read is the old content's if the head still is.
        if not self._place.fits(file):
            log.info("%s: was truncated", self.path)
            self.resume(self._place)
            if self._file is None:
                self._begin()
            return self.read(most_bytes)
        self.has_more = len(chunk) == most_bytes
        if chunk:
            lines = self._whole_lines(file, chunk)
            if self._place.offset > offset:
                self._is_quiet = False
                self.at_start = offset == 0
                return lines
        return self._at_end(file, chunk)

    def first_line(self) -> str | None:
        """The file's first line; None when it is not yet whole."""
        if self._file is None:
            return None
        start, newline, _ = os.pread(self._file.fileno(), self._max_line_bytes, 0).partition(b"\n")
        return _text(start) if newline else None

    def close(self) -> None:
        """Close the file; the place stays known."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _whole_lines(self, file: FileIO, chunk: bytes) -> list[str]:
        place = self._place
        if place is None:
            return []
        whole, newline, rest = chunk.rpartition(b"\n")
        if not newline:
            if len(rest) > self._max_line_bytes or place.is_skipping:
                self.too_long += not place.is_skipping
                self._advance(file, place.offset + len(rest), is_skipping=True)
            return []
        raw = whole.split(b"\n")
        if place.is_skipping:
            raw = raw[1:]
        self._advance(file, place.offset + len(whole) + 1, is_skipping=False)
        lines = [line for line in raw if len(line) <= self._max_line_bytes]
        self.too_long += len(raw) - len(lines)
        return [_text(line) for line in lines]

    def _at_end(self, file: FileIO, rest: bytes) -> list[str]:
        """Nothing more came: stay, or go on to the file that took the place of ours."""
        ours = os.fstat(file.fileno())
        try:
            is_over = self.path.stat().st_ino != ours.st_ino
        except FileNotFoundError:
            # Deleted; or renamed, and the one that comes next is renamed already, or yet to come.
            is_over = ours.st_nlink == 0 or bool(self._newer(ours))
        if not is_over:
            return []
        if not self._is_quiet:
            # Whoever writes may not have noticed yet that its file was renamed: look once more.
            self._is_quiet = True
            return []
        lines = [] if not rest or (self._place and self._place.is_skipping) else [_text(rest)]
        self.at_start = self._place is not None and self._place.offset == 0
        self._move_on(file)
        self.has_more = True
        return lines

    def _move_on(self, file: FileIO) -> None:
        """To the oldest file that is newer than ours."""
        newer = self._newer(os.fstat(file.fileno()))
        self.close()
        self._begin(min(newer)[1] if newer else self.path)

    def _newer(self, ours: os.stat_result) -> list[tuple[int, Path]]:
        """The renamed files that were written after ours."""
        newer: list[tuple[int, Path]] = []
        for path in self._siblings():
            with suppress(FileNotFoundError):
                found = path.stat()
                if found.st_mtime_ns > ours.st_mtime_ns and found.st_ino != ours.st_ino:
                    newer.append((found.st_mtime_ns, path))
        return newer

    def _begin(self, path: Path | None = None) -> None:
        """Open a file at its start."""
        file = _opened(path or self.path)
        if file is not None:
            self._use(file, Place(os.fstat(file.fileno()).st_ino, 0, 0, _hash(b"")))

    def _current(self) -> FileIO | None:
        if self._file is None:
            self._begin()
        return self._file

    def _use(self, file: FileIO, place: Place) -> None:
        self._file = file
        self._place = Place(
            os.fstat(file.fileno()).st_ino, place.offset, place.head_bytes, place.head, place.is_skipping
        )
        self._is_quiet = False

    def _advance(self, file: FileIO, offset: int, *, is_skipping: bool) -> None:
        place = self._place
        inode = os.fstat(file.fileno()).st_ino
        if place is not None and place.head_bytes == HEAD_BYTES:
            self._place = Place(inode, offset, place.head_bytes, place.head, is_skipping)
        else:
            head = os.pread(file.fileno(), min(offset, HEAD_BYTES), 0)
            self._place = Place(inode, offset, len(head), _hash(head), is_skipping)

    def _siblings(self) -> list[Path]:
        """Where a rotation may have put older content: `NAME.1`, `NAME-20260101`, `NAME.2026-01-01_12`."""
        rotated = re.compile(re.escape(self.path.name) + r"[.-]\d[\d.T_-]*")
        try:
            return sorted(path for path in self.path.parent.iterdir() if rotated.fullmatch(path.name))
        except FileNotFoundError:
            return []


def _opened(path: Path) -> FileIO | None:
    try:
        return FileIO(path)
    except FileNotFoundError:
        return None


def _hash(start: bytes) -> str:
    return blake2b(start, digest_size=8).hexdigest()


def _text(line: bytes) -> str:
    return line.decode(errors="replace").removesuffix("\r")
