"""Bytes to lines of cells and back: encodings, delimiters, line numbers, bombs, and cells that would be executed."""

import contextlib
import io
import zipfile
from datetime import UTC, date, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openpyxl import Workbook, load_workbook

from api.assets.bulk import sheets
from api.assets.bulk.columns import COLUMNS, CellError, judge_header, read_day, read_instant
from api.assets.bulk.sheets import SheetError, harmless, plain, read_sheet, written

TEXT = "serial,customer_name\nA1,卡赫\n"


def _workbook(*rows) -> bytes:
    workbook = Workbook()
    for row in rows:
        workbook.active.append(row)
    packed = io.BytesIO()
    workbook.save(packed)
    return packed.getvalue()


WORKBOOK = _workbook(["serial", "model"], ["A1", 5], ["A2", "x"])


@pytest.mark.parametrize(
    ("raw", "encoding", "found"),
    [
        (TEXT.encode(), None, "utf-8"),
        (TEXT.encode("utf-8-sig"), None, "utf-8-sig"),
        (TEXT.encode("utf-8-sig"), "utf-8", "utf-8"),
        (TEXT.encode("gb18030"), None, "gb18030"),
        (TEXT.encode("utf-16"), None, "utf-16"),
    ],
)
def test_encodings(raw, encoding, found) -> None:
    sheet = read_sheet(raw, "csv", encoding)
    assert (sheet.encoding, sheet.header, sheet.cells) == (found, ["serial", "customer_name"], [["A1", "卡赫"]])


@pytest.mark.parametrize(
    ("text", "delimiter"),
    [("a,b\n1,2\n", ","), ("a;b\n1;2\n", ";"), ("a\tb\n1\t2\n", "\t"), ("sep=;\r\na;b\r\n1;2\r\n", ";")],
)
def test_delimiters(text, delimiter) -> None:
    sheet = read_sheet(text.encode(), "csv")
    assert (sheet.delimiter, sheet.header, sheet.cells) == (delimiter, ["a", "b"], [["1", "2"]])


def test_lines_are_counted_as_an_editor_does() -> None:
    text = 'Serial,Dealer*\nA1,"Two\nlines"\n\n,,\nA2,"a ""quoted"" one"\nA3\n'
    sheet = read_sheet(text.encode(), "csv")
    assert sheet.header == ["serial", "dealer"]
    assert sheet.numbers == [2, 6, 7]
    assert sheet.cells == [["A1", "Two\nlines"], ["A2", 'a "quoted" one'], ["A3", ""]]
    assert read_sheet(b"sep=,\na\n1\n", "csv").numbers == [3]


def test_a_line_with_more_cells_than_columns_is_told() -> None:
    (problem,) = read_sheet(b"a,b\n1,2\n1,2,3\n", "csv").problems
    assert (problem.line, problem.value) == (3, "3")


@pytest.mark.parametrize(
    ("raw", "file_format", "line", "part"),
    [
        (b"", "csv", 0, "empty"),
        (b"\n\n,,\n", "csv", 0, "empty"),
        (b'a,b\n1,2\n1,"2\n', "csv", 3, "is not CSV"),
        (b"a\n" + b"x" * 200_000, "csv", 2, "is not CSV"),
        (b"a\n\xff\xfe\xfd", "csv", 2, "is not utf-8 nor gb18030"),
        (b"sep=|\na|b\n", "csv", 1, "delimiter"),
        (b"no zip at all", "xlsx", 0, "XLSX"),
        (b"PK\x05\x06" + b"\x00" * 18, "xlsx", 0, "XLSX"),
    ],
)
def test_what_is_no_sheet(raw, file_format, line, part) -> None:
    with pytest.raises(SheetError) as refused:
        read_sheet(raw, file_format)
    assert refused.value.problem.line == line
    assert part in refused.value.problem.message


def test_a_workbook_is_read_as_its_cells_say() -> None:
    raw = _workbook(
        ["serial", "installed_at", "sold_on", "batch", "firmware", "flag"],
        [123456789012.0, datetime(2026, 3, 1, 8, 30), date(2026, 2, 27), "007", 2.5, True],  # noqa: DTZ001 - as Excel has it
        [],
        ["B2"],
    )
    sheet = read_sheet(raw, "xlsx")
    assert sheet.numbers == [2, 4]
    assert sheet.cells[0] == ["123456789012", "2026-03-01T08:30:00", "2026-02-27", "007", "2.5", "true"]


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 10_000), st.binary(min_size=1, max_size=40)), min_size=1, max_size=5))
def test_a_damaged_workbook_is_read_or_refused(damages) -> None:
    raw = bytearray(WORKBOOK)
    for place, content in damages:
        raw[place % len(raw) : place % len(raw) + len(content)] = content
    with contextlib.suppress(SheetError):
        read_sheet(bytes(raw), "xlsx")


def test_a_bomb_is_not_unpacked() -> None:
    packed = io.BytesIO(_workbook(["serial"]))
    with zipfile.ZipFile(packed, "a", zipfile.ZIP_DEFLATED) as archive, archive.open("xl/bomb.xml", "w") as member:
        for _ in range(sheets.MOST_UNPACKED_BYTES // 2**24 + 1):
            member.write(bytes(2**24))
    raw = packed.getvalue()
    assert len(raw) < 2 * 2**20
    with pytest.raises(SheetError, match="unpacks to"):
        read_sheet(raw, "xlsx")


def test_a_sheet_that_says_it_is_enormous_is_read_to_its_bounds(monkeypatch) -> None:
    raw = _workbook(["serial"], ["A1"])
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    page = members["xl/worksheets/sheet1.xml"].decode()
    members["xl/worksheets/sheet1.xml"] = page.replace('ref="A1:A2"', 'ref="A1:XFD1048576"').encode()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    assert read_sheet(packed.getvalue(), "xlsx").cells == [["A1"]]
    monkeypatch.setattr(sheets, "MOST_LINES", 2)
    with pytest.raises(SheetError, match="more than 2 lines"):
        read_sheet(b"a\n1\n2\n3\n", "csv")
    with pytest.raises(SheetError, match="more than 2 lines"):
        read_sheet(_workbook(["a"], [1], [2], [3]), "xlsx")
    with pytest.raises(SheetError, match="columns"):
        read_sheet(",".join(["a"] * 65).encode(), "csv")


@given(st.text())
def test_what_is_made_harmless_can_be_had_back(cell: str) -> None:
    safe = harmless(cell)
    assert plain(safe) == cell
    assert not safe.startswith(("=", "+", "-", "@", "\t", "\r"))


@pytest.mark.parametrize("file_format", ["csv", "xlsx"])
def test_nothing_written_is_a_formula(file_format) -> None:
    row = ["=1+1", "+49 151", "-5", "@SUM(A1)", "'=x", 'two\nlines, "quoted"', -5.25, date(2026, 3, 1),
           datetime(2026, 3, 1, 8, tzinfo=UTC), None, "bell\x07"]  # fmt: skip
    raw = written(file_format, [f"c{n}" for n in range(len(row))], [row], "test")
    if file_format == "xlsx":
        cells = load_workbook(io.BytesIO(raw)).active[2]
        assert {cell.data_type for cell in cells} <= {"s", "inlineStr", "n"}
        assert cells[0].value == "'=1+1"
    assert read_sheet(raw, file_format).cells[0][:9] == [
        "=1+1", "+49 151", "-5", "@SUM(A1)", "'=x", 'two\nlines, "quoted"', "-5.25", "2026-03-01",
        "2026-03-01T08:00:00Z",
    ]  # fmt: skip


def test_days_and_instants() -> None:
    assert {read_day(text) for text in ("2026-03-01", "2026/3/1", "01.03.2026", "2026-03-01 00:00:00")} == {
        date(2026, 3, 1)
    }
    eight = datetime(2026, 3, 1, 8, tzinfo=UTC)
    assert {read_instant(t) for t in ("2026-03-01T08:00:00Z", "2026-03-01 08:00", "2026-03-01T10:00+02:00")} == {eight}
    assert read_instant("01.03.2026") == datetime(2026, 3, 1, tzinfo=UTC)
    for wrong in ("03/01/2026", "2026-02-30", "yesterday", "2026-03-01 08:00", "0000-01-01"):
        with pytest.raises(CellError):
            read_day(wrong)
    with pytest.raises(CellError):
        read_instant("0001-01-01T00:00+23:59")


@given(st.sampled_from(COLUMNS), st.text(max_size=60))
def test_any_cell_is_read_or_refused(column, text) -> None:
    with contextlib.suppress(CellError):
        column.read(text)


def test_a_header_is_judged_with_a_remedy() -> None:
    wrong = judge_header(["serail", "model", "model"], creating=True)
    assert {(problem.column, problem.message) for problem in wrong} == {
        ("serail", "is no column of this sheet"), ("model", "stands twice"), ("serial", "is missing"),
        ("installed_at", "is missing"),
    }  # fmt: skip
    assert wrong[0].remedy == "call it serial"
    assert judge_header(["serial"], creating=False) == []
