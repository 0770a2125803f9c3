"""What our papers are made of: text in fonts that have its characters, tables, pictures, page numbers."""

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any
from xml.sax.saxutils import escape

from PIL import Image as Pixels
from PIL import ImageOps, UnidentifiedImageError
from reportlab.lib import colors
from reportlab.lib.enums import TA_RIGHT
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Flowable, Image, LongTable, Paragraph, SimpleDocTemplate, TableStyle

LATIN, LATIN_BOLD = "Helvetica", "Helvetica-Bold"
# Of Adobe's Asian font packs: viewers bring it along or take another of the same characters; nothing is embedded.
CHINESE = "STSong-Light"
# Between the margins of 18 mm and reportlab's own padding of a page's frame.
WIDTH = A4[0] - 36 * mm - 12
# A cell may not be higher than a page.
LONGEST_CELL = 600
PHOTO_PIXELS = 1200
GREY, LIGHT, INK = colors.HexColor("#6b7280"), colors.HexColor("#e5e7eb"), colors.HexColor("#111827")

PLAIN = ParagraphStyle("plain", fontName=LATIN, fontSize=9, leading=12, textColor=INK, splitLongWords=1)
SMALL = ParagraphStyle("small", parent=PLAIN, fontSize=8, leading=10.5)
LABEL = ParagraphStyle("label", parent=SMALL, textColor=GREY)
RIGHT = ParagraphStyle("right", parent=SMALL, alignment=TA_RIGHT)
TITLE = ParagraphStyle("title", parent=PLAIN, fontName=LATIN_BOLD, fontSize=18, leading=22)
SECTION = ParagraphStyle(
    "section",
    parent=PLAIN,
    fontName=LATIN_BOLD,
    fontSize=10.5,
    leading=14,
    spaceBefore=9,
    spaceAfter=3,
)


@dataclass(frozen=True)
class Picture:
    """A picture as it was sent."""

    name: str
    content: bytes


def register_fonts() -> None:
    """Make the Chinese font known to reportlab; again does nothing."""
    if CHINESE not in pdfmetrics.getRegisteredFontNames():
        pdfmetrics.registerFont(UnicodeCIDFont(CHINESE))


def paragraphs(words: str | None) -> list[Flowable]:
    """A paragraph for each line."""
    return [text(line, PLAIN, longest=None) for line in (words or "").splitlines() if line.strip()]


def text(said: object, style: ParagraphStyle, *, bold: bool = False, longest: int | None = LONGEST_CELL) -> Paragraph:
    """A paragraph whose characters are each in a font that has them."""
    words = "".join(char if char.isprintable() else " " for char in str(said))
    if longest is not None and len(words) > longest:
        words = words[: longest - 1] + "…"
    runs = [(chinese, "".join(chars)) for chinese, chars in groupby(words, key=_is_chinese)]
    marked = "".join(
        f'<font name="{CHINESE}">{escape(run)}</font>' if chinese else escape(run) for chinese, run in runs
    )
    if any(chinese for chinese, _ in runs):
        # Chinese has no spaces to break a line at.
        style = ParagraphStyle(f"{style.name}-chinese", parent=style, wordWrap="CJK")
    return Paragraph(f"<b>{marked}</b>" if bold else marked, style)


def _is_chinese(char: str) -> bool:
    """Whether a character is not in the Latin fonts, which hold what Windows-1252 holds."""
    try:
        char.encode("cp1252")
    except UnicodeEncodeError:
        return True
    return False


def heads(*titles: str, right_from: int = 99) -> list[Flowable]:
    """The head of a table; titles stand on the right from a place on."""
    right = ParagraphStyle("label-right", parent=LABEL, alignment=TA_RIGHT)
    return [text(title, right if place >= right_from else LABEL) for place, title in enumerate(titles)]


def table(rows: Sequence[Sequence[Flowable]], widths: Sequence[float], *, head: bool = True) -> LongTable:
    """A table that may go on over pages, with its head again on each."""
    made = LongTable([list(row) for row in rows], list(widths), repeatRows=1 if head else 0, splitInRow=1)
    made.hAlign = "LEFT"
    lines: list[Any] = [
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ("LEFTPADDING", (0, 0), (-1, -1), 0),
        ("RIGHTPADDING", (0, 0), (-1, -1), 4),
        ("TOPPADDING", (0, 0), (-1, -1), 2),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 3),
        ("LINEBELOW", (0, 0), (-1, -1), 0.4, LIGHT),
    ]
    if head:
        lines.append(("LINEBELOW", (0, 0), (-1, 0), 0.8, GREY))
    made.setStyle(TableStyle(lines))
    return made


def picture_of(picture: Picture, width: float, height: float) -> Flowable:
    """The picture, upright, within a box; words where it cannot be read."""
    try:
        with Pixels.open(io.BytesIO(picture.content)) as opened:
            upright = ImageOps.exif_transpose(opened) or opened
            upright.thumbnail((PHOTO_PIXELS, PHOTO_PIXELS))
            # What is transparent, e.g. around a signature, is paper.
            flat = Pixels.new("RGB", upright.size, "white")
            whole = upright.convert("RGBA")
            flat.paste(whole, mask=whole.getchannel("A"))
    except (UnidentifiedImageError, OSError, ValueError, Pixels.DecompressionBombError):
        return text(f"{picture.name}: cannot be shown", LABEL)
    target = io.BytesIO()
    flat.save(target, "JPEG", quality=80)
    target.seek(0)
    scale = min(width / flat.width, height / flat.height)
    image = Image(target, flat.width * scale, flat.height * scale)
    image.hAlign = "LEFT"
    return image


def numbered(title: str) -> type[Canvas]:
    """A canvas that writes `page n of m` at the foot, which it knows when all pages are drawn."""

    class Numbered(Canvas):
        def __init__(self, *given: Any, **named: Any) -> None:
            super().__init__(*given, **named)
            self._drawn: list[dict[str, Any]] = []

        def showPage(self) -> None:  # noqa: N802 - reportlab's name
            self._drawn.append(dict(self.__dict__))
            self._startPage()  # type: ignore[attr-defined] # reportlab's own recipe; its types leave it out

        def save(self) -> None:
            for number, page in enumerate(self._drawn, 1):
                self.__dict__.update(page)
                self.setFont(LATIN, 7.5)
                self.setFillColor(GREY)
                self.drawString(18 * mm + 6, 10 * mm, title)
                self.drawRightString(A4[0] - 18 * mm - 6, 10 * mm, f"Page {number} of {len(self._drawn)}")
                super().showPage()
            super().save()

    return Numbered


def paper_of(story: Iterable[Flowable], *, title: str, author: str) -> bytes:
    """A paper as PDF, A4; the same story gives the same bytes.

    Args:
        story: What stands on it; drawn up only when the fonts are known.
        title: Of the document, and at the foot of each page.
        author: Of the document.
    """
    register_fonts()
    target = io.BytesIO()
    document = SimpleDocTemplate(
        target,
        pagesize=A4,
        leftMargin=18 * mm,
        rightMargin=18 * mm,
        topMargin=16 * mm,
        bottomMargin=18 * mm,
        title=title,
        author=author,
        invariant=1,
    )
    document.build(list(story), canvasmaker=numbered(title))
    return target.getvalue()
