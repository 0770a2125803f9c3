"""Programs, really started."""

import sys
import time
from pathlib import Path

import pytest

PRINTS = [sys.executable, "-c"]


def program(text: str) -> list[str]:
    return [*PRINTS, text]


def test_one_json_document(opened):
    polled = opened(
        kind="exec", command=program('print(\'{"cpu": {"temp": 51.5}}\')'), output="document", serial="KW-1"
    )
    assert polled.until(lambda p: p.rows).values == {"KW-1": {"cpu.temp": 51.5}}


def test_lines_of_several_assets(opened):
    polled = opened(
        kind="exec",
        command=["printf", "1;20.5\n2;21,5\nnonsense\n"],
        format="csv",
        columns=["id", "t"],
        delimiter=";",
        serial_at="id",
        serials={"1": "KW-1", "2": "KW-2"},
    )
    polled.until(lambda p: p.rows)
    assert polled.values["KW-1"] == {"t": 20.5}
    # Not a number: handed on, for the packer to refuse and count it.
    assert "KW-2" not in polled.values
    assert polled.refused == 1


def test_there_is_no_shell(opened):
    polled = opened(kind="exec", command=["echo", '{"a": 1} ; $(echo x)'], serial="KW-1", format="regex",
                    pattern=r'"a": (?P<a>\d)} ; \$\(echo x\)')  # fmt: skip
    assert polled.until(lambda p: p.rows).values == {"KW-1": {"a": 1}}


@pytest.mark.parametrize(
    ("command", "text"),
    [
        (["not-there-at-all"], "not-there-at-all cannot be started: No such file"),
        (program("import sys; sys.exit('no sensor')"), "ended with status 1: no sensor"),
        (program("import os; os.kill(os.getpid(), 11)"), "was ended by signal 11"),
        (program("print('x' * 5000)"), "printed more than 1000 bytes"),
        (program("print('not json')"), "not JSON"),
    ],
)
def test_what_goes_wrong_is_told(opened, command, text):
    polled = opened(kind="exec", command=command, serial="KW-1", max_bytes=1000, output="document")
    assert text in polled.until(lambda p: p.errors).errors[0]


def test_one_that_does_not_end_is_killed_with_all_it_started(opened, tmp_path: Path):
    pids = tmp_path / "pids"
    polled = opened(
        kind="exec",
        command=program(
            "import subprocess, os, time\n"
            "child = subprocess.Popen(['sleep', '60'])\n"
            f"open({str(pids)!r}, 'w').write(f'{{os.getpid()}} {{child.pid}}')\n"
            "time.sleep(60)"
        ),
        serial="KW-1",
        timeout_s=1.5,
        interval_s=3600,
    )
    polled.until(lambda p: p.errors)
    assert "did not end within 1.5 s" in polled.errors[0]
    assert all(not _runs(int(pid)) for pid in pids.read_text().split())


def test_closing_does_not_wait_for_a_program(opened, tmp_path: Path):
    started = tmp_path / "started"
    polled = opened(
        kind="exec",
        command=program(f"import time, os; open({str(started)!r}, 'w').write(str(os.getpid())); time.sleep(60)"),
        serial="KW-1",
        timeout_s=50,
    )
    polled.until(lambda p: started.exists() and started.read_text())
    before = time.monotonic()
    polled.source.close()
    assert time.monotonic() - before < 10
    assert not _runs(int(started.read_text()))


def test_the_agents_own_environment_is_not_passed_on(opened, monkeypatch):
    monkeypatch.setenv("CARELOOP_BROKER_URL", "mqtt://device:secret@broker")
    polled = opened(
        kind="exec",
        command=program("import os; print(sum(name.startswith('CARELOOP_') for name in os.environ))"),
        format="regex",
        pattern=r"(?P<known>\d+)",
        serial="KW-1",
    )
    assert polled.until(lambda p: p.rows).values == {"KW-1": {"known": 0}}


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
