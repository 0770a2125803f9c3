import logging

from careloop.errors import CareloopError
from careloop.observability.probes import Probes
from careloop.observability.server import ObservabilityServer
from careloop.observability.watchdog import Watchdog
from careloop.stack.ports import free_port
from careloop.stack.readiness import ReadinessWatch, fault_of
from careloop.stack.services import metrics_ports


def broken() -> str:
    raise CareloopError("not connected to 127.0.0.1:1883")


def test_what_keeps_a_process_from_being_ready_is_said_in_a_line():
    assert "does not answer" in (fault_of(free_port()) or "")
    for checks, fault in (({}, None), ({"broker": broken}, "broker: not connected to 127.0.0.1:1883")):
        probes = Probes("p", Watchdog(lambda: 0.0), checks, lambda: 0.0)
        with ObservabilityServer("127.0.0.1", 0, probes, lambda _: ("", b"")) as server:
            assert fault_of(server.port) == fault


def test_readiness_is_logged_when_it_changes_but_not_while_a_process_starts(caplog):
    caplog.set_level(logging.INFO)
    watch = ReadinessWatch({}, None)
    for fault in ("does not answer", None, None, "broker: away", "broker: away", None):
        watch.note("ingest", fault)
    assert [record.message for record in caplog.records] == [
        "ingest is ready",
        "ingest is not ready: broker: away",
        "ingest is ready",
    ]


def test_metrics_ports_follow_one_another_or_are_free_ones():
    assert metrics_ports(9464) == {"api": 9464, "ingest": 9465, "predictor": 9466, "scheduler": 9467, "edge": 9468}
    assert len(set(metrics_ports(0).values())) == 5
