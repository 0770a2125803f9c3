"""`kind = "file"`."""

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from edge_agent.sources.payload.config import LinesConfig, parts_of


class FileConfig(LinesConfig):
    """`kind = "file"`: lines that another program appends to a file."""

    kind: Literal["file"]
    interval_s: float = Field(1.0, gt=0, le=86400, description="seconds between looks for new lines")
    path: str = Field(min_length=1, description="/var/log/press.csv; or several: /var/log/{serial}.csv, with * and ?")
    header: bool = Field(False, description="csv: the first line of each file names the columns")
    start: Literal["beginning", "end"] = Field("beginning", description="where to start in a file seen the first time")
    max_line_bytes: int = Field(64 * 1024, ge=16, le=16 * 1024 * 1024)

    @field_validator("path")
    @classmethod
    def _is_template(cls, path: str) -> str:
        parts_of(path)
        if path[-1] in "*?}":
            raise ValueError("must end in something fixed, like .csv; else rotated files would be read once more")
        if "[" in path:
            raise ValueError("can have * and ? and names in braces, and no [")
        return path

    @model_validator(mode="after")
    def _columns_are_known(self) -> Self:
        if self.header and self.format != "csv":
            raise ValueError('header is for format = "csv"')
        if self.format == "csv" and self.header == bool(self.columns):
            raise ValueError("csv needs either columns or header = true")
        return self

    def names_the_asset(self) -> list[str]:
        """The path may name it, too."""
        return [*super().names_the_asset(), *(["{serial} in the path"] if "serial" in parts_of(self.path) else [])]
