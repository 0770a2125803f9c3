"""`kind = "exec"`."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from edge_agent.sources.payload.config import LinesConfig


class ExecConfig(LinesConfig):
    """`kind = "exec"`: a program, started at every interval."""

    kind: Literal["exec"]
    command: Annotated[Sequence[str], Field(min_length=1)] = Field(
        description="the program and its arguments; there is no shell"
    )
    output: Literal["document", "lines"] = Field(
        "lines", description="document: all it prints is one JSON; lines: each line by itself"
    )
    timeout_s: float = Field(30.0, gt=0, le=3600, description="then it is killed, with all it has started")
    max_bytes: int = Field(1024 * 1024, ge=1, le=64 * 1024 * 1024, description="most that it may print")
