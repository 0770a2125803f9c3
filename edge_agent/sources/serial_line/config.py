"""`kind = "serial"`."""

from typing import Literal

from pydantic import Field

from edge_agent.sources.payload.config import LinesConfig


class SerialConfig(LinesConfig):
    """`kind = "serial"`: a device that sends lines by itself, or one for each `send`."""

    kind: Literal["serial"]
    device: str = Field(min_length=1, description="serial port, e.g. /dev/ttyUSB0")
    baud_rate: int = Field(9600, ge=50, le=4_000_000)
    data_bits: Literal[7, 8] = 8
    parity: Literal["none", "even", "odd"] = "none"
    stop_bits: Literal[1, 2] = 1
    send: str | None = Field(None, description='asked at every interval, e.g. "READ?\\r\\n"; without it, only listen')
    skip_first: bool = Field(True, description="the first line after opening may be the rest of one; leave it out")
    max_line_bytes: int = Field(4096, ge=16, le=1024 * 1024)

    @property
    def comes_by_itself(self) -> bool:
        """When the device is not asked."""
        return self.send is None
