"""Units: from the one a machine sends to the metric's canonical one, by the pint library.

Unit names are those of SenML (RFC 8428 section 12.1, RFC 8798), of pint, or the canonical text itself.
"""

import math
import re
from functools import cache, lru_cache
from typing import NamedTuple

from pint import UnitRegistry
from pint.errors import PintError

# SenML's and everyday names that pint does not have or understands otherwise.
_PINT_NAME = {
    "Cel": "degC",
    "Ohm": "ohm",
    "%RH": "percent",
    "%EL": "percent",
    "EL": "percent",
    "/": "dimensionless",
    "1": "dimensionless",
    "count": "dimensionless",
    "lat": "degree",
    "lon": "degree",
    # Events per time, not angles per time: 60 rpm are 1 Hz.
    "rpm": "1/minute",
    "beat/min": "1/minute",
    "Nm": "N*m",
    "VA": "V*A",
    "var": "V*A",
    "VAr": "V*A",
    "kVA": "kV*A",
    "kvar": "kV*A",
    "VAs": "V*A*s",
    "vars": "V*A*s",
    "VAh": "V*A*h",
    "varh": "V*A*h",
    "kVAh": "kV*A*h",
    "kvarh": "kV*A*h",
    # RFC 8798's, and the next smaller one as it is met.
    "/100": "percent",
    "/1000": "ml/l",
    "ppb": "nl/l",
    "beats": "dimensionless",
    "gpm": "gallon/minute",
    "CFM": "foot**3/minute",
}
# Scales of their own that must not be taken for a percentage or a picohenry.
_INCOMPARABLE = {"pH", "dB", "dBW", "dBm", "Bspl"}
# Names, each with at most one small exponent: an expression that pint would have to compute never reaches it.
_NAME = "[A-Za-zµμΩ°%]{1,16}"
_UNIT = re.compile(rf"(?:1|{_NAME}[23²³]?)(?:[/·*]{_NAME}[23²³]?){{0,4}}")
_EXPONENT = re.compile(r"(?<=[A-Za-zµμΩ])([23])(?![A-Za-z0-9])")


class Conversion(NamedTuple):
    """`canonical = sent × scale + offset`."""

    scale: float
    offset: float


AS_SENT = Conversion(1.0, 0.0)
# RFC 8798's only one that is not a scale.
_LOGARITHMIC = {("dBm", "dBW"): Conversion(1.0, -30.0), ("dBW", "dBm"): Conversion(1.0, 30.0)}


@lru_cache(maxsize=4096)
def conversion(sent: str, canonical: str) -> Conversion | None:
    """How to convert a value, or None when the units measure different things or are unknown.

    A reading without a unit is taken to be in the canonical one; a metric without a canonical unit takes any.

    >>> conversion("bar", "kPa")
    Conversion(scale=100.0, offset=0.0)
    >>> conversion("Cel", "bar") is None
    True
    """
    if sent in ("", canonical) or not canonical:
        return AS_SENT
    if sent in _INCOMPARABLE or canonical in _INCOMPARABLE:
        return _LOGARITHMIC.get((sent, canonical))
    source, target = _pint_expression(sent), _pint_expression(canonical)
    if source is None or target is None:
        return None
    try:
        at = [float(_registry().Quantity(value, source).to(target).magnitude) for value in (0.0, 1.0, 1000.0)]
    except (PintError, ValueError, ArithmeticError, AttributeError, TypeError, AssertionError):
        # pint's parser reports an unknown name in several ways.
        return None
    offset = at[0]
    # Rounded to what a float surely keeps of the computation, so that 1 m³/s is 60000 l/min and not 59999.99999999999.
    scale = float(f"{at[1]:.15g}") if offset == 0 else round((at[2] - offset) / 1000.0, 12)
    if not math.isclose(at[2], 1000.0 * scale + offset, rel_tol=1e-9):
        return None  # logarithmic units
    return Conversion(scale, offset)


def _pint_expression(unit: str) -> str | None:
    if unit in _PINT_NAME:
        return _PINT_NAME[unit]
    if not _UNIT.fullmatch(unit):
        return None
    return _EXPONENT.sub(r"**\1", unit)


@cache
def _registry() -> "UnitRegistry[float]":
    # Made at the first unit that differs from its metric's: it takes a tenth of a second.
    return UnitRegistry()
