"""A service process in steps: answered, failing, dying, silent."""

import sys
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from careloop.errors import CareloopError
from careloop.stack.process import LOG_KEPT_BYTES, ServiceProcess
from careloop.stack.registry import ProcessRegistry

NOW = datetime(2015, 7, 1, 3, tzinfo=UTC)

SERVANT = """
import os, sys, time
from careloop.stepping import serve_steps
serve_steps(sys.stdin, sys.stdout, {
    "echo": lambda now, request: {"now": now.isoformat(), "got": request["text"]},
    "fail": lambda now, request: 1 / 0,
    "die": lambda now, request: (print("the disk is full", file=sys.stderr), os._exit(3)),
    "sleep": lambda now, request: time.sleep(60),
    "chatter": lambda now, request: print("hello"),
})
"""


@pytest.fixture
def servant(tmp_path: Path):
    process = ServiceProcess(
        "servant", [sys.executable, "-c", SERVANT], {"PATH": "/usr/bin:/bin"}, tmp_path / "servant.log", steps=True
    )
    process.start()
    yield process
    process.stop()


def test_a_step_is_answered(servant: ServiceProcess) -> None:
    answer = servant.step("echo", NOW, text="hello")
    assert answer == {"do": "echo", "now": "2015-07-01T03:00:00+00:00", "got": "hello"}


def test_a_request_larger_than_any_pipe_is_answered_whole(servant: ServiceProcess) -> None:
    text = "reading " * 1_000_000
    assert servant.step("echo", NOW, text=text)["got"] == text


def test_several_processes_work_at_once_in_two_halves(servant: ServiceProcess) -> None:
    servant.send("echo", NOW, text="a")
    servant.send("echo", NOW, text="b")
    assert [servant.answer("echo")["got"], servant.answer("echo")["got"]] == ["a", "b"]


def test_a_failed_step_names_the_process_and_the_error_and_the_process_lives_on(servant: ServiceProcess) -> None:
    with pytest.raises(CareloopError, match=r"servant step 'fail' failed: ZeroDivisionError"):
        servant.step("fail", NOW)
    assert servant.step("echo", NOW, text="still here")["got"] == "still here"


def test_a_death_shows_exit_code_and_the_end_of_the_log(servant: ServiceProcess) -> None:
    with pytest.raises(CareloopError, match=r"servant died with exit code 3; .*the disk is full"):
        servant.step("die", NOW)
    assert not servant.is_running
    with pytest.raises(CareloopError, match="servant died with exit code 3"):
        servant.step("echo", NOW, text="anyone?")


def test_silence_ends_in_an_error(servant: ServiceProcess) -> None:
    with pytest.raises(CareloopError, match=r"servant did not answer 'sleep' within 0\.3 s"):
        servant.step("sleep", NOW, within_s=0.3)
    # A process that is stuck in a step does not see its input end, and is asked to leave.
    assert servant.stop(within_s=3) != 0


def test_a_stray_print_is_told_from_an_answer(servant: ServiceProcess) -> None:
    with pytest.raises(CareloopError, match=r"servant wrote b'hello' to standard output instead of an answer"):
        servant.step("chatter", NOW)


def test_it_ends_when_its_input_ends(servant: ServiceProcess) -> None:
    assert servant.stop() == 0
    assert servant.stop() == 0


def test_a_command_that_refuses_to_start_says_why(tmp_path: Path) -> None:
    process = ServiceProcess(
        "predictor", [sys.executable, "-c", "raise SystemExit('no model')"], {}, tmp_path / "log", steps=True
    )
    with pytest.raises(CareloopError, match=r"predictor died with exit code 1; .* ends: no model"):
        process.start()
    process.stop()


def test_a_grown_log_is_set_aside(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"x" * (LOG_KEPT_BYTES + 1))
    with ServiceProcess("x", [sys.executable, "-c", "print('new')"], {}, log) as process:
        process._process.wait(10)
    assert log.read_text() == "new\n"
    assert (tmp_path / "log.1").stat().st_size == LOG_KEPT_BYTES + 1


def test_the_registry_tells_a_process_from_another_with_the_same_pid(tmp_path: Path) -> None:
    registry = ProcessRegistry(tmp_path / "processes.json")
    with ServiceProcess(
        "sleeper", [sys.executable, "-c", "import time; time.sleep(60)"], {}, tmp_path / "log", registry=registry
    ) as process:
        successor = ProcessRegistry(registry.path)
        assert set(successor.orphans()) == {"sleeper"}
        text = registry.path.read_text()
        started = str(psutil.Process(process.pid).create_time())
        assert started in text
        registry.path.write_text(text.replace(started, "1.0"))
        assert successor.orphans() == {}
        assert successor.stop_orphans() == []
        assert process.is_running
        registry.path.write_text(text)
        assert successor.stop_orphans() == ["sleeper"]
        assert not process.is_running
