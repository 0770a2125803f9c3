"""Modbus against pymodbus's own servers, which encode every type by themselves."""

import pytest
from pymodbus.framer import FramerType
from pymodbus.simulator import DataType, SimData

from edge_agent.sources.modbus.config import Register
from edge_agent.sources.modbus.registers import blocks, value_of
from tests.edge_agent.sources.conftest import device


def test_every_type_is_read_as_the_server_wrote_it(modbus_tcp, opened):
    port, server = modbus_tcp(
        device(
            3,
            holding=[
                SimData(0, values=-2, datatype=DataType.INT16),
                SimData(1, values=65535, datatype=DataType.UINT16),
                SimData(2, values=-70000, datatype=DataType.INT32),
                SimData(4, values=4000000000, datatype=DataType.UINT32),
                SimData(6, values=-(2**40), datatype=DataType.INT64),
                SimData(10, values=98.5, datatype=DataType.FLOAT32),
                SimData(12, values=-1.25e100, datatype=DataType.FLOAT64),
                SimData(16, values=0b1000_0000_0000_0101, datatype=DataType.UINT16),
            ],
            input=[SimData(7, values=2**40, datatype=DataType.UINT64)],
            coil=[SimData(5, values=[True, False, True], datatype=DataType.BITS)],
            discrete=[SimData(0, values=[False, True], datatype=DataType.BITS)],
        )
    )
    registers = [
        {"metric": "i16", "address": 0, "type": "int16", "scale": 0.1, "offset": 5, "unit": "Cel"},
        {"metric": "u16", "address": 1},
        {"metric": "i32", "address": 2, "type": "int32"},
        {"metric": "u32", "address": 4, "type": "uint32"},
        {"metric": "i64", "address": 6, "type": "int64"},
        {"metric": "f32", "address": 10, "type": "float32", "unit": "bar"},
        {"metric": "f64", "address": 12, "type": "float64"},
        {"metric": "bit0", "address": 16, "bit": 0},
        {"metric": "bit1", "address": 16, "bit": 1},
        {"metric": "bit15", "address": 16, "bit": 15},
        {"metric": "u64", "address": 7, "type": "uint64", "table": "input"},
        {"metric": "pump", "address": 5, "table": "coil"},
        {"metric": "valve", "address": 7, "table": "coil"},
        {"metric": "door", "address": 1, "table": "discrete"},
    ]
    polled = opened(
        kind="modbus_tcp", host="127.0.0.1", port=port, serial="KW-1", unit_id=3, interval_s=60, registers=registers
    )
    values = polled.until(lambda p: p.rows).values["KW-1"]
    assert values == pytest.approx(
        {
            "i16": 4.8, "u16": 65535, "i32": -70000, "u32": 4e9, "i64": -(2.0**40), "f32": 98.5, "f64": -1.25e100,
            "bit0": 1, "bit1": 0, "bit15": 1, "u64": 2.0**40, "pump": 1, "valve": 1, "door": 1,
        }
    )  # fmt: skip
    # Function codes 1-4, each once: fourteen values in four requests.
    assert sorted(request[1:] for request in server.requests) == [(1, 5, 3), (2, 1, 1), (3, 0, 17), (4, 7, 4)]
    assert polled.source.units_of("KW-1") == {"i16": "Cel", "f32": "bar"}
    assert list(polled.source.serials()) == ["KW-1"]


@pytest.mark.parametrize(
    ("byte_order", "word_order", "words"),
    [
        ("big", "big", [0x1122, 0x3344]),
        ("big", "little", [0x3344, 0x1122]),
        ("little", "big", [0x2211, 0x4433]),
        ("little", "little", [0x4433, 0x2211]),
    ],
)
def test_the_four_orders_of_bytes_give_the_same_number(byte_order, word_order, words):
    plain = Register(metric="m", address=0, type="uint32")
    own = Register(metric="m", address=0, type="uint32", byte_order=byte_order, word_order=word_order)
    assert value_of(plain, words, byte_order, word_order) == 0x11223344
    assert value_of(own, words, "big", "big") == 0x11223344


def test_a_raw_value_that_means_no_sensor_is_no_reading():
    register = Register(metric="m", address=0, type="int16", none=[-32768])
    assert value_of(register, [0x8000], "big", "big") is None
    assert value_of(register, [0x7FFF], "big", "big") == 32767
    measured = Register(metric="m", address=0, type="float32")
    assert value_of(measured, [0x7FC0, 0], "big", "big") is None


def test_requests_stay_within_the_protocols_limits():
    registers = [Register(metric=str(n), address=n) for n in range(300)]
    assert [(block.address, block.count) for block in blocks(registers, 0)] == [(0, 125), (125, 125), (250, 50)]
    coils = [Register(metric=str(n), address=n, table="coil") for n in range(2001)]
    assert [block.count for block in blocks(coils, 0)] == [2000, 1]
    wide = [Register(metric=str(n), address=n * 2, type="float32") for n in range(63)]
    assert [(block.address, block.count) for block in blocks(wide, 0)] == [(0, 124), (124, 2)]


def test_overlapping_registers_are_read_once():
    whole = Register(metric="whole", address=10, type="uint32")
    high = Register(metric="high", address=10)
    (block,) = blocks([whole, high], 0)
    assert (block.address, block.count) == (10, 2)


def test_a_device_without_the_addresses_between_is_read_without_them(modbus_tcp, opened):
    port, server = modbus_tcp(
        device(
            1,
            holding=[
                SimData(0, values=11, datatype=DataType.UINT16),
                SimData(5, values=22, datatype=DataType.UINT16),
            ],
        )
    )
    registers = [{"metric": "a", "address": 0}, {"metric": "b", "address": 5}]
    polled = opened(kind="modbus_tcp", host="127.0.0.1", port=port, serial="KW-1", interval_s=0.05, registers=registers)
    polled.until(lambda p: len(p.rows) >= 2)
    assert polled.values == {"KW-1": {"a": 11, "b": 22}}
    assert not polled.errors
    asked = [request[2:] for request in server.requests]
    assert asked[:3] == [(0, 6), (0, 1), (5, 1)]
    assert (0, 6) not in asked[1:]


def test_several_units_of_different_kinds_share_a_bus_and_a_dead_one_holds_up_nobody(modbus_rtu, opened):
    def meter(unit_id: int, value: float):
        return device(unit_id, input=[SimData(0, values=value, datatype=DataType.FLOAT32)])

    port, server = modbus_rtu(
        meter(1, 1.5), meter(2, 2.5), device(9, holding=[SimData(40, values=77, datatype=DataType.UINT16)])
    )
    server.silent_units.add(5)
    polled = opened(
        kind="modbus_rtu",
        device=port,
        baud_rate=19200,
        parity="none",
        interval_s=0.1,
        timeout_s=0.3,
        retries=0,
        serials={"1": "KW-1", "2": "KW-2", "5": "KW-5", "9": "KW-9"},
        registers=[
            {"metric": "power_kw", "table": "input", "address": 0, "type": "float32", "unit_ids": [1, 2, 5]},
            {"metric": "starts", "address": 40, "unit_ids": [9]},
        ],
    )
    polled.until(lambda p: len([row for row in p.rows if row.serial == "KW-9"]) >= 8)
    assert polled.values == {"KW-1": {"power_kw": 1.5}, "KW-2": {"power_kw": 2.5}, "KW-9": {"starts": 77}}
    assert set(polled.errors) == {f"unit 5 (KW-5) at {port}: no answer within 0.3 s"}
    # Asked ever less often.
    assert len(polled.errors) < 6


def test_a_server_that_goes_away_is_told_and_found_again(modbus_tcp, opened):
    port, server = modbus_tcp(device(1, holding=[SimData(0, values=11, datatype=DataType.UINT16)]))
    polled = opened(
        kind="modbus_tcp", host="127.0.0.1", port=port, serial="KW-1", interval_s=0.1, timeout_s=0.5, retries=0,
        registers=[{"metric": "a", "address": 0}],
    )  # fmt: skip
    polled.until(lambda p: p.rows)
    server.stop()
    polled.until(lambda p: p.errors)
    assert f"127.0.0.1:{port}" in polled.errors[0]
    before = len(polled.rows)
    server.start()
    polled.until(lambda p: len(p.rows) > before + 3)


def test_a_gateway_that_only_passes_bytes_on_is_spoken_to_in_rtu_frames(modbus_tcp, opened):
    port, _ = modbus_tcp(device(7, holding=[SimData(0, values=11, datatype=DataType.UINT16)]), framer=FramerType.RTU)
    polled = opened(
        kind="modbus_tcp", host="127.0.0.1", port=port, framer="rtu", serial="KW-1", unit_id=7,
        registers=[{"metric": "a", "address": 0}],
    )  # fmt: skip
    assert polled.until(lambda p: p.rows).values == {"KW-1": {"a": 11}}


def test_what_the_device_refuses_is_said_in_words(modbus_tcp, opened):
    port, _ = modbus_tcp(device(1, holding=[SimData(0, values=11, datatype=DataType.UINT16)]))
    polled = opened(
        kind="modbus_tcp", host="127.0.0.1", port=port, serial="KW-1", registers=[{"metric": "a", "address": 300}]
    )
    polled.until(lambda p: p.errors)
    assert "asked for holding 300-300: it has no such address" in polled.errors[0]


def test_a_fault_code_becomes_an_event_once(modbus_tcp, opened):
    port, _ = modbus_tcp(
        device(1, holding=[SimData(0, values=[7, 3], datatype=DataType.UINT16)]),
    )
    table = {
        "kind": "modbus_tcp", "host": "127.0.0.1", "port": port, "serial": "KW-1", "interval_s": 0.05,
        "registers": [{"metric": "fault", "address": 0}, {"metric": "stage", "address": 1}],
        "events": [{"at": "fault", "code": "E{value}", "severity": "error", "detail": {"stage": "stage"}}],
    }  # fmt: skip
    polled = opened(**table)
    polled.until(lambda p: len(p.rows) >= 3)
    ((serial, event),) = polled.events
    assert (serial, event.code, event.severity, event.detail) == ("KW-1", "E7", "error", {"value": 7.0, "stage": 3.0})
    checkpoint = polled.store()
    again = opened(checkpoint=checkpoint, **table)
    again.until(lambda p: len(p.rows) >= 2)
    assert again.events == []
