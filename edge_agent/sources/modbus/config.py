"""`kind = "modbus_tcp"` and `kind = "modbus_rtu"`: the bus, the units on it, and their registers."""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from edge_agent.sources.payload.config import AssetMapping, EventField, MetricName, Part

RegisterType = Literal["bool", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64"]
Order = Literal["big", "little"]
UnitId = Annotated[int, Field(ge=0, le=247)]

# Registers of 16 bits that a value takes.
WIDTHS: dict[RegisterType, int] = {
    "bool": 1, "int16": 1, "uint16": 1, "int32": 2, "uint32": 2, "float32": 2, "int64": 4, "uint64": 4, "float64": 4,
}  # fmt: skip
TABLES_OF_BITS = frozenset({"coil", "discrete"})


class Register(Part):
    """One value: where it stands, what it means: `value * scale + offset`."""

    metric: MetricName
    address: int = Field(ge=0, le=65535, description="as on the wire, from 0: what manuals call 40001 is holding 0")
    table: Literal["holding", "input", "coil", "discrete"] = "holding"
    type: RegisterType | None = Field(None, description="uint16 when left out; bool for coils and discrete inputs")
    bit: int | None = Field(None, ge=0, le=15, description="one bit of a register as 0 or 1; 0 is the lowest")
    byte_order: Order | None = Field(None, description="inside a register; the source's when left out")
    word_order: Order | None = Field(None, description="of the registers of one value; the source's when left out")
    scale: float = 1.0
    offset: float = 0.0
    unit: str = Field("", max_length=32, description="unit after scale and offset, e.g. bar or Cel")
    none: Sequence[float] = Field((), description="raw values that mean: no sensor, e.g. 32767")
    unit_ids: Sequence[UnitId] = Field((), description="only on these units; on all when left out")

    @model_validator(mode="after")
    def _fits_its_table(self) -> Self:
        if self.table in TABLES_OF_BITS:
            if self.type not in {None, "bool"} or self.bit is not None:
                raise ValueError(f"a {self.table} is one bit; leave type and bit out")
        elif self.type == "bool":
            raise ValueError("a register of 16 bits is no bool; name the bit instead")
        elif self.bit is not None and self.width != 1:
            raise ValueError("bit is for one register of 16 bits; leave type out")
        if self.address + self.width > 65536:
            raise ValueError(f"a {self.value_type} at {self.address} goes beyond the last register, 65535")
        return self

    @property
    def value_type(self) -> RegisterType:
        """The type, with its default."""
        return self.type or ("bool" if self.table in TABLES_OF_BITS else "uint16")

    @property
    def width(self) -> int:
        """How many addresses it takes."""
        return WIDTHS[self.value_type]


class ModbusConfig(AssetMapping):
    """What both kinds have."""

    unit_id: UnitId = Field(1, description="with serial: the unit's id")
    registers: Sequence[Register] = Field(min_length=1)
    events: Sequence[EventField] = Field((), description="`at` names one of the registers' metrics")
    byte_order: Order = "big"
    word_order: Order = "big"
    max_gap: int = Field(8, ge=0, le=120, description="unused registers read along to save a request")
    timeout_s: float = Field(1.0, gt=0, le=60)
    retries: int = Field(1, ge=0, le=10, description="requests again when no answer came")

    @model_validator(mode="after")
    def _names_units(self) -> Self:
        if (self.serial is None) == (not self.serials):
            raise ValueError("set serial (and unit_id), or serials with a serial number by unit id")
        for text in self.serials:
            if not text.isdecimal() or int(text) > 247:
                raise ValueError(f"serials: {text!r} is no unit id (0-247)")
        units = self.units()
        for register in self.registers:
            unknown = [unit_id for unit_id in register.unit_ids if unit_id not in units]
            if unknown:
                raise ValueError(f"{register.metric}: no unit {unknown[0]} has a serial number")
        return self

    @model_validator(mode="after")
    def _metrics_are_unique(self) -> Self:
        seen: set[tuple[int, str]] = set()
        for unit_id, register in product(self.units(), self.registers):
            if not register.unit_ids or unit_id in register.unit_ids:
                if (unit_id, register.metric) in seen:
                    raise ValueError(f"unit {unit_id} has {register.metric!r} twice")
                seen.add((unit_id, register.metric))
        return self

    @model_validator(mode="after")
    def _events_are_of_metrics(self) -> Self:
        metrics = {register.metric for register in self.registers}
        for event in self.events:
            for at in (event.at, *event.detail.values()):
                if at not in metrics:
                    raise ValueError(f"events: {at!r} is none of the registers' metrics")
        return self

    def stated_units(self) -> Mapping[str | None, Mapping[str, str]]:
        """Of each unit on the bus."""
        return {
            serial: {
                register.metric: register.unit
                for register in self.registers
                if register.unit and (not register.unit_ids or unit_id in register.unit_ids)
            }
            for unit_id, serial in self.units().items()
        }

    def units(self) -> dict[int, str]:
        """Serial number by unit id."""
        return {self.unit_id: self.serial} if self.serial else {int(unit): name for unit, name in self.serials.items()}


class ModbusTcpConfig(ModbusConfig):
    """`kind = "modbus_tcp"`."""

    kind: Literal["modbus_tcp"]
    host: str = Field(min_length=1)
    port: int = Field(502, ge=1, le=65535)
    framer: Literal["tcp", "rtu"] = Field("tcp", description="rtu for gateways that only pass bytes on")


class ModbusRtuConfig(ModbusConfig):
    """`kind = "modbus_rtu"`."""

    kind: Literal["modbus_rtu"]
    device: str = Field(min_length=1, description="serial port, e.g. /dev/ttyUSB0")
    baud_rate: int = Field(9600, ge=300, le=4_000_000)
    parity: Literal["none", "even", "odd"] = "even"
    stop_bits: Literal[1, 2] = 1
