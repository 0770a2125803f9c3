"""Listens on a serial port, and opens it again when it went away."""

import os
from collections.abc import Iterator

from serial import Serial, SerialException

from edge_agent.sources.background import Background
from edge_agent.sources.payload.mapper import Mapper
from edge_agent.sources.payload.reader import MappedReader
from edge_agent.sources.payload.records import line_parser
from edge_agent.sources.serial_line.config import SerialConfig
from edge_agent.sources.source import Clock, Harvest, Source, SourceError

LISTEN_S = 0.5


class SerialReader(MappedReader):
    """One port.

    Args:
        config: The port and what its lines mean.
        clock: The clocks.
    """

    is_stream = True

    def __init__(self, config: SerialConfig, clock: Clock) -> None:
        self.name = config.name or config.kind
        self.interval_s = config.interval_s
        self._config = config
        self._clock = clock
        self._mapper = Mapper(config, self.name)
        self._parse = line_parser(config)
        self._port: Serial | None = None
        self._rest = b""
        # Whether what comes next, up to the end of the line, is left out.
        self._skips = False
        self._sends_from_s = 0.0

    def read(self) -> Iterator[Harvest | SourceError]:
        """Listen for half a second, or until lines come."""
        port = self._open()
        try:
            self._ask(port)
            # One byte or a timeout first, then whatever else is there.
            chunk = port.read(1)
            chunk += port.read(port.in_waiting) if chunk else b""
        except (SerialException, OSError) as error:
            raise SourceError(f"{self._config.device} went away: {_reason(error)}") from error
        lines, too_long = self._lines(chunk)
        if lines or too_long:
            now = self._clock.now()
            harvest = self._mapper.harvest((self._parse(line, {}) for line in lines), now)
            yield Harvest(harvest.rows, harvest.events, harvest.refused + too_long)

    def close(self) -> None:
        """Let go of the port."""
        if self._port is not None:
            self._port.close()
            self._port = None

    def _open(self) -> Serial:
        if self._port is None:
            config = self._config
            try:
                self._port = Serial(
                    config.device,
                    baudrate=config.baud_rate,
                    bytesize=config.data_bits,
                    parity=config.parity[0].upper(),
                    stopbits=config.stop_bits,
                    timeout=LISTEN_S,
                    write_timeout=LISTEN_S,
                    exclusive=True,
                )
            except (SerialException, OSError, ValueError) as error:
                raise SourceError(f"{config.device} cannot be opened: {_reason(error)}") from error
            self._rest = b""
            # A device that only answers begins each line when it is asked.
            self._skips = config.skip_first and config.send is None
            self._sends_from_s = self._clock.monotonic()
        return self._port

    def _ask(self, port: Serial) -> None:
        now_s = self._clock.monotonic()
        if self._config.send is not None and self._sends_from_s <= now_s:
            port.write(self._config.send.encode())
            self._sends_from_s = max(self._sends_from_s + self.interval_s, now_s)

    def _lines(self, chunk: bytes) -> tuple[list[str], int]:
        """The lines that are complete now, and how many were too long."""
        *ended, self._rest = (self._rest + chunk).replace(b"\r", b"\n").split(b"\n")
        too_long = 0
        lines: list[str] = []
        for line in ended:
            if self._skips:
                self._skips = False
            elif line.strip():
                lines.append(line.decode(errors="replace").strip())
        if len(self._rest) > self._config.max_line_bytes:
            self._rest = b""
            too_long += not self._skips
            self._skips = True
        return lines, too_long


def serial_source(config: SerialConfig, clock: Clock) -> Source:
    """A serial port as a source."""
    return Background(SerialReader(config, clock), clock)


def _reason(error: Exception) -> str:
    """Why, without the port's name once more."""
    number = getattr(error, "errno", None)
    return os.strerror(number) if number else str(error)
