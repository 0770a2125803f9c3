"""The process: steps on standard input, a clean end by SIGTERM, one clear line where something is missing."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

UNTIL = 40 * 24


@pytest.fixture
def environment(api, tmp_path):
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("CARELOOP_")},
        "CARELOOP_DATABASE_URL": api.database_url,
        "CARELOOP_API_URL": api.url,
        "CARELOOP_API_KEY": api.keys["service"],
        "CARELOOP_STATE_DIR": str(tmp_path / "state"),
    }


@pytest.fixture
def start(environment):
    started = []

    def begin(*words, **changes):
        process = subprocess.Popen(
            [sys.executable, "-m", "careloop", "predictor", *words],
            env={**environment, **changes},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            stream.close()


def ask(process, do, now, **more):
    process.stdin.write(json.dumps({"do": do, "now": now.isoformat(), **more}) + "\n")
    process.stdin.flush()
    return json.loads(process.stdout.readline())


def test_steps_are_answered_as_agreed(start, settle, park, at, tmp_path):
    pumps = park(assets=8, hours=UNTIL + 90).with_failures(16)
    pumps.fail_seal(3, UNTIL + 85)
    settle(pumps, UNTIL)
    process = start("run", "--step", CARELOOP_PREDICTOR_GRID_HOURS="12")
    assert json.loads(process.stdout.readline()) == {"do": "ready"}
    assert ask(process, "score", at(UNTIL)) == {"do": "score", "assets": 0, "tickets_opened": 0}
    assert ask(process, "train", at(UNTIL)) == {
        "do": "train",
        "models": 1,
        "without_model": ["pump/valve: 0 failures on record, a model needs 5"],
    }
    settle(pumps, UNTIL + 80, UNTIL)
    answer = ask(process, "score", at(UNTIL + 80))
    assert answer["assets"] == 8
    assert answer["tickets_opened"] >= 1
    assert ask(process, "warranty", at(UNTIL + 80)) == {"do": "warranty", "tickets_opened": 0}
    assert "unknown step" in ask(process, "dance", at(UNTIL + 80))["error"]
    process.stdin.close()
    assert process.wait(20) == 0
    assert len(list((tmp_path / "state" / "models").glob("*.skops"))) == 1


def test_it_works_by_the_clock_until_it_is_told_to_stop(start):
    process = start("run")
    for line in process.stderr:
        if "warranty sweep: 0" in line:
            break
    process.send_signal(signal.SIGTERM)
    started = time.monotonic()
    assert process.wait(20) == 0
    assert time.monotonic() - started < 10


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"CARELOOP_API_KEY": ""}, "CARELOOP_API_KEY is empty; make a key: careloop api-key create"),
        ({"CARELOOP_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"}, "cannot connect to the database"),
        ({"CARELOOP_PREDICTOR_FAILURES_NEEDED": "0"}, "CARELOOP_PREDICTOR_FAILURES_NEEDED"),
        ({"CARELOOP_STATE_DIR": "/dev/null"}, "set CARELOOP_PREDICTOR_MODEL_DIR or CARELOOP_STATE_DIR"),
    ],
)
def test_what_is_missing_is_one_clear_line_and_exit_code_2(start, changes, line):
    process = start("run", **changes)
    _, error = process.communicate(timeout=30)
    assert process.returncode == 2
    assert line in error
    assert "Traceback" not in error
