"""Every process as it is: scraped, asked, and asked again while its database or broker is away or its loop hangs."""

import json
import os
import signal
import time
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import paho.mqtt.publish
import pytest
from paho.mqtt.client import MQTTv5
from prometheus_client.parser import text_string_to_metric_families

from careloop.client import CareloopClient
from careloop.database.engine import connect
from careloop.stack.embedded import EmbeddedStack
from careloop.stack.process import ServiceProcess
from careloop.stack.services import at_port, metrics_ports, platform_services

PATIENCE_S = 60.0
DEAD_LETTERS, READINGS = "careloop_ingest_dead_letters_total", "careloop_ingest_readings_total"


def ask(port: int, path: str, timeout_s: float = 10.0) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=timeout_s) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except urllib.error.URLError as error:
        return 0, str(error)


def until(true: Callable[[], object], what: str) -> Any:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        found = true()
        if found:
            return found
        assert time.monotonic() < deadline, f"in {PATIENCE_S:g} s it did not come true that {what}"
        time.sleep(0.1)


def metrics_of(port: int) -> dict[str, float]:
    """The sum of each sample over its labels, but for `le`."""
    status, text = ask(port, "/metrics")
    assert status == 200
    found: dict[str, float] = defaultdict(float)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if "le" not in sample.labels:
                found[sample.name] += sample.value
    return found


def becomes(ports: Mapping[str, int], path: str, status: int, *names: str) -> dict[str, Any]:
    """The documents of processes once all answer so."""

    def documents() -> dict[str, Any] | None:
        answers = {name: ask(ports[name], path) for name in names}
        if any(code != status for code, _ in answers.values()):
            return None
        return {name: json.loads(body) for name, (_, body) in answers.items()}

    return until(documents, f"{', '.join(names)} answer {path} with {status}")


@pytest.fixture(scope="module")
def stack(servers_directory: Path) -> Iterator[EmbeddedStack]:
    with EmbeddedStack(servers_directory / "observed", database_settings={"fsync": "off"}) as stack:
        stack.api_key("admin", "admin")
        yield stack


@pytest.fixture(scope="module")
def ports() -> dict[str, int]:
    return metrics_ports(0)


@pytest.fixture(scope="module")
def processes(stack: EmbeddedStack, ports: dict[str, int]) -> Iterator[dict[str, ServiceProcess]]:
    """The four server processes; they log JSON and are quick to call a loop stalled."""
    running = {process.name: process for process in platform_services(stack, ports)}
    for process in running.values():
        process.environment |= {
            "CARELOOP_LOG_FORMAT": "json",
            "CARELOOP_STALLED_AFTER_S": "5",
            "CARELOOP_INGEST_ROLLUP_SECONDS": "0.5",
            "CARELOOP_SCHEDULER_PLANS_EVERY_S": "1",
        }
        process.start()
    try:
        becomes(ports, "/ready", 200, *running)
        yield running
    finally:
        for process in running.values():
            process.stop()


@pytest.fixture(scope="module")
def asset(stack: EmbeddedStack, processes: dict[str, ServiceProcess]) -> str:
    """The serial number of an asset."""
    with connect(stack.database_url) as connection:
        connection.execute(
            "WITH m AS (INSERT INTO service.product_model (code, name, kind) VALUES ('M', 'M', 'pump') RETURNING *) "
            "INSERT INTO service.asset (serial, model_id, installed_at, created_at) "
            "SELECT 'OBS-1', model_id, now(), now() FROM m"
        )
    return "OBS-1"


def publish(stack: EmbeddedStack, serial: str, payload: str) -> None:
    broker = stack.broker
    assert broker is not None
    paho.mqtt.publish.single(
        f"careloop/v1/{serial}/telemetry", payload, qos=1, hostname="127.0.0.1", port=broker.port,
        auth={"username": "device", "password": stack.secrets.get("broker.device") or ""}, protocol=MQTTv5,
    )  # fmt: skip


def test_each_process_serves_metrics_that_prometheus_can_read(processes, ports):
    for name in processes:
        found = metrics_of(ports[name])
        assert found["process_resident_memory_bytes"] > 1e7, name
        assert found["careloop_build_info"] == 1, name
    # Processes that start beside others may be busy for longer at first than is called stalled here.
    becomes(ports, "/live", 200, *processes)


def test_ingest_counts_what_comes_and_its_log_says_which_message_was_lost(stack, processes, ports, asset):
    before = metrics_of(ports["ingest"])
    now_s = time.time()
    publish(stack, asset, json.dumps([{"bn": f"{asset}/", "bt": now_s, "n": "a", "v": 1}, {"n": "b", "v": 2}]))
    publish(stack, asset, "no JSON")
    publish(stack, "NOBODY", json.dumps([{"bt": now_s, "n": "a", "v": 1}]))

    def counted() -> dict[str, float] | None:
        found = metrics_of(ports["ingest"])
        more = {name: found[name] - before[name] for name in (DEAD_LETTERS, READINGS)}
        return found if more == {DEAD_LETTERS: 2, READINGS: 2} else None

    found = until(counted, "two readings and two dead letters are counted")
    assert found["careloop_ingest_messages_total"] - before["careloop_ingest_messages_total"] == 3
    assert found["careloop_ingest_payload_bytes_total"] > before["careloop_ingest_payload_bytes_total"]
    assert found["careloop_ingest_commit_seconds_count"] > before["careloop_ingest_commit_seconds_count"]
    assert found["careloop_ingest_reading_age_seconds_count"] >= 1
    assert found["careloop_ingest_broker_connected"] == 1
    assert found["careloop_ingest_inbox_messages"] == 0
    assert abs(found["careloop_ingest_last_commit_timestamp_seconds"] - now_s) < PATIENCE_S
    until(lambda: metrics_of(ports["ingest"])["careloop_ingest_maintenance_runs_total"] > 0, "maintenance ran")
    lines = [json.loads(line) for line in processes["ingest"].log_file.read_text().splitlines()]
    (lost,) = [line for line in lines if line.get("reason") == "unknown_asset"]
    with connect(stack.database_url) as connection:
        row = connection.execute(
            "SELECT message_id FROM telemetry.dead_letter WHERE reason = 'unknown_asset'"
        ).fetchone()
    assert row is not None
    assert lost["identity"] == str(row["message_id"])
    assert (lost["topic"], lost["process"], lost["worker"]) == ("careloop/v1/NOBODY/telemetry", "ingest", "ingest-1")


def test_the_scheduler_says_whether_it_leads_and_another_that_it_stands_by(stack, processes, ports):
    ready = becomes(ports, "/ready", 200, "scheduler")["scheduler"]
    until(lambda: metrics_of(ports["scheduler"])["careloop_scheduler_leader"] == 1, "it leads")
    assert ready["checks"]["leadership"]["detail"] == "leader"
    until(lambda: metrics_of(ports["scheduler"])["careloop_scheduler_runs_total"] >= 2, "duties ran")
    with stack.service("scheduler", "scheduler", "run", name="second", environment=at_port(ports["edge"])):
        second = becomes(ports, "/ready", 200, "edge")["edge"]
        assert second["checks"]["leadership"]["detail"] == "standby"
        assert metrics_of(ports["edge"])["careloop_scheduler_leader"] == 0


def test_the_predictor_counts_its_duties(processes, ports):
    until(lambda: metrics_of(ports["predictor"])["careloop_predictor_runs_total"] >= 2, "it trained and swept")
    assert metrics_of(ports["predictor"])["careloop_predictor_models"] == 0


def test_the_api_serves_them_beside_its_own_port_and_logs_requests_with_ids(stack, processes, ports):
    with CareloopClient(stack.api_url, stack.api_key("admin", "admin")) as client:
        client.get("/v1/assets")
        assert "careloop_api_requests_total" in client.get_text("/metrics")
    assert metrics_of(ports["api"])["careloop_api_requests_total"] >= 1
    assert ask(stack.api_port, "/ready")[0] == 200
    lines = [json.loads(line) for line in processes["api"].log_file.read_text().splitlines()]
    (listed, *_) = [line for line in lines if line.get("path") == "/v1/assets"]
    assert (listed["status"], listed["process"]) == (200, "api")
    assert listed["request_id"]


def test_without_a_database_none_is_ready_and_all_live_and_with_it_again_all_are(stack, processes, ports):
    postgres = stack.postgres
    port = postgres.port
    postgres.stop()
    try:
        documents = becomes(ports, "/ready", 503, *processes)
        for name, document in documents.items():
            assert not document["checks"]["database"]["ok"], name
            assert "cannot connect" in document["checks"]["database"]["detail"], name
        until(
            lambda: not json.loads(ask(ports["predictor"], "/ready")[1])["checks"]["api"]["ok"],
            "the predictor sees that the API is not ready either",
        )
        time.sleep(6)
        for name in processes:
            assert ask(ports[name], "/live")[0] == 200, f"{name}: a restart would not bring the database back"
    finally:
        postgres.start(port)
    becomes(ports, "/ready", 200, *processes)


def test_without_a_broker_ingest_is_not_ready(stack, processes, ports):
    broker = stack.broker
    port = broker.port
    broker.stop()
    try:
        document = becomes(ports, "/ready", 503, "ingest")["ingest"]
        assert document["checks"]["broker"]["detail"] == f"not connected to 127.0.0.1:{port}"
        assert document["checks"]["database"]["ok"]
        assert metrics_of(ports["ingest"])["careloop_ingest_broker_connected"] == 0
        assert ask(ports["ingest"], "/live")[0] == 200
    finally:
        broker.start(port)
    becomes(ports, "/ready", 200, "ingest")
    assert metrics_of(ports["ingest"])["careloop_ingest_broker_connections_total"] >= 2


def test_a_loop_that_hangs_is_named(stack, processes, ports, asset):
    """A lock on a table holds the writer inside its transaction, which no error ends."""
    with connect(stack.database_url) as connection, connection.transaction():
        connection.execute("LOCK TABLE telemetry.message IN ACCESS EXCLUSIVE MODE")
        publish(stack, asset, json.dumps([{"bt": time.time(), "n": "a", "v": 1}]))
        document = becomes(ports, "/live", 503, "ingest")["ingest"]
        assert document["status"] == "stalled"
        assert list(document["stalled"]) == ["writer"]
        assert metrics_of(ports["ingest"])["careloop_ingest_unacknowledged_messages"] >= 1
    becomes(ports, "/live", 200, "ingest")


def test_a_process_that_is_stopped_does_not_answer(processes, ports):
    process = processes["scheduler"]
    os.kill(process.pid, signal.SIGSTOP)
    try:
        with pytest.raises(TimeoutError):
            urllib.request.urlopen(f"http://127.0.0.1:{ports['scheduler']}/live", timeout=1)
    finally:
        os.kill(process.pid, signal.SIGCONT)
    becomes(ports, "/live", 200, "scheduler")
