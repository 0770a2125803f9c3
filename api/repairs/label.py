"""Our own plain label for a parcel to us, where no carrier makes one."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

from reportlab.graphics.barcode.code128 import Code128
from reportlab.graphics.barcode.qr import QrCodeWidget
from reportlab.graphics.renderPDF import draw
from reportlab.graphics.shapes import Drawing
from reportlab.lib.pagesizes import A6
from reportlab.lib.units import mm
from reportlab.pdfgen.canvas import Canvas

_QR_MM = 30
_LONGEST_LINE = 48


def label_pdf(repair: Mapping[str, Any], number: str, to: Sequence[str]) -> bytes:
    """The label as PDF (A6), the same bytes for the same label.

    Args:
        repair: `repair_id`, `ticket_id`, `serial`.
        number: In the Code 128 barcode and, with the case, in the QR code.
        to: The workshop's address, line by line.
    """
    page = io.BytesIO()
    canvas = Canvas(page, pagesize=A6, invariant=1)
    canvas.setTitle(f"Label {number}")
    width, height = A6
    canvas.setFont("Helvetica-Bold", 13)
    canvas.drawString(8 * mm, height - 12 * mm, f"Repair {repair['repair_id']}")
    canvas.setFont("Helvetica", 10)
    lines = ["To:", *to, "", f"Machine: {repair['serial']}", f"Case: {repair['ticket_id']}"]
    for place, line in enumerate(lines):
        canvas.drawString(8 * mm, height - (20 + 5 * place) * mm, _printable(line))
    barcode = Code128(number, barHeight=18 * mm, barWidth=0.42 * mm, humanReadable=True)
    barcode.drawOn(canvas, (width - barcode.width) / 2, 14 * mm)
    code = QrCodeWidget(f"{number} case {repair['ticket_id']} {repair['serial']}")
    left, bottom, right, top = code.getBounds()
    size = _QR_MM * mm
    drawing = Drawing(size, size, transform=[size / (right - left), 0, 0, size / (top - bottom), 0, 0])
    drawing.add(code)
    draw(drawing, canvas, width - size - 6 * mm, 40 * mm)
    canvas.showPage()
    canvas.save()
    return page.getvalue()


def _printable(line: str) -> str:
    """What the standard fonts of PDF can show of a line."""
    return line[:_LONGEST_LINE].encode("cp1252", "replace").decode("cp1252")
