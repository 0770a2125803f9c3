"""Draws a service report as PDF: A4, without logo, in a Latin font and a Chinese one where that is needed."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from reportlab.lib.units import mm
from reportlab.platypus import CondPageBreak, Flowable, KeepTogether, LongTable, Spacer, TableStyle

from api.conventions.drawing import (
    LABEL,
    PLAIN,
    RIGHT,
    SECTION,
    SMALL,
    TITLE,
    WIDTH,
    heads,
    paper_of,
    paragraphs,
    picture_of,
    table,
    text,
)
from api.visits.paper import Paper

PHOTO_WIDTH, PHOTO_HEIGHT = WIDTH / 2 - 3 * mm, 62 * mm
MOST_PHOTOS = 40


def draw(paper: Paper) -> bytes:
    """The report as PDF; the same paper gives the same bytes."""
    title = f"Service report {paper.visit['visit_id']}"
    return paper_of(_story(paper), title=title, author=str(paper.head["technician"]))


def _story(paper: Paper) -> Iterator[Flowable]:
    yield from _head(paper)
    yield from _findings(paper)
    yield from _procedure(paper)
    yield from _parts(paper)
    yield from _corrections(paper)
    yield from _warranty(paper)
    yield from _bill(paper)
    yield from _result(paper)
    yield from _photos(paper)
    yield KeepTogether(list(_signature(paper)))


# Sections -------------------------------------------------------------------------------------------


def _head(paper: Paper) -> Iterator[Flowable]:
    head, visit = paper.head, paper.visit
    case = f"Case {visit['ticket_id']}, " if visit["ticket_id"] else ""
    yield text("Service report", TITLE)
    yield text(f"{case}visit {visit['visit_id']}, {_day(paper)}", LABEL)
    yield Spacer(1, 4 * mm)
    maker = f"{head['manufacturer']} " if head["manufacturer"] else ""
    pairs = [
        ("Machine", f"{maker}{head['model_name']} ({head['model']})"),
        ("Serial number", _serial(paper)),
        ("Customer", head["customer"] or "–"),
        ("Site", head["site"] or "–"),
        ("Technician", head["technician"]),
        ("Service partner", head["provider"] or "–"),
        ("Arrived", _time(paper, "checked_in_at")),
        ("Work began", _time(paper, "work_began_at")),
        ("Left", _time(paper, "checked_out_at")),
        ("Travel", "–" if paper.report.travel_minutes is None else f"{paper.report.travel_minutes} min"),
    ]
    cells = [[text(label, LABEL), text(value, SMALL)] for label, value in pairs]
    rows = [[*cells[place], *cells[place + 1]] for place in range(0, len(cells), 2)]
    yield table(rows, [24 * mm, WIDTH / 2 - 24 * mm] * 2, head=False)


def _findings(paper: Paper) -> Iterator[Flowable]:
    head, report = paper.head, paper.report
    if head["title"]:
        yield from _section("Reported", [text(head["title"], PLAIN), *paragraphs(head["description"])])
    diagnosis = [
        [text(level.capitalize(), LABEL), text(f"{code}  {paper.fault_texts.get(code, '')}", SMALL)]
        for level, code in report.diagnosis.model_dump().items()
        if code is not None
    ]
    if diagnosis:
        yield from _section("Diagnosis", [table(diagnosis, [24 * mm, WIDTH - 24 * mm], head=False)])
    if report.findings:
        yield from _section("Findings", paragraphs(report.findings))
    if report.work_done:
        yield from _section("Work done", paragraphs(report.work_done))


def _procedure(paper: Paper) -> Iterator[Flowable]:
    last = {(entry["kind"], entry["code"]): entry for entry in paper.visit["progress"]}
    for title, kind, items in (
        ("Safety and site", "check", paper.sop["checks"]),
        ("Steps", "step", paper.sop["steps"]),
    ):
        rows = [
            [
                text(item["text"], SMALL),
                text(_said(item, last.get((kind, item["code"]))), SMALL),
                text(_verdict(last.get((kind, item["code"]))), SMALL),
            ]
            for item in items
        ]
        if rows:
            widths = [WIDTH - 84 * mm, 56 * mm, 28 * mm]
            yield from _section(title, [table([heads("What", "Found", "Result"), *rows], widths)])
    read = sum(kind == "tip" for kind, _ in last)
    if paper.sop["tips"]:
        yield text(f"{read} of {len(paper.sop['tips'])} safety tips were read before the work.", LABEL)


def _parts(paper: Paper) -> Iterator[Flowable]:
    rows = [
        [
            text(part["sku"], SMALL),
            text(str(part["quantity"]), RIGHT),
            text(part["kind"], SMALL),
            text(part["component"] or "", SMALL),
            text(part["serial_fitted"] or "", SMALL),
            text((part["old_part"] or "").replace("_", " ") + _in_brackets(part["old_serial"]), SMALL),
        ]
        for part in paper.visit["parts"]
    ]
    if rows:
        titles = heads("Part", "Pieces", "", "Component", "Serial number", "Old part")
        widths = [34 * mm, 14 * mm, 18 * mm, 32 * mm, 32 * mm, WIDTH - 130 * mm]
        yield from _section("Parts", [table([titles, *rows], widths)])
    replaced = [f"{one.component} ({one.reason})" for one in paper.report.replaced]
    if replaced:
        yield text(f"Replaced: {', '.join(replaced)}", SMALL)


def _corrections(paper: Paper) -> Iterator[Flowable]:
    before, after = paper.frozen["asset_before"], paper.frozen["asset_after"]
    rows = [
        [text(name, SMALL), text(_shown(before[name]), SMALL), text(_shown(value), SMALL)]
        for name, value in after.items()
    ]
    if rows:
        widths = [44 * mm, (WIDTH - 44 * mm) / 2, (WIDTH - 44 * mm) / 2]
        corrections = table([heads("Machine's record", "Was", "Is"), *rows], widths)
        yield from _section("Corrections", [corrections])


def _warranty(paper: Paper) -> Iterator[Flowable]:
    warranty, report = paper.frozen["warranty"], paper.report
    told = "in warranty" if report.in_warranty else "out of warranty"
    lines = [
        text(
            f"Treated as {told}. {warranty['reason'][:1].upper()}{warranty['reason'][1:]} (as of {warranty['on']}).",
            PLAIN,
        )
    ]
    if report.warranty_note:
        lines.append(text(report.warranty_note, PLAIN))
    if report.entitlements:
        redeemed = ", ".join(f"{one.quantity} × {one.name}" for one in report.entitlements)
        lines.append(text(f"Redeemed: {redeemed}", PLAIN))
    yield from _section("Warranty", lines)


def _bill(paper: Paper) -> Iterator[Flowable]:
    bill = paper.frozen["bill"]
    if bill is None:
        yield from _section("Charges", [text("Nothing is charged for this visit.", PLAIN)])
        return
    currency = bill["currency"]
    rows = [
        [
            text(line["description"] or line["code"] or line["kind"], SMALL),
            text(f"{line['quantity']} {_unit(line)}", RIGHT),
            text(_price(line), RIGHT),
            text(_money(line["net_minor"]), RIGHT),
            text(_money(line["customer_minor"]), RIGHT),
        ]
        for line in bill["lines"]
    ]
    titles = heads("What", "Quantity", "Price", "Amount", f"To pay, {currency}", right_from=1)
    widths = [WIDTH - 106 * mm, 26 * mm, 26 * mm, 26 * mm, 28 * mm]
    rate = bill["tax_rate_bp"] / 100
    sums = [
        [text("Net", LABEL), text(_money(bill["net_minor"]), RIGHT)],
        [text(f"Tax {rate:g} %", LABEL), text(_money(bill["tax_minor"]), RIGHT)],
        [text("To pay", SMALL, bold=True), text(f"{_money(bill['gross_minor'])} {currency}", RIGHT, bold=True)],
    ]
    if bill["borne_minor"]:
        sums.insert(0, [text("Borne by others", LABEL), text(_money(bill["borne_minor"]), RIGHT)])
    total = table(sums, [30 * mm, 34 * mm], head=False)
    total.hAlign = "RIGHT"
    yield from _section("Charges", [table([titles, *rows], widths)])
    yield KeepTogether([Spacer(1, 2 * mm), total])


def _result(paper: Paper) -> Iterator[Flowable]:
    report = paper.report
    lines: list[Flowable]
    if report.solved:
        lines = [text(f"Solved: {(report.outcome or 'done').replace('_', ' ')}.", PLAIN)]
    else:
        lines = [text(f"Not solved. Next: {(report.next_step or '').replace('_', ' ')}.", PLAIN)]
        if report.follow_up.note:
            lines += paragraphs(report.follow_up.note)
    yield from _section("Result", lines)


def _photos(paper: Paper) -> Iterator[Flowable]:
    images = [picture_of(photo, PHOTO_WIDTH, PHOTO_HEIGHT) for photo in paper.photos[:MOST_PHOTOS]]
    if not images:
        return
    rows = [images[place : place + 2] for place in range(0, len(images), 2)]
    if len(rows[-1]) == 1:
        rows[-1] = [rows[-1][0], text("", SMALL)]
    grid = LongTable(rows, [WIDTH / 2] * 2)
    grid.hAlign = "LEFT"
    grid.setStyle(TableStyle([("VALIGN", (0, 0), (-1, -1), "TOP"), ("LEFTPADDING", (0, 0), (-1, -1), 0)]))
    yield from _section("Photos", [grid])


def _signature(paper: Paper) -> Iterator[Flowable]:
    report = paper.report
    yield text("Customer", SECTION)
    if paper.signature is not None:
        yield picture_of(paper.signature, 60 * mm, 24 * mm)
        yield text(f"{report.signed_by_name}, {_day(paper)}", PLAIN)
    elif report.signature_file_id is not None:
        yield text(f"Signed by {report.signed_by_name}; the signature is file {report.signature_file_id}.", PLAIN)
    else:
        yield text(f"Not signed: {report.no_signature_reason}", PLAIN)


# Words ------------------------------------------------------------------------------------------------


def _serial(paper: Paper) -> str:
    found, known = paper.report.serial_found, paper.head["serial"]
    return known if found in {None, known} else f"{known} (on the plate: {found})"


def _day(paper: Paper) -> str:
    at: datetime = paper.visit["checked_in_at"] or paper.printed_at
    return f"{at.astimezone(ZoneInfo(paper.visit['time_zone'])):%Y-%m-%d}"


def _time(paper: Paper, name: str) -> str:
    at: datetime | None = paper.visit[name]
    return "–" if at is None else f"{at.astimezone(ZoneInfo(paper.visit['time_zone'])):%Y-%m-%d %H:%M %Z}"


def _said(item: dict[str, Any], entry: dict[str, Any] | None) -> str:
    if entry is None:
        return ""
    unit = f" {item['unit']}" if item.get("unit") else ""
    value = None if entry["value"] is None else f"{entry['value']:g}{unit}"
    photo = "photo" if entry["photo_file_id"] is not None else None
    return ", ".join(part for part in (value, entry["choice"], photo, entry["note"]) if part)


def _verdict(entry: dict[str, Any] | None) -> str:
    if entry is None:
        return "–"
    if entry["result"] == "not_applicable":
        return "not applicable"
    return "in order" if entry["fit"] else str(entry["misfit"])


def _unit(line: dict[str, Any]) -> str:
    return {"minute": "min", "km": "km"}.get(line["unit"], "")


def _price(line: dict[str, Any]) -> str:
    per = " / h" if line["price_per"] == 60 else ""
    return f"{_money(line['price_minor'])}{per}"


def _money(minor: int) -> str:
    return f"{minor / 100:,.2f}"


def _in_brackets(text: str | None) -> str:
    return f" ({text})" if text else ""


def _shown(value: object) -> str:
    return "–" if value is None else str(value)


def _section(title: str, content: Sequence[Flowable]) -> Iterator[Flowable]:
    # A title stands above some of what it is the title of, not alone at the foot of a page.
    yield CondPageBreak(28 * mm)
    yield text(title, SECTION)
    yield from content
