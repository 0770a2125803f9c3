"""Draws the slip that lies in a parcel with old parts: A4, with a barcode of its number, and a line for each part."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from reportlab.graphics.barcode.code128 import Code128
from reportlab.lib.units import mm
from reportlab.platypus import Flowable, Spacer

from api.conventions.drawing import (
    LABEL,
    PLAIN,
    RIGHT,
    SMALL,
    TITLE,
    WIDTH,
    heads,
    paper_of,
    paragraphs,
    table,
    text,
)


def slip_pdf(slip: Mapping[str, Any], parts: Sequence[Mapping[str, Any]]) -> bytes:
    """The slip as PDF; the same slip gives the same bytes.

    Args:
        slip: Its row, with partner and warehouse by name.
        parts: Its old parts, in the order of their numbers.
    """
    number = f"RS-{slip['return_slip_id']}"
    author = str(slip["provider_name"] or "careloop")
    return paper_of(_story(slip, parts, number), title=f"Return slip {number}", author=author)


def _story(slip: Mapping[str, Any], parts: Sequence[Mapping[str, Any]], number: str) -> Iterator[Flowable]:
    yield text("Return slip for old parts", TITLE)
    yield text(f"{number}, {slip['opened_at']:%Y-%m-%d}", LABEL)
    yield Spacer(1, 3 * mm)
    yield Code128(number, barHeight=14 * mm, barWidth=0.42 * mm, humanReadable=True)
    yield Spacer(1, 7 * mm)
    pieces = sum(part["quantity"] - part["quantity_received"] for part in parts)
    pairs = [
        ("From", slip["provider_name"] or "the maker's own service"),
        ("To", f"{slip['warehouse_name']} ({slip['warehouse']})"),
        ("Parcel", f"{slip['carrier']}, {slip['tracking_number']}" if slip["carrier"] else "–"),
        ("Content", f"{len(parts)} lines, {pieces} pieces"),
    ]
    yield table(
        [[text(label, LABEL), text(said, SMALL)] for label, said in pairs], [24 * mm, WIDTH - 24 * mm], head=False
    )
    yield Spacer(1, 4 * mm)
    titles = heads("Old part", "Part", "Pieces", "Its serial number", "Taken out of", "Case, visit", "Received")
    widths = [18 * mm, 44 * mm, 14 * mm, 32 * mm, 32 * mm, WIDTH - 158 * mm, 18 * mm]
    yield table([titles, *(_line(part) for part in parts)], widths)
    yield Spacer(1, 4 * mm)
    yield from paragraphs(slip["note"])
    yield text("Put this slip into the parcel. Fasten the old part's number to each part.", PLAIN)


def _line(part: Mapping[str, Any]) -> list[Flowable]:
    case = f"{part['ticket_id']}, {part['visit_id']}" if part["ticket_id"] else f"–, {part['visit_id']}"
    return [
        text(part["old_part_id"], SMALL, bold=True),
        text(f"{part['sku']} {part['part_name']}", SMALL),
        text(part["quantity"] - part["quantity_received"], RIGHT),
        text(part["old_serial"] or "–", SMALL),
        text(part["serial"], SMALL),
        text(case, SMALL),
        text("☐", SMALL),
    ]
