"""How the process starts, and what it says when it cannot."""

import subprocess
import sys
import uuid

import pytest

from careloop.cli import main
from careloop.stack.ports import free_port


def ingest(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "careloop", "ingest", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_database_that_is_not_migrated_is_told_in_one_line(empty_database_url: str) -> None:
    done = ingest("--database-url", empty_database_url)
    assert done.returncode == 2
    assert done.stderr.startswith("careloop ingest: the database lacks ")
    assert "run: careloop migrate" in done.stderr


def test_a_database_that_is_not_there_is_told_in_one_line() -> None:
    done = ingest("--database-url", f"postgresql://nobody@127.0.0.1:{free_port()}/none")
    assert done.returncode == 2
    assert done.stderr.startswith("careloop ingest: cannot connect to the database")


def test_a_refused_login_is_told_in_one_line(mosquitto, database_url: str) -> None:
    done = ingest(
        "run", "--database-url", database_url, "--broker-url", f"mqtt://platform:wrong@127.0.0.1:{mosquitto.port}",
        "--worker-name", f"refused-{uuid.uuid4().hex[:8]}",
    )  # fmt: skip
    assert done.returncode == 2
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("careloop ingest: the broker")
    assert "refuses the login" in last


def test_two_processes_of_the_same_name_are_told(broker, fleet, wait_until) -> None:
    workers = [fleet.worker(broker), fleet.worker(broker)]
    wait_until(
        lambda: any(f"does another process run as {fleet.name}?" in worker.log.read_text() for worker in workers),
        "a worker says why it loses the connection again and again",
    )


def test_it_waits_for_a_broker_that_is_not_there_yet(mosquitto_of_its_own, fleet, wait_until) -> None:
    broker = mosquitto_of_its_own
    broker.stop()
    worker = fleet.worker_of(fleet.database_url, broker.url_of("platform"), fleet.name)
    wait_until(lambda: f"no broker at 127.0.0.1:{broker.port} yet" in worker.log.read_text(), "says that it waits")
    broker.start()
    worker.wait_until_connected()
    assert worker.terminate() == 0


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("WORKER", "a b", "CARELOOP_INGEST_WORKER: "),
        ("BATCH_MESSAGES", "0", "CARELOOP_INGEST_BATCH_MESSAGES: "),
        ("RETENTION_DAYS", "3", "INGEST_RETENTION_DAYS must be 0 or at least 7"),
        ("RETENTION_HOURLY_DAYS", "20", "INGEST_RETENTION_HOURLY_DAYS must be 0 or at least"),
        ("JSON_TOPICS", "tele/{seriel}/SENSOR", "level '{seriel}' must be a name"),
        ("JSON_TOPICS", "+/v1/{serial}/#", "would also take careloop's"),
        ("JSON_TIMEZONE", "Europe/Atlantis", "'Europe/Atlantis' is not a time zone"),
        ("SPARKPLUG_SERIAL", "{group}", "must hold {source}, {node} or {device}"),
        ("SPARKPLUG_GROUPS", "a,b#", "'b#' cannot stand in a topic"),
    ],
)
def test_a_wrong_setting_is_named(
    name: str, value: str, told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(f"CARELOOP_INGEST_{name}", value)
    assert main(["ingest"]) == 2
    assert told in capsys.readouterr().err
