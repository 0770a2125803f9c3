"""`careloop ingest --workers N`: many processes, one after another killed, and nothing lost or doubled."""

import subprocess
import sys
import time

import psutil
import pytest

from careloop.contract.senml import Reading


@pytest.fixture
def workers_of(fleet, worker_of):
    """Two workers under one process, named after the fleet; their sessions are forgotten at the end."""

    def make(broker):
        parent = worker_of(fleet.database_url, broker.url_of("platform"), fleet.name, arguments=("--workers", "2"))
        parent.wait_until_subscribed(2)
        return parent

    return make


def children(parent) -> dict[str, psutil.Process]:
    found = psutil.Process(parent.process.pid).children()
    return {process.environ()["CARELOOP_INGEST_WORKER"]: process for process in found}


def test_a_killed_worker_is_started_again_and_nothing_is_lost_or_doubled(mosquitto, fleet, workers_of) -> None:
    parent = workers_of(mosquitto)
    assert sorted(children(parent)) == [f"{fleet.name}-1", f"{fleet.name}-2"]
    device = fleet.device(mosquitto)
    for i in range(800):
        device.telemetry([Reading(1.7e9 + 10 * i + k, "temperature", i + k / 16, "Cel") for k in range(10)])
        if i in {200, 400, 600}:
            name = f"{fleet.name}-{1 + i // 200 % 2}"
            children(parent)[name].kill()
            parent.wait_until_subscribed(2 + i // 200)
        time.sleep(0.001)
    device.wait()
    fleet.wait_until_stored(800)
    fleet.assert_exactly(device)
    assert fleet.rows("SELECT sum(messages)::int FROM telemetry.ingest_progress") == [(800,)]
    busy = fleet.rows("SELECT worker FROM telemetry.ingest_progress WHERE messages > 50 ORDER BY worker")
    assert busy == [(f"{fleet.name}-1",), (f"{fleet.name}-2",)]
    everybody = children(parent).values()
    assert parent.terminate() == 0
    assert not any(process.is_running() for process in everybody)


def test_workers_do_not_outlive_a_killed_parent(mosquitto, fleet, workers_of) -> None:
    parent = workers_of(mosquitto)
    everybody = list(children(parent).values())
    parent.kill()
    assert psutil.wait_procs(everybody, timeout=20)[1] == []


def test_what_only_the_user_can_mend_ends_all_of_it(mosquitto, fleet) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "careloop", "ingest", "--workers", "2", "--database-url", fleet.database_url,
         "--broker-url", f"mqtt://platform:wrong@127.0.0.1:{mosquitto.port}", "--worker-name", fleet.name],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "refuses the login" in done.stderr


@pytest.mark.parametrize("count", ["0", "-1", "65"])
def test_a_senseless_number_is_told(count: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "careloop", "ingest", "--workers", count], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (2, "careloop ingest: --workers must be 1 to 64\n")
