"""The unit names that the formats bring: SenML's registry with its secondary units, and what devices write."""

import pytest

from ingest.units import conversion

# RFC 8798, table 1: secondary unit, SenML unit, scale.
SECONDARY = [
    ("ms", "s", 1e-3), ("min", "s", 60), ("h", "s", 3600), ("MHz", "Hz", 1e6), ("kW", "W", 1e3), ("kVA", "VA", 1e3),
    ("kvar", "var", 1e3), ("Ah", "C", 3600), ("Wh", "J", 3600), ("kWh", "J", 3.6e6), ("varh", "vars", 3600),
    ("kvarh", "vars", 3.6e6), ("kVAh", "VAs", 3.6e6), ("Wh/km", "J/m", 3.6), ("KiB", "B", 1024), ("GB", "B", 1e9),
    ("Mbit/s", "bit/s", 1e6), ("B/s", "bit/s", 8), ("MB/s", "bit/s", 8e6), ("mV", "V", 1e-3), ("mA", "A", 1e-3),
    ("ug/m3", "kg/m3", 1e-9), ("mm/h", "m/s", 1 / 3.6e6), ("m/h", "m/s", 1 / 3600), ("ppm", "/", 1e-6),
    ("/100", "/", 1e-2), ("/1000", "/", 1e-3), ("hPa", "Pa", 100), ("mm", "m", 1e-3), ("cm", "m", 1e-2),
    ("km", "m", 1e3), ("km/h", "m/s", 1 / 3.6),
]  # fmt: skip
# As Home Assistant, Tasmota, zigbee2mqtt and Sparkplug's engUnit write them.
WRITTEN = [
    ("°C", "Cel", 1), ("%", "/", 0.01), ("%", "%RH", 1), ("mbar", "bar", 1e-3), ("psi", "bar", 0.0689475729),
    ("µg/m³", "kg/m3", 1e-9), ("µS/cm", "S/m", 1e-4), ("m³/h", "m3/s", 1 / 3600), ("L/min", "l/s", 1 / 60),
    ("W/m²", "W/m2", 1), ("ppb", "ppm", 1e-3), ("kΩ", "Ohm", 1e3), ("gpm", "l/min", 3.785411784), ("lx", "lx", 1),
    ("°", "rad", 0.0174532925), ("mm/s", "m/s", 1e-3), ("W*s", "kWh", 1 / 3.6e6),
]  # fmt: skip


@pytest.mark.parametrize(("sent", "canonical", "scale"), SECONDARY + WRITTEN)
def test_a_unit_is_known_by_its_name(sent: str, canonical: str, scale: float) -> None:
    found = conversion(sent, canonical)
    assert found is not None
    assert found.scale == pytest.approx(scale, rel=1e-8)
    assert found.offset == 0


def test_fahrenheit_has_an_offset() -> None:
    found = conversion("°F", "Cel")
    assert found is not None
    assert 68 * found.scale + found.offset == pytest.approx(20, abs=1e-9)
    assert conversion("dBm", "dBW") == (1.0, -30.0)


@pytest.mark.parametrize(("sent", "canonical"), [("lqi", "/"), ("C", "Cel"), ("NTU", "/"), ("dBm", "W"), ("pH", "H")])
def test_what_cannot_be_compared_is_not(sent: str, canonical: str) -> None:
    assert conversion(sent, canonical) is None
