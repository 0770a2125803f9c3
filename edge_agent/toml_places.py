"""On which line each field of a TOML text stands; tomllib does not say. For text that tomllib has read already."""

import re
from collections.abc import Mapping

# Where a field stands, e.g. ("sources", 0, "seed").
FieldPath = tuple[str | int, ...]

_SPACE = re.compile(r"(?:\s|#[^\n]*)*")
_STRING = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}(?!")|\'\'\'.*?\'{3,5}(?!\')|"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\'', re.DOTALL
)
_BARE = re.compile(r"[^,\]}\n#]*")
_KEY = re.compile(r'[ \t]*(?:"((?:\\.|[^"\\])*)"|\'([^\']*)\'|([A-Za-z0-9_-]+))[ \t]*')


def line_of(path: FieldPath, lines: Mapping[FieldPath, int]) -> int:
    """The line of a field, or of the nearest table around it.

    Args:
        path: The field.
        lines: What `lines_of_fields` found.
    """
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path, 1)


def lines_of_fields(text: str) -> dict[FieldPath, int]:
    r"""The line of each table, key and element.

    >>> lines_of_fields('[[a]]\nb = [\n  {c = 1},\n]\n')
    {('a',): 1, ('a', 0): 1, ('a', 0, 'b'): 2, ('a', 0, 'b', 0): 3, ('a', 0, 'b', 0, 'c'): 3}
    """
    return _Scan(text).lines


class _Scan:
    def __init__(self, text: str) -> None:
        self.lines: dict[FieldPath, int] = {}
        self._text = text
        self._at = 0
        # The last index of each array of tables, by its path.
        self._last: dict[FieldPath, int] = {}
        self._counted_to = 0
        self._line = 1
        table: FieldPath = ()
        self._skip()
        while self._at < len(text):
            start = self._at
            if text[self._at] == "[":
                table = self._header()
            else:
                self._pair(table)
            self._skip()
            if self._at == start:
                return  # Text that tomllib would not have read.

    def _skip(self) -> None:
        found = _SPACE.match(self._text, self._at)
        self._at = found.end() if found else self._at

    def _line_here(self) -> int:
        self._line += self._text.count("\n", self._counted_to, self._at)
        self._counted_to = self._at
        return self._line

    def _note(self, path: FieldPath, line: int) -> None:
        for length in range(1, len(path) + 1):
            self.lines.setdefault(path[:length], line)

    def _keys(self) -> list[str]:
        keys: list[str] = []
        while found := _KEY.match(self._text, self._at):
            keys.append(next(group for group in found.groups() if group is not None))
            self._at = found.end()
            if self._text[self._at : self._at + 1] != ".":
                break
            self._at += 1
        return keys

    def _header(self) -> FieldPath:
        line = self._line_here()
        is_array = self._text.startswith("[[", self._at)
        self._at += 2 if is_array else 1
        keys = self._keys()
        self._at += 2 if is_array else 1
        path: FieldPath = ()
        for number, key in enumerate(keys):
            path = (*path, key)
            if is_array and number == len(keys) - 1:
                self._last[path] = self._last.get(path, -1) + 1
            if path in self._last:
                path = (*path, self._last[path])
        self._note(path, line)
        return path

    def _pair(self, table: FieldPath) -> None:
        line = self._line_here()
        path = (*table, *self._keys())
        self._note(path, line)
        self._at += self._text[self._at : self._at + 1] == "="
        self._value(path)

    def _value(self, path: FieldPath) -> None:
        self._skip()
        if found := _STRING.match(self._text, self._at):
            self._at = found.end()
        elif self._text[self._at : self._at + 1] == "[":
            self._elements(path)
        elif self._text[self._at : self._at + 1] == "{":
            self._inline_table(path)
        elif found := _BARE.match(self._text, self._at):
            self._at = found.end()

    def _elements(self, path: FieldPath) -> None:
        self._at += 1
        index = 0
        self._skip()
        while self._at < len(self._text) and self._text[self._at] != "]":
            self._note((*path, index), self._line_here())
            self._value((*path, index))
            self._skip()
            self._at += self._text[self._at : self._at + 1] == ","
            self._skip()
            index += 1
        self._at += 1

    def _inline_table(self, path: FieldPath) -> None:
        self._at += 1
        self._skip()
        while self._at < len(self._text) and self._text[self._at] != "}":
            before = self._at
            self._pair(path)
            self._skip()
            self._at += self._text[self._at : self._at + 1] == ","
            self._skip()
            if self._at == before:
                return
        self._at += 1
