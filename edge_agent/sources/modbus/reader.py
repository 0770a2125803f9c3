"""Reads the units of one Modbus bus, one after the other."""

import logging
from collections.abc import Iterator, Mapping, Sequence

from pymodbus import FramerType, ModbusException
from pymodbus.client import ModbusSerialClient, ModbusTcpClient
from pymodbus.pdu import ModbusPDU

from edge_agent.sources.background import Background, Reader, Retry
from edge_agent.sources.modbus.config import TABLES_OF_BITS, ModbusConfig, ModbusRtuConfig, ModbusTcpConfig
from edge_agent.sources.modbus.registers import Block, blocks, values_of
from edge_agent.sources.payload.mapper import Alarms
from edge_agent.sources.payload.records import Record
from edge_agent.sources.source import Clock, Harvest, Row, Source, SourceError

ILLEGAL_ADDRESS = 2
# The protocol's exception codes in words.
REFUSALS = {
    1: "it does not know this function",
    2: "it has no such address",
    3: "it refuses the number of registers",
    4: "it failed inside",
    6: "it is busy",
    10: "the gateway has no path to it",
    11: "it does not answer the gateway",
}

# Every failure is told as a SourceError; pymodbus would log each a second time, in its own words.
logging.getLogger("pymodbus").setLevel(logging.CRITICAL)


class UnitError(Exception):
    """One unit did not answer as it should."""

    def __init__(self, text: str, *, no_answer: bool = False, no_address: bool = False) -> None:
        super().__init__(text)
        self.no_answer = no_answer
        self.no_address = no_address


class _Unit:
    """One device on the bus: what is asked of it, and when again after it did not answer."""

    def __init__(self, unit_id: int, serial: str, config: ModbusConfig) -> None:
        self.unit_id = unit_id
        self.serial = serial
        own = [register for register in config.registers if not register.unit_ids or unit_id in register.unit_ids]
        self.blocks = blocks(own, config.max_gap)
        self.retry = Retry(config.interval_s)
        self.asked_from_s = 0.0


class ModbusReader(Reader):
    """All units that share one connection or one serial port.

    Args:
        config: The bus, its units and their registers.
        clock: The clocks.
    """

    def __init__(self, config: ModbusConfig, clock: Clock) -> None:
        self.name = config.name or config.kind
        self.interval_s = config.interval_s
        self._config = config
        self._clock = clock
        self._units = [_Unit(unit_id, serial, config) for unit_id, serial in config.units().items()]
        self._alarms = Alarms(config.events)
        self._where, self._client = _client(config)

    def units_of(self, serial: str) -> Mapping[str, str]:
        """The registers' units."""
        return self._config.stated_units().get(serial, {})

    def serials(self) -> Sequence[str]:
        """All that have a unit id."""
        return [unit.serial for unit in self._units]

    def restore(self, memory: str) -> None:
        """Take back which events stand."""
        self._alarms.restore(memory)

    def memory(self) -> str | None:
        """Which events stand."""
        return self._alarms.memory()

    def read(self) -> Iterator[Harvest | SourceError]:
        """Ask every unit; one that does not answer is asked less often, so that it does not hold up the others."""
        now_s = self._clock.monotonic()
        errors: list[SourceError] = []
        answered = 0
        for unit in [unit for unit in self._units if unit.asked_from_s <= now_s]:
            self._connect()
            try:
                harvest = self._ask(unit)
            except UnitError as error:
                errors.append(SourceError(f"unit {unit.unit_id} ({unit.serial}) at {self._where}: {error}"))
                if error.no_answer:
                    # What it may answer late must not be taken for the next answer.
                    self.close()
                unit.asked_from_s = self._clock.monotonic() + (unit.retry.pause_s() if len(self._units) > 1 else 0.0)
                continue
            unit.retry.succeeded()
            answered += 1
            yield harvest
        if errors and not answered and len(errors) == len(self._units):
            raise errors[0] if len(errors) == 1 else SourceError("; ".join(str(error) for error in errors))
        yield from errors

    def close(self) -> None:
        """Close the connection or the port."""
        self._client.close()  # type: ignore[no-untyped-call] # pymodbus

    def _connect(self) -> None:
        try:
            if self._client.connected or self._client.connect():
                return
        except OSError as error:
            raise SourceError(f"{self._where} cannot be opened: {error}") from error
        raise SourceError(f"{self._where} cannot be reached")

    def _ask(self, unit: _Unit) -> Harvest:
        values: dict[str, float] = {}
        for block in list(unit.blocks):
            try:
                values |= self._read_block(unit, block)
            except UnitError as error:
                parts = blocks(block.registers, 0)
                if not error.no_address or len(parts) == 1:
                    raise
                # The device does not have the addresses between: from now on without them.
                at = unit.blocks.index(block)
                unit.blocks[at : at + 1] = parts
                for part in parts:
                    values |= self._read_block(unit, part)
        time_s = self._clock.now().timestamp()
        events = self._alarms.raised(unit.serial, time_s, Record(values, values))
        return Harvest([Row(unit.serial, time_s, values)] if values else [], events)

    def _read_block(self, unit: _Unit, block: Block) -> dict[str, float]:
        try:
            answer = self._request(unit, block)
        except ModbusException as error:
            raise UnitError(f"no answer within {self._config.timeout_s:g} s", no_answer=True) from error
        except OSError as error:
            raise UnitError(f"the connection broke: {error}", no_answer=True) from error
        asked = f"{block.table} {block.address}-{block.address + block.count - 1}"
        if answer.isError():
            code = answer.exception_code
            raise UnitError(
                f"asked for {asked}: {REFUSALS.get(code, f'exception {code}')}", no_address=code == ILLEGAL_ADDRESS
            )
        words = answer.bits[: block.count] if block.table in TABLES_OF_BITS else answer.registers
        if len(words) != block.count:
            raise UnitError(f"asked for {asked}, it answered {len(words)} values", no_answer=True)
        return values_of(block, words, self._config.byte_order, self._config.word_order)

    def _request(self, unit: _Unit, block: Block) -> ModbusPDU:
        client = self._client
        read = {
            "holding": client.read_holding_registers,
            "input": client.read_input_registers,
            "coil": client.read_coils,
            "discrete": client.read_discrete_inputs,
        }[block.table]
        return read(block.address, count=block.count, device_id=unit.unit_id)


def modbus_source(config: ModbusConfig, clock: Clock) -> Source:
    """A Modbus bus as a source."""
    return Background(ModbusReader(config, clock), clock)


def _client(config: ModbusConfig) -> tuple[str, ModbusTcpClient | ModbusSerialClient]:
    if isinstance(config, ModbusTcpConfig):
        framer = FramerType.RTU if config.framer == "rtu" else FramerType.SOCKET
        return f"{config.host}:{config.port}", ModbusTcpClient(
            config.host, port=config.port, framer=framer, timeout=config.timeout_s, retries=config.retries
        )
    if not isinstance(config, ModbusRtuConfig):
        raise TypeError(f"{config.kind} is no Modbus")
    return config.device, ModbusSerialClient(
        config.device,
        baudrate=config.baud_rate,
        parity=config.parity[0].upper(),
        stopbits=config.stop_bits,
        timeout=config.timeout_s,
        retries=config.retries,
    )
