"""Monthly demand of parts, read from a table: one row a month, one column a part."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from careloop.errors import CareloopError
from predictor.demand.distributions import FloatArray


@dataclass(frozen=True)
class Histories:
    """Demand of parts by month.

    Attributes:
        parts: The names of the series.
        months: `YYYY-MM`, in order, without gaps.
        pieces: Shape (series, months); NaN is a month in which the part was not sold.
    """

    parts: tuple[str, ...]
    months: tuple[str, ...]
    pieces: FloatArray


def read_histories(file: Path) -> Histories:
    """Read a CSV file, gzipped or not, with the column `month` and a column for each part.

    Raises:
        CareloopError: the file can't be read, or holds what is no demand; names the file and the place.
    """
    try:
        table = pd.read_csv(file, dtype={"month": str})
    except FileNotFoundError as error:
        raise CareloopError(f"{file}: no such file; give a CSV file of monthly demand") from error
    except (OSError, ValueError, UnicodeDecodeError, EOFError) as error:
        raise CareloopError(f"{file}: is no CSV file that can be read: {error}") from error
    if "month" not in table.columns or len(table.columns) < 2:
        raise CareloopError(f"{file}: needs the column 'month' and a column for each part")
    _require_months(file, table["month"].tolist())
    columns = table.columns.drop("month")
    numbers = table[columns].apply(pd.to_numeric, errors="coerce").to_numpy(dtype=float)
    wrong = np.isnan(numbers) & table[columns].notna().to_numpy()
    wrong |= ~np.isnan(numbers) & ((numbers < 0) | (numbers != np.floor(numbers)))
    if wrong.any():
        month, part = (int(place[0]) for place in np.nonzero(wrong))
        value = table[columns].iloc[month, part]
        where = f"{file}: month {table['month'].iloc[month]}, part {columns[part]}"
        raise CareloopError(f"{where}: {value!r} is no demand; write whole pieces ≥ 0, or nothing where not sold")
    return Histories(tuple(map(str, columns)), tuple(table["month"]), np.ascontiguousarray(numbers.T))


def _require_months(file: Path, months: list[str]) -> None:
    previous: pd.Period | None = None
    for number, text in enumerate(months, start=2):
        try:
            month = pd.Period(text, freq="M")
        except (ValueError, TypeError) as error:
            raise CareloopError(f"{file}: line {number}: {text!r} is no month; write YYYY-MM") from error
        if previous is not None and month != previous + 1:
            raise CareloopError(f"{file}: line {number}: {text} does not follow {previous}; give every month once")
        previous = month
