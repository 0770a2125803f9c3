"""Answers about sheets."""

from typing import Literal

from pydantic import Field

from api.assets.bulk.judging import Mode
from api.conventions.models import Answer


class SheetColumn(Answer):
    """A column of the sheet."""

    name: str
    description: str
    example: str
    required: bool = Field(description="whether a new machine needs it")


class LineProblem(Answer):
    """One thing that is wrong in a sheet."""

    line: int = Field(description="as whoever opens the file counts, from 1; 0: of the whole file")
    column: str = Field(description="empty: of the whole line")
    value: str = Field(description="what stands there, shortened")
    message: str
    remedy: str


class ImportReport(Answer):
    """What an import did, or would do."""

    dry_run: bool
    mode: Mode
    format: Literal["csv", "xlsx"]
    encoding: str = Field(description="by which the file was read; empty for XLSX")
    delimiter: str = Field(description="between cells; empty for XLSX")
    lines: int
    created: int
    updated: int
    unchanged: int
    customers_created: int
    sites_created: int
    problem_count: int = Field(description="0, or nothing is imported")
    problems: list[LineProblem] = Field(description="the first 1000; all of them as report=csv or xlsx of a dry run")
