import doctest
import json
import threading
import time
import urllib.error
import urllib.request

import pytest
from prometheus_client import Counter
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families

import careloop.observability.watchdog
from careloop.errors import CareloopError
from careloop.observability.metrics import make_registry, render_from
from careloop.observability.probes import Probes
from careloop.observability.server import ObservabilityServer, serving
from careloop.observability.watchdog import Watchdog
from careloop.stack.ports import free_port, port_is_free


class Clock:
    def __init__(self) -> None:
        self.at = 100.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def watchdog(clock) -> Watchdog:
    return Watchdog(clock)


def get(port: int, path: str, **headers: str) -> tuple[int, str, str]:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers["Content-Type"], error.read().decode()


def test_the_example_is_true():
    assert doctest.testmod(careloop.observability.watchdog).failed == 0


def test_a_loop_is_stalled_while_silent_for_too_long_and_no_longer(watchdog, clock):
    probes = Probes("p", watchdog, {}, clock)
    writer, reader = watchdog.loop("writer", 30), watchdog.loop("reader", 60)
    clock.at += 31
    assert probes.live().status == 503
    assert list(probes.live().document["stalled"]) == ["writer"]
    writer.beat()
    assert probes.live().status == 200
    assert probes.live().document["loops"] == ["writer", "reader"]
    reader.rest()
    clock.at += 1000
    assert list(probes.live().document["stalled"]) == ["writer"]


def test_what_cannot_beat_must_live(watchdog, clock):
    thread = threading.Thread(target=lambda: None)
    watchdog.need("network", thread.is_alive)
    thread.start()
    thread.join()
    assert Probes("p", watchdog, {}, clock).live().document["stalled"] == {"network": "has ended"}


def test_ready_says_what_is_wrong_and_asks_again_only_after_a_while(watchdog, clock):
    asked = []

    def broker() -> str:
        asked.append(1)
        if len(asked) == 1:
            raise CareloopError("not connected\nsecond line")
        return "connected"

    probes = Probes("p", watchdog, {"broker": broker, "database": lambda: "PostgreSQL 18"}, clock)
    first = probes.ready()
    assert first.status == 503
    assert first.document["checks"] == {
        "broker": {"ok": False, "detail": "not connected"},
        "database": {"ok": True, "detail": "PostgreSQL 18"},
    }
    assert probes.ready() is first
    clock.at += 1.5
    assert probes.ready().status == 200
    assert len(asked) == 2


def test_a_check_that_hangs_costs_one_thread_and_the_others_are_told(watchdog, clock, monkeypatch):
    monkeypatch.setattr("careloop.observability.probes.CHECK_WITHIN_S", 0.1)
    release, asked = threading.Event(), []

    def database() -> str:
        asked.append(1)
        release.wait(20)
        return "there"

    probes = Probes("p", watchdog, {"database": database, "broker": lambda: "connected"}, clock)
    for _ in range(3):
        answer = probes.ready()
        assert answer.document["checks"]["database"] == {"ok": False, "detail": "no answer within 0.1 s"}
        assert answer.document["checks"]["broker"]["ok"]
        clock.at += 2
    assert len(asked) == 1
    release.set()
    time.sleep(0.05)
    assert probes.ready().status == 200


def test_a_check_with_a_defect_is_not_ready(watchdog, clock):
    assert Probes("p", watchdog, {"x": lambda: str(1 / 0)}, clock).ready().status == 503


def test_it_serves_what_prometheus_and_a_person_can_read(watchdog, clock):
    registry = make_registry("p")
    Counter("careloop_p_things", "Things", ["kind"], registry=registry).labels("a").inc(3)
    loop = watchdog.loop("writer", 30)
    with ObservabilityServer("127.0.0.1", 0, Probes("p", watchdog, {}, clock), render_from(registry)) as server:
        status, content_type, text = get(server.port, "/metrics")
        assert (status, content_type.split(";")[0]) == (200, "text/plain")
        found = {family.name: family for family in text_string_to_metric_families(text)}
        assert found["careloop_p_things"].samples[0].value == 3
        assert {"process_resident_memory_bytes", "process_cpu_seconds", "careloop_build_info"} <= set(found)
        accept = "application/openmetrics-text; version=1.0.0"
        status, content_type, text = get(server.port, "/metrics?x=1", Accept=accept)
        assert content_type.startswith("application/openmetrics-text")
        assert "careloop_p_things" in {family.name for family in open_metrics(text)}
        assert get(server.port, "/live")[0] == 200
        clock.at += 31
        status, _, body = get(server.port, "/live")
        assert (status, json.loads(body)["status"]) == (503, "stalled")
        loop.beat()
        assert get(server.port, "/live")[0] == 200
        assert get(server.port, "/ready")[0] == 200
        assert get(server.port, "/other")[0] == 404
    assert port_is_free(server.port)


def test_a_port_that_is_taken_is_said_with_the_setting(watchdog, clock):
    probes = Probes("p", watchdog, {}, clock)
    with (
        ObservabilityServer("127.0.0.1", 0, probes, lambda _: ("", b"")) as server,
        pytest.raises(CareloopError, match=f"{server.port}.*CARELOOP_METRICS_PORT"),
    ):
        ObservabilityServer("127.0.0.1", server.port, probes, lambda _: ("", b""))


def test_port_0_serves_nothing(watchdog, clock):
    before = threading.active_count()
    with serving("127.0.0.1", 0, Probes("p", watchdog, {}, clock), lambda _: ("", b"")):
        assert threading.active_count() == before
    port = free_port()
    with serving("127.0.0.1", port, Probes("p", watchdog, {}, clock), lambda _: ("", b"")):
        assert get(port, "/live")[0] == 200
