"""The Azure PdM files are read as they are, and what is wrong with them is said."""

from datetime import UTC, date, datetime
from pathlib import Path

import pandas as pd
import pytest

from careloop.errors import CareloopError
from careloop.line.azure_pdm import as_utc, load_recording
from careloop.line.replay import SCORE_EVERY, Window


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Two machines, two hours, one error, a failure that was repaired at once and a scheduled replacement."""
    hours = ["2015-01-01 06:00:00", "2015-01-01 07:00:00"]
    readings = [(hour, machine, 170.0, 400.0, 100.0, 40.0) for hour in hours for machine in (2, 1)]
    columns = ["datetime", "machineID", "volt", "rotate", "pressure", "vibration"]
    pd.DataFrame(readings, columns=columns).to_csv(tmp_path / "PdM_telemetry.csv.gz", index=False)
    (tmp_path / "PdM_errors.csv").write_text("datetime,machineID,errorID\n2015-01-01 06:00:00,1,error1\n")
    (tmp_path / "PdM_failures.csv").write_text("datetime,machineID,failure\n2015-01-01 06:00:00,1,comp1\n")
    (tmp_path / "PdM_maint.csv").write_text(
        "datetime,machineID,comp\n2014-06-01 06:00:00,2,comp2\n2015-01-01 06:00:00,1,comp1\n"
    )
    (tmp_path / "PdM_machines.csv").write_text("machineID,model,age\n1,model3,18\n2,model4,7\n3,model1,1\n")
    return tmp_path


def test_readings_events_and_facts_come_in_order_of_time(files: Path) -> None:
    recording = load_recording(files, machines=None, until=None)
    assert [machine.serial for machine in recording.machines] == ["PDM-0001", "PDM-0002"]
    assert list(recording.readings["serial"]) == ["PDM-0001", "PDM-0002"] * 2
    assert [(fact.kind, fact.serial, fact.reason) for fact in recording.facts] == [
        ("replacement", "PDM-0002", "scheduled"),
        ("failure", "PDM-0001", ""),
        ("replacement", "PDM-0001", "failure"),
    ]
    assert recording.starts_at == datetime(2015, 1, 1, tzinfo=UTC)
    assert recording.ends_at == datetime(2015, 1, 1, 8, tzinfo=UTC)


def test_machines_and_until_cut_the_recording(files: Path) -> None:
    recording = load_recording(files, machines=1, until=date(2015, 1, 2))
    assert set(recording.readings["serial"]) == {"PDM-0001"}
    with pytest.raises(CareloopError, match="no telemetry before 2015-01-01"):
        load_recording(files, machines=1, until=date(2015, 1, 1))


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (lambda d: (d / "PdM_errors.csv").unlink(), "PdM_errors.csv is missing"),
        (
            lambda d: (d / "PdM_telemetry.csv.gz").unlink(),
            "PdM_telemetry.parquet is missing; one of: telemetry.parquet",
        ),
        (lambda d: (d / "PdM_maint.csv").write_text("datetime,machineID\n"), "PdM_maint.csv: column comp is missing"),
        (
            lambda d: (d / "PdM_failures.csv").write_text("datetime,machineID,failure\nyesterday,1,comp1\n"),
            "PdM_failures.csv: column datetime must be a time",
        ),
        (
            lambda d: (d / "PdM_machines.csv").write_text("machineID,model,age\n1,model3,old\n"),
            "PdM_machines.csv: column age must be a number",
        ),
        (
            lambda d: (d / "PdM_errors.csv").write_text("datetime,machineID,errorID\n2015-01-01 06:00:00,1,\n"),
            "PdM_errors.csv: column errorID has empty cells",
        ),
    ],
)
def test_what_is_wrong_is_named(files: Path, break_it, said: str) -> None:
    break_it(files)
    with pytest.raises(CareloopError, match=said):
        load_recording(files, machines=None, until=None)


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(CareloopError, match="nowhere is not a directory"):
        load_recording(tmp_path / "nowhere", machines=None, until=None)


def test_steps_are_days_until_the_training_and_three_hours_after() -> None:
    window = Window(as_utc(date(2015, 1, 1)), as_utc(date(2015, 1, 3)), as_utc(date(2015, 1, 4)))
    steps = list(window.steps())
    assert [end - start for start, end in steps[2:]] == [SCORE_EVERY] * 8
    assert [end for _, end in steps] == [start for start, _ in steps[1:]] + [window.ends_at]
    assert steps[1][1] == window.train_at
