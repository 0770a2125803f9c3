"""The command: what it says when something is missing, how it steps, how it ends."""

import json
import os
import subprocess
import sys
from datetime import datetime, timedelta
from typing import Any

import pytest

from careloop.cli import main


def test_help_says_what_it_needs(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ending:
        main(["scheduler", "--help"])
    assert ending.value.code == 0
    shown = capsys.readouterr().out
    assert "CARELOOP_API_KEY" in shown
    assert "--step" in shown


@pytest.mark.parametrize("words", [["scheduler"], ["scheduler", "run"], ["scheduler", "run", "--step"]])
def test_without_a_key_it_says_how_to_make_one(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("CARELOOP_API_KEY", raising=False)
    assert main(words) == 2
    assert "careloop api-key create" in capsys.readouterr().err


def test_an_old_database_is_refused(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CARELOOP_API_KEY", "key")
    monkeypatch.setenv("CARELOOP_DATABASE_URL", empty_database_url)
    assert main(["scheduler", "run"]) == 2
    assert "run: careloop migrate" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "value", "named"),
    [
        ("CARELOOP_SCHEDULER_HORIZON_DAYS", "0", "SCHEDULER_HORIZON_DAYS"),
        ("CARELOOP_SCHEDULER_WORK_OPENS", "18:00", "CARELOOP_SCHEDULER_WORK_OPENS (18:00:00) must be before"),
        ("CARELOOP_SCHEDULER_WORK_OPENS", "soon", "CARELOOP_SCHEDULER_WORK_OPENS"),
    ],
)
def test_a_wrong_setting_is_named(
    name: str, value: str, named: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(name, value)
    assert main(["scheduler", "run"]) == 2
    assert named in capsys.readouterr().err


def test_it_steps_through_simulated_time(api: Any, shop: Any, now: datetime) -> None:
    shop.calendar_plan("monthly", 30)
    shop.asset("A", installed_at=now - timedelta(days=29))
    shop.technician("Ada")
    requests = [
        {"do": "advance", "now": now.isoformat()},
        {"do": "advance", "now": (now + timedelta(days=1)).isoformat()},
        {"do": "advance", "now": (now + timedelta(days=1, hours=3)).isoformat()},
        {"do": "advance", "now": "yesterday"},
        {"do": "rest", "now": now.isoformat()},
    ]
    environment = {
        **os.environ,
        "CARELOOP_DATABASE_URL": api.database_url,
        "CARELOOP_API_URL": api.url,
        "CARELOOP_API_KEY": api.keys["service"],
    }
    stepped = subprocess.run(
        [sys.executable, "-m", "careloop", "scheduler", "run", "--step"],
        input="".join(json.dumps(request) + "\n" for request in requests),
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    nothing = {"do": "advance", "jobs_created": 0, "parts_reserved": 0, "jobs_dispatched": 0, "jobs_waiting": 0}
    answers = [json.loads(line) for line in stepped.stdout.splitlines()]
    assert answers[:4] == [{"do": "ready"}, nothing, nothing | {"jobs_created": 1, "jobs_dispatched": 1}, nothing]
    assert "yesterday" in answers[4]["error"]
    assert "advance" in answers[5]["error"]
    # The API was told the simulated time.
    assert shop.jobs()[0]["created_at"] == now + timedelta(days=1)
    assert shop.visits()[0]["starts_at"] == now + timedelta(days=1, hours=2)
