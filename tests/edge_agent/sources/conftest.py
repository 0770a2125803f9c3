"""Real counterparts of the sources: pymodbus's own servers, pseudo terminals, an HTTP server."""

import asyncio
import os
import pty
import select
import threading
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import TypeAdapter
from pymodbus.framer import FramerType
from pymodbus.server import ModbusSerialServer, ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from careloop.stack.ports import free_port
from edge_agent.sources.kinds import AnySource, build_source
from edge_agent.sources.source import Clock, Harvest, Source, SourceError

PATIENCE_S = 60.0
CLOCK = Clock(lambda: datetime.now(UTC), time.monotonic)


class Polled:
    """What the agent would get from a source, asked again and again."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.rows: list[Any] = []
        self.events: list[Any] = []
        self.errors: list[str] = []
        self.refused = 0

    def once(self) -> Harvest:
        try:
            harvest = self.source.poll(datetime.now(UTC))
        except SourceError as error:
            self.errors.append(str(error))
            return Harvest()
        self.rows += harvest.rows
        self.events += harvest.events
        self.refused += harvest.refused
        return harvest

    def store(self) -> str | None:
        """As the agent's commit does."""
        checkpoint = self.source.checkpoint()
        self.source.confirm()
        return checkpoint

    def until(self, true: Callable[["Polled"], object]) -> "Polled":
        deadline = time.monotonic() + PATIENCE_S
        while not true(self):
            assert time.monotonic() < deadline, f"rows {self.rows}, errors {self.errors}"
            self.once()
            time.sleep(0.01)
        return self

    @property
    def values(self) -> dict[str, dict[str, float]]:
        """The last values by serial."""
        found: dict[str, dict[str, float]] = {}
        for row in self.rows:
            found.setdefault(row.serial, {}).update(row.values)
        return found


@pytest.fixture
def make() -> Iterator[Callable[..., Source]]:
    """A source of its table in the configuration, not yet open."""
    sources: list[Source] = []

    def build(**table: Any) -> Source:
        sources.append(build_source(TypeAdapter(AnySource).validate_python(table), CLOCK))
        return sources[-1]

    yield build
    for source in sources:
        source.close()


@pytest.fixture
def opened(make) -> Callable[..., Polled]:
    """A source of its table, open."""

    def build(checkpoint: str | None = None, **table: Any) -> Polled:
        source = make(**table)
        source.open(checkpoint, datetime.now(UTC))
        return Polled(source)

    return build


class ModbusServer:
    """pymodbus's own server, in a thread."""

    def __init__(self, make_server: Callable[..., Any], devices: list[SimDevice]) -> None:
        self.requests: list[tuple[int, int, int, int]] = []
        self.silent_units: set[int] = set()
        self._make_server = make_server
        self._devices = devices
        self._loop = asyncio.new_event_loop()
        self._thread: threading.Thread | None = None
        self._server: Any = None

    def start(self) -> None:
        ready = threading.Event()
        self._loop = asyncio.new_event_loop()

        async def serve() -> None:
            self._server = self._make_server(self._devices, trace_pdu=self._trace, trace_packet=self._keep_silent)
            await self._server.serve_forever(background=True)
            ready.set()
            await self._server.serving

        def run() -> None:
            with suppress(asyncio.CancelledError):
                self._loop.run_until_complete(serve())

        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()
        assert ready.wait(PATIENCE_S)

    def _trace(self, sending: bool, pdu: Any) -> Any:
        if not sending:
            self.requests.append((pdu.dev_id, pdu.function_code, pdu.address, pdu.count))
        return pdu

    def _keep_silent(self, sending: bool, packet: bytes) -> bytes:
        return b"" if sending and packet[0] in self.silent_units else packet

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self._server.shutdown(), self._loop).result(PATIENCE_S)
        if self._thread:
            self._thread.join(PATIENCE_S)


def device(unit_id: int, **tables: list[SimData]) -> SimDevice:
    return SimDevice(
        unit_id,
        simdata=(
            tables.get("coil") or [SimData(9000, values=[False], datatype=DataType.BITS)],
            tables.get("discrete") or [SimData(9000, values=[False], datatype=DataType.BITS)],
            tables.get("holding") or [SimData(9000, values=0, datatype=DataType.UINT16)],
            tables.get("input") or [SimData(9000, values=0, datatype=DataType.UINT16)],
        ),
    )


@pytest.fixture
def modbus_tcp() -> Iterator[Callable[..., tuple[int, ModbusServer]]]:
    servers: list[ModbusServer] = []

    def start(*devices: SimDevice, framer: FramerType = FramerType.SOCKET) -> tuple[int, ModbusServer]:
        port = free_port()
        servers.append(
            ModbusServer(
                lambda devices, **words: ModbusTcpServer(
                    devices, address=("127.0.0.1", port), framer=framer, ignore_missing_devices=True, **words
                ),
                list(devices),
            )
        )
        servers[-1].start()
        return port, servers[-1]

    yield start
    for server in servers:
        server.stop()


@contextmanager
def _wire() -> Iterator[tuple[str, str]]:
    """Two pseudo terminals, and what is written to one is read from the other."""
    pairs = [pty.openpty(), pty.openpty()]
    for _master, slave in pairs:
        tty.setraw(slave)
    (left, left_end), (right, right_end) = pairs
    stop_read, stop_write = os.pipe()

    def carry() -> None:
        while True:
            ready, _, _ = select.select([left, right, stop_read], [], [])
            if stop_read in ready:
                return
            for end, other in ((left, right), (right, left)):
                if end in ready:
                    os.write(other, os.read(end, 4096))

    thread = threading.Thread(target=carry, daemon=True)
    thread.start()
    try:
        yield os.ttyname(left_end), os.ttyname(right_end)
    finally:
        os.write(stop_write, b"x")
        thread.join(PATIENCE_S)
        for descriptor in (left, left_end, right, right_end, stop_read, stop_write):
            os.close(descriptor)


@pytest.fixture
def modbus_rtu() -> Iterator[Callable[..., tuple[str, ModbusServer]]]:
    with _wire() as (ours, theirs):
        servers: list[ModbusServer] = []

        def start(*devices: SimDevice) -> tuple[str, ModbusServer]:
            servers.append(
                ModbusServer(
                    lambda devices, **words: ModbusSerialServer(
                        devices,
                        framer=FramerType.RTU,
                        port=theirs,
                        baudrate=19200,
                        ignore_missing_devices=True,
                        **words,
                    ),
                    list(devices),
                )
            )
            servers[-1].start()
            return ours, servers[-1]

        yield start
        for server in servers:
            server.stop()


class Terminal:
    """A serial device: what is written to `write` comes from the port `name`."""

    def __init__(self) -> None:
        self._master, self._slave = pty.openpty()
        tty.setraw(self._slave)
        self.name = os.ttyname(self._slave)

    def write(self, text: str | bytes) -> None:
        os.write(self._master, text.encode() if isinstance(text, str) else text)

    def read(self) -> bytes:
        return os.read(self._master, 4096)

    def unplug(self) -> None:
        for descriptor in (self._master, self._slave):
            with suppress(OSError):
                os.close(descriptor)


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    terminal = Terminal()
    yield terminal
    terminal.unplug()
