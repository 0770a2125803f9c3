"""What stands on a service report."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from api.conventions.drawing import Picture
from api.visits.report_models import ReportContent


@dataclass(frozen=True)
class Paper:
    """Everything that a service report shows.

    Attributes:
        head: Machine, customer, technician (`papers` of queries.sql).
        visit: With its times, progress and parts.
        sop: The procedure with `tips`, `checks`, `steps`.
        report: As the technician wrote it.
        frozen: Bill, warranty, corrections, what the next step has made.
        fault_texts: Of the diagnosis' codes.
        photos: In the order shown.
        signature: The customer's.
        printed_at: When.
    """

    head: Mapping[str, Any]
    visit: Mapping[str, Any]
    sop: Mapping[str, Any]
    report: ReportContent
    frozen: Mapping[str, Any]
    fault_texts: Mapping[str, str]
    photos: tuple[Picture, ...]
    signature: Picture | None
    printed_at: datetime
