"""Microsoft's Azure predictive-maintenance sample: hourly telemetry, errors, replacements and failures of machines.

Files of the directory: `telemetry` (or `PdM_telemetry`) as `.parquet`, `.csv` or `.csv.gz`, and `PdM_errors.csv`,
`PdM_maint.csv`, `PdM_failures.csv`, `PdM_machines.csv` (or the same as `.csv.gz`). Times are taken as UTC.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pandas as pd

from careloop.errors import CareloopError

METRIC_UNITS = {"volt": "V", "rotate": "rpm", "pressure": "bar", "vibration": "mm/s"}
COMPONENTS = ("comp1", "comp2", "comp3", "comp4")

_COLUMNS = {
    "telemetry": ("datetime", "machineID", *METRIC_UNITS),
    "errors": ("datetime", "machineID", "errorID"),
    "maint": ("datetime", "machineID", "comp"),
    "failures": ("datetime", "machineID", "failure"),
    "machines": ("machineID", "model", "age"),
}


@dataclass(frozen=True)
class Machine:
    """One machine of the sample."""

    serial: str
    model: str
    age_years: int


@dataclass(frozen=True)
class Fact:
    """A failure or a replacement of a component.

    Attributes:
        at: When it happened.
        serial: Of the machine.
        component: Which.
        kind: `failure`, or `replacement`.
        reason: Of a replacement: `failure` when the component failed at that time, else `scheduled`.
    """

    at: datetime
    serial: str
    component: str
    kind: str
    reason: str = ""


@dataclass(frozen=True)
class Recording:
    """What happened to the machines, in order of time.

    Attributes:
        machines: The machines, by number.
        readings: One row a machine and hour: `time` (UTC), `serial`, and a column per metric; NaN where none was taken.
        events: `time`, `serial`, `code`.
        facts: Failures and replacements; at equal times the failure first.
    """

    machines: list[Machine]
    readings: pd.DataFrame
    events: pd.DataFrame
    facts: list[Fact]

    @property
    def starts_at(self) -> datetime:
        """Midnight before the first reading."""
        first: datetime = self.readings["time"].iloc[0].to_pydatetime()
        return first.replace(hour=0, minute=0, second=0, microsecond=0)

    @property
    def ends_at(self) -> datetime:
        """The hour after the last reading."""
        last: datetime = self.readings["time"].iloc[-1].to_pydatetime()
        return last.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)


def load_recording(directory: Path, *, machines: int | None, until: date | None) -> Recording:
    """Read the files.

    Args:
        directory: Where they are.
        machines: Only so many machines, those with the lowest numbers that have telemetry; None for all.
        until: Nothing from this day (UTC) on; None for all.

    Raises:
        CareloopError: A file or column is missing or unreadable; the line names it.
    """
    if not directory.is_dir():
        raise CareloopError(f"{directory} is not a directory; give the one that holds the Azure PdM files")
    tables = {name: _table(directory, name, columns) for name, columns in _COLUMNS.items()}
    registered = tables["machines"].drop_duplicates("machineID").sort_values("machineID")
    recorded = set(tables["telemetry"]["machineID"].unique())
    chosen = [number for number in registered["machineID"] if number in recorded][:machines]
    if not chosen:
        raise CareloopError(f"{directory}: no machine of the machines file has telemetry")
    end = pd.Timestamp(until, tz="UTC") if until else None
    timed = {name: _of(tables[name], chosen, end) for name in ("telemetry", "errors", "maint", "failures")}
    if timed["telemetry"].empty:
        raise CareloopError(f"{directory}: there is no telemetry before {until}")
    return Recording(
        machines=[
            Machine(_serial(row["machineID"]), str(row["model"]), int(row["age"]))
            for row in registered[registered["machineID"].isin(chosen)].to_dict("records")
        ],
        readings=timed["telemetry"].drop_duplicates(["serial", "time"])[["time", "serial", *METRIC_UNITS]],
        events=timed["errors"].rename(columns={"errorID": "code"})[["time", "serial", "code"]],
        facts=_facts(timed["failures"], timed["maint"]),
    )


def _serial(number: int) -> str:
    return f"PDM-{number:04d}"


def _table(directory: Path, name: str, columns: Sequence[str]) -> pd.DataFrame:
    stems = ("telemetry", "PdM_telemetry") if name == "telemetry" else (f"PdM_{name}",)
    endings = (".parquet", ".csv", ".csv.gz") if name == "telemetry" else (".csv", ".csv.gz")
    files = [directory / f"{stem}{ending}" for stem in stems for ending in endings]
    file = next((file for file in files if file.is_file()), None)
    if file is None:
        raise CareloopError(
            f"{directory}: {stems[-1]}{endings[0]} is missing; one of: {', '.join(f.name for f in files)}"
        )
    try:
        table = pd.read_parquet(file) if file.suffix == ".parquet" else pd.read_csv(file)
    except (OSError, ValueError) as error:
        raise CareloopError(f"{file} cannot be read: {str(error).splitlines()[0]}") from error
    missing = [column for column in columns if column not in table.columns]
    if missing:
        raise CareloopError(
            f"{file}: column {', '.join(missing)} is missing; it has {', '.join(map(str, table.columns))}"
        )
    return _typed(table[list(columns)], file)


def _typed(table: pd.DataFrame, file: Path) -> pd.DataFrame:
    numbers = [column for column in table.columns if column in {"machineID", "age", *METRIC_UNITS}]
    for column in numbers:
        try:
            table = table.assign(**{column: pd.to_numeric(table[column])})
        except (ValueError, TypeError) as error:
            raise CareloopError(f"{file}: column {column} must be a number: {error}") from error
    if "datetime" in table.columns:
        try:
            table = table.assign(datetime=pd.to_datetime(table["datetime"], utc=True))
        except (ValueError, TypeError) as error:
            raise CareloopError(f"{file}: column datetime must be a time, e.g. 2015-01-01 06:00:00: {error}") from error
    whole = [column for column in table.columns if column not in METRIC_UNITS]
    empty = [column for column in whole if table[column].isna().any()]
    if empty:
        raise CareloopError(f"{file}: column {', '.join(empty)} has empty cells")
    return table


def _of(table: pd.DataFrame, machines: Sequence[int], end: pd.Timestamp | None) -> pd.DataFrame:
    """The rows of some machines before some time, in order, with `time` and `serial`."""
    kept = table["machineID"].isin(machines)
    if end is not None:
        kept &= table["datetime"] < end
    rows = table[kept].rename(columns={"datetime": "time"})
    serials = {number: _serial(number) for number in machines}
    return rows.assign(serial=rows["machineID"].map(serials)).sort_values(["time", "machineID"], kind="stable")


def _facts(failures: pd.DataFrame, replacements: pd.DataFrame) -> list[Fact]:
    failed = {(row["time"], row["serial"], row["failure"]) for row in failures.to_dict("records")}
    facts = [Fact(time.to_pydatetime(), serial, component, "failure") for time, serial, component in failed]
    for row in replacements.drop_duplicates(["time", "serial", "comp"]).to_dict("records"):
        reason = "failure" if (row["time"], row["serial"], row["comp"]) in failed else "scheduled"
        facts.append(Fact(row["time"].to_pydatetime(), row["serial"], row["comp"], "replacement", reason))
    return sorted(facts, key=lambda fact: (fact.at, fact.kind, fact.serial, fact.component))


def as_utc(day: date) -> datetime:
    """Midnight UTC at the start of a day."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
