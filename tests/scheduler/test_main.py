"""The command: what it says when something is missing, how it steps, how it ends."""

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
