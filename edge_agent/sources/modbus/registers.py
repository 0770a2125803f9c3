"""Register maps: which requests read them, and what the answers mean. Pure."""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan

from edge_agent.sources.modbus.config import TABLES_OF_BITS, Order, Register, RegisterType

# The protocol's limits of one request.
MOST_REGISTERS = 125
MOST_BITS = 2000

_FORMATS: Mapping[RegisterType, str] = {
    "int16": ">h", "uint16": ">H", "int32": ">i", "uint32": ">I", "int64": ">q", "uint64": ">Q", "float32": ">f",
    "float64": ">d",
}  # fmt: skip


@dataclass(frozen=True)
class Block:
    """One request.

    Attributes:
        table: `holding`, `input`, `coil` or `discrete`.
        address: The first address.
        count: How many.
        registers: What is read by it.
    """

    table: str
    address: int
    count: int
    registers: Sequence[Register]


def blocks(registers: Sequence[Register], max_gap: int) -> list[Block]:
    """As few requests as possible: neighbours are read together, with up to `max_gap` unused addresses between.

    >>> [(b.address, b.count) for b in blocks([Register(metric=str(a), address=a) for a in (0, 1, 4, 20)], max_gap=2)]
    [(0, 5), (20, 1)]
    """
    made: list[Block] = []
    for register in sorted(registers, key=lambda register: (register.table, register.address)):
        last = made[-1] if made else None
        end = register.address + register.width
        if last is not None and last.table == register.table:
            most = MOST_BITS if register.table in TABLES_OF_BITS else MOST_REGISTERS
            gap = register.address - (last.address + last.count)
            count = max(last.count, end - last.address)
            if gap <= max_gap and count <= most:
                made[-1] = Block(last.table, last.address, count, [*last.registers, register])
                continue
        made.append(Block(register.table, register.address, register.width, [register]))
    return made


def value_of(register: Register, words: Sequence[int], byte_order: Order, word_order: Order) -> float | None:
    """What registers say, in the metric's unit; None where the device says that it has no value.

    Args:
        register: What stands there.
        words: Its registers of 16 bits, in the order of their addresses; or one bit.
        byte_order: The source's, where the register names none.
        word_order: The source's.
    """
    if register.value_type == "bool":
        raw: float = int(words[0])
    else:
        ordered = words if (register.word_order or word_order) == "big" else list(reversed(words))
        pack = ">H" if (register.byte_order or byte_order) == "big" else "<H"
        packed = b"".join(struct.pack(pack, word) for word in ordered)
        (raw,) = struct.unpack(_FORMATS[register.value_type], packed)
        if register.bit is not None:
            raw = int(raw) >> register.bit & 1
    if raw in register.none or isnan(raw):
        # Not a number is what devices put where a sensor is missing.
        return None
    return raw * register.scale + register.offset


def values_of(block: Block, words: Sequence[int], byte_order: Order, word_order: Order) -> dict[str, float]:
    """Value by metric of one answer."""
    values = {}
    for register in block.registers:
        start = register.address - block.address
        value = value_of(register, words[start : start + register.width], byte_order, word_order)
        if value is not None:
            values[register.metric] = value
    return values
