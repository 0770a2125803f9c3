"""The report on paper, with what breaks layouts: Chinese, long words, forty lines, many photos, broken pictures."""

import io
from datetime import UTC, datetime, timedelta
from typing import Any

from PIL import Image
from pypdf import PdfReader

from api.conventions.drawing import Picture
from api.visits.paper import Paper
from api.visits.printing import draw
from api.visits.report_models import ReportContent

AT = datetime(2026, 7, 3, 8, tzinfo=UTC)
CHINESE = (
    "客户反映高压清洗机启动后没有压力，水泵发出异常噪音。现场检查发现水泵因缺水干转而磨损，"
    "密封圈老化并有漏水痕迹（型号：HD 5/15 C Plus）。"
)


def picture(colour: str, size: tuple[int, int] = (640, 480)) -> Picture:
    target = io.BytesIO()
    Image.new("RGB", size, colour).save(target, "JPEG")
    return Picture(f"{colour}.jpg", target.getvalue())


def entry(kind: str, code: str, **told: Any) -> dict[str, Any]:
    given = {
        "result": None,
        "value": None,
        "choice": None,
        "photo_file_id": None,
        "note": "",
        "fit": True,
        "misfit": None,
    }
    return {**given, "kind": kind, "code": code, **told}


def line(number: int, **told: Any) -> dict[str, Any]:
    given = {
        "kind": "part",
        "code": f"6.{number:03}-0",
        "description": f"Seal kit {number} 密封圈套件",
        "quantity": number,
    }
    sums = {"unit": "piece", "price_minor": 1250, "price_per": 1, "net_minor": 1250 * number}
    return {**given, **sums, "customer_minor": 1250 * number, "bearer": "", "reason": "", **told}


REPORT = ReportContent.model_validate(
    {
        "serial_found": "HD5-1",
        "diagnosis": {"symptom": "S1", "fault": "F1"},
        "findings": CHINESE,
        "work_done": "Pump changed.\nTested at 140 bar.",
        "in_warranty": False,
        "replaced": [{"component": "pump", "reason": "failure"}],
        "signed_by_name": "李娜 Li Na",
        "signature_file_id": 1,
        "solved": True,
        "outcome": "confirmed",
        "travel_minutes": 35,
    }
)


def frozen() -> dict[str, Any]:
    return {
        "bill": {
            "currency": "CNY",
            "lines": [line(1), line(2, kind="labour", description="Labour", unit="minute", price_per=60)],
            "net_minor": 3750,
            "tax_rate_bp": 1300,
            "tax_minor": 488,
            "gross_minor": 4238,
            "borne_minor": 0,
        },
        "warranty": {"on": "2026-07-03", "reason": "the warranty standard ended on 2026-06-30"},
        "asset_before": {"firmware": "2.0"},
        "asset_after": {"firmware": "2.1"},
        "made": [],
    }


def paper(**changes: Any) -> Paper:
    """A short report with everything in it once."""
    checks = [{"code": "voltage", "text": "Mains voltage 电源电压", "unit": "V", "minimum": 207, "maximum": 253}]
    steps = [{"code": f"s{number}", "text": f"Step {number} 检查", "kind": "tick"} for number in range(3)]
    progress = [
        entry("tip", "power"),
        entry("check", "voltage", result="pass", value=229.5),
        entry("step", "s0"),
        entry("step", "s1", result="not_applicable"),
        entry("step", "s2", fit=False, misfit="failed", note="seized"),
    ]
    part = {"sku": "PUMP", "quantity": 1, "kind": "used", "component": "pump", "serial_fitted": "N-1"}
    given: dict[str, Any] = {
        "head": {
            "serial": "HD5-1",
            "model": "HD-5",
            "model_name": "高压清洗机 Washer",
            "manufacturer": "Maker & Söhne <GmbH>",
            "site": "Main house",
            "customer": "北京国际酒店",
            "technician": "王伟",
            "provider": "Partner",
            "title": "No pressure",
            "description": "",
            "ticket_kind": "repair",
        },
        "visit": {
            "visit_id": 12,
            "ticket_id": 34,
            "time_zone": "Asia/Shanghai",
            "checked_in_at": AT,
            "work_began_at": AT + timedelta(minutes=10),
            "checked_out_at": AT + timedelta(hours=1),
            "progress": progress,
            "parts": [{**part, "old_part": "return_to_maker", "old_serial": "OLD-7"}],
        },
        "sop": {"tips": [{"code": "power", "text": "Unplug"}], "checks": checks, "steps": steps},
        "report": REPORT,
        "frozen": frozen(),
        "fault_texts": {"S1": "没有压力", "F1": "Pump worn"},
        "photos": (picture("teal"), picture("maroon", (300, 900))),
        "signature": picture("navy", (400, 120)),
        "printed_at": AT,
    }
    return Paper(**{**given, **changes})


def pages(content: bytes) -> list[str]:
    return [page.extract_text() for page in PdfReader(io.BytesIO(content)).pages]


def test_a_report_shows_everything_in_both_fonts() -> None:
    content = draw(paper())
    text = "\n".join(pages(content))
    for words in (
        "Service report",
        "Case 34, visit 12, 2026-07-03",
        "北京国际酒店",
        "王伟",
        "Maker & Söhne <GmbH>",
        "2026-07-03 16:00 CST",
        "没有压力",
        "229.5 V",
        "in order",
        "not applicable",
        "failed",
        "return to maker (OLD-7)",
        "12.50 / h",
        "42.38 CNY",
        "Solved: confirmed.",
        "李娜",
        "Page 1 of",
    ):
        assert words in text, words
    assert draw(paper()) == content


def test_long_texts_forty_lines_and_many_photos_go_on_over_pages() -> None:
    long = paper()
    report = long.report.model_copy(
        update={
            "findings": CHINESE * 40,
            "work_done": "x" * 9_000,
            "no_signature_reason": "",
            "warranty_note": CHINESE * 20,
        }
    )
    steps = [{"code": f"s{n}", "text": f"{n}. {CHINESE * 8}" if n % 7 == 0 else f"Step {n}"} for n in range(40)]
    bill = {**long.frozen["bill"], "lines": [line(number) for number in range(1, 41)], "borne_minor": 5}
    content = draw(
        paper(
            report=report,
            sop={**long.sop, "steps": steps},
            frozen={**long.frozen, "bill": bill},
            photos=tuple(picture("teal") for _ in range(9)),
        )
    )
    texts = pages(content)
    assert len(texts) > 6
    assert all(f"Page {number} of {len(texts)}" in text for number, text in enumerate(texts, 1))
    whole = "\n".join(texts)
    assert whole.count("To pay, CNY") >= 2, "the head of the bill stands on each of its pages"
    assert "Seal kit 40" in whole
    assert whole.count("x") >= 9_000, "nothing of what was written is lost"


def test_what_is_no_picture_is_named_and_what_was_not_signed_says_why() -> None:
    report = paper().report.model_copy(
        update={
            "signature_file_id": None,
            "no_signature_reason": "nobody there",
            "solved": False,
            "next_step": "mail_in",
        }
    )
    broken = Picture("broken.jpg", b"\xff\xd8\xff not a picture")
    unpaid = {**frozen(), "bill": None}
    text = "\n".join(pages(draw(paper(report=report, photos=(broken,), signature=None, frozen=unpaid))))
    for words in (
        "broken.jpg: cannot be shown",
        "Not signed: nobody there",
        "Not solved. Next: mail in.",
        "Nothing is",
    ):
        assert words in text, words
