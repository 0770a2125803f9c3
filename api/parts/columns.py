"""The columns of a sheet of parts: what each means, and what its cells may say. Pure."""

import re
from collections.abc import Callable
from typing import get_args

from api.assets.bulk.columns import CellError, Column, choice, pattern, read_day, text
from api.parts.models import OldPartRule, ShippingClass
from api.parts.rules import PriceKind

_SKU = re.compile(r"[A-Za-z0-9._-]{1,64}")
_CURRENCY = re.compile(r"[A-Z]{3}")
_WHOLE = re.compile(r"\d{1,13}")
_YES = frozenset({"yes", "true", "1", "y", "x", "ja", "是"})
_NO = frozenset({"no", "false", "0", "n", "nein", "否"})


def whole(most: int) -> Callable[[str], int]:
    """Reads whole numbers from 0 on."""

    def read(cell: str) -> int:
        if not _WHOLE.fullmatch(cell):
            raise CellError("is not a whole number", "write digits only, e.g. 1250")
        if int(cell) > most:
            raise CellError("is too large", f"write at most {most}")
        return int(cell)

    return read


def yes_or_no(cell: str) -> bool:
    """Reads yes and no.

    Raises:
        CellError: It is neither.
    """
    word = cell.casefold()
    if word not in _YES | _NO:
        raise CellError("is neither yes nor no", "write yes or no")
    return word in _YES


_sku = pattern(_SKU, "a SKU", "write 1-64 letters, digits, dots, hyphens or underscores")
_price = whole(10**12)

COLUMNS: tuple[Column, ...] = (
    Column("sku", "The key of the line: letters, digits, . _ -", "6.394-123.0", _sku, required=True),
    Column("name", "What it is called", "Pump seal", text(128), required=True),
    Column("description", "", "O-ring 24 x 3, FKM", text(2000)),
    Column("unit", "What is counted", "piece", text(16)),
    Column("cost_minor", "What a piece costs the house, in minor units, e.g. cents", "1250", _price),
    Column("currency", "Of the cost and the prices", "EUR", pattern(_CURRENCY, "a currency", "write e.g. EUR or CNY")),
    Column("lead_time_days", "From ordering to having it on hand", "45", whole(3650)),
    Column("shipping_class", ", ".join(get_args(ShippingClass)), "normal", choice(*get_args(ShippingClass))),
    Column("weight_grams", "Of a piece, packed", "85", whole(10**8)),
    Column("imported", "Whether it comes over a border", "yes", yes_or_no),
    Column("serialised", "Whether each piece has a serial number of its own", "no", yes_or_no),
    Column("rotable", "Whether each piece is repaired and used again", "no", yes_or_no),
    Column("old_part_rule", ", ".join(get_args(OldPartRule)), "return", choice(*get_args(OldPartRule))),
    Column("superseded_by", "SKU of the part that takes its place", "6.394-124.0", _sku),
    Column("superseded_on", "From which day on; empty: today", "2026-03-01", read_day),
    Column("two_way", "Whether it may still be built in where that one is asked for", "no", yes_or_no),
    Column("customer_price_minor", "What customers pay for a piece, in minor units", "2990", _price),
    Column("partner_price_minor", "What partners pay for a piece, in minor units", "1990", _price),
    Column("internal_price_minor", "At what the house reckons a piece, in minor units", "1250", _price),
    Column("prices_from", "From which day on the prices hold; empty: today", "2026-01-01", read_day),
)
PRICE_COLUMNS: dict[PriceKind, str] = {
    "customer": "customer_price_minor",
    "partner": "partner_price_minor",
    "internal": "internal_price_minor",
}
# Columns of a line that go into the part as they are.
PLAIN = tuple(column.name for column in COLUMNS[1:13])
