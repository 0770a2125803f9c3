"""docs/operations.md lists exactly the metrics that the code has; run this file to print the tables anew."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry

from careloop.stack.services import PROCESSES, metrics_ports

ROOT = Path(__file__).resolve().parents[2]
OPERATIONS = ROOT / "docs" / "operations.md"
SUFFIX = {"counter": "_total", "histogram": "", "gauge": ""}


class NoAgent:
    """Stands for the agent where only the metrics' names are asked for."""

    agent_id = ""
    commit_every_s = 1.0
    sources = ()
    buffer = publisher = tally = None


def rows(process: str) -> Iterator[tuple[str, str, str]]:
    """Name, type and help of each metric that a process has of its own."""
    if process == "edge":
        from edge_agent.observation import Observation

        agent: Any = NoAgent()
        for family in Observation(agent, clock=lambda: 0.0, wall=lambda: 0.0, stalled_after_s=60).families:
            if family.name.startswith("careloop_edge"):
                yield family.name, family.kind, family.text
        return
    for family in registry_of(process).collect():
        yield family.name + SUFFIX[family.type], family.type, family.documentation


def registry_of(process: str) -> CollectorRegistry:
    registry = CollectorRegistry()
    match process:
        case "api":
            from api.observation.metrics import ApiMetrics

            ApiMetrics(registry)
        case "ingest":
            from ingest.metrics import IngestMetrics

            IngestMetrics(registry).watch(
                inbox_messages=float,
                unacknowledged=float,
                connected=float,
                payload_bytes=float,
                refused=float,
                confirmed=float,
                connections=float,
            )
        case "predictor":
            from predictor.metrics import PredictorMetrics

            PredictorMetrics(registry)
        case "scheduler":
            from scheduler.metrics import SchedulerMetrics

            SchedulerMetrics(registry)
    return registry


def table(process: str) -> str:
    lines = ["| metric | type | what it is |", "|---|---|---|"]
    return "\n".join(lines + [f"| `{name}` | {kind} | {text} |" for name, kind, text in sorted(rows(process))])


@pytest.mark.parametrize("process", PROCESSES)
def test_the_tables_are_the_code_s(process):
    assert table(process) in OPERATIONS.read_text(encoding="utf-8")


@pytest.mark.parametrize("process", PROCESSES)
def test_names_carry_their_process_and_unit(process):
    for name, kind, text in rows(process):
        assert name.startswith(f"careloop_{process}_")
        assert (kind == "counter") is name.endswith("_total"), name
        assert text, name
        if "second" in text or re.search(r"\b(how long|how old|age)\b", text.lower()):
            assert "seconds" in name, f"{name}: {text}"


def blocks(language: str) -> list[Any]:
    found = re.findall(rf"```{language}\n(.*?)```", OPERATIONS.read_text(encoding="utf-8"), re.DOTALL)
    return [yaml.safe_load(text) for text in found]


def test_the_alert_rules_speak_of_metrics_that_exist():
    known = {name for process in PROCESSES for name, _, _ in rows(process)}
    known |= {f"{name}_bucket" for name in known} | {"up", "process_resident_memory_bytes"}
    (rules,) = [block for block in blocks("yaml") if "groups" in block]
    alerts = [rule for group in rules["groups"] for rule in group["rules"]]
    assert len(alerts) > 5
    for alert in alerts:
        assert set(alert) == {"alert", "expr", "for", "annotations"}, alert["alert"]
        used = set(re.findall(r"\b(?:careloop|process)_\w+", alert["expr"]))
        assert used <= known, alert["alert"]


def test_the_scrape_configuration_names_every_process_where_up_puts_it():
    (config,) = [block for block in blocks("yaml") if "scrape_configs" in block]
    targets = {
        static["labels"]["process"]: static["targets"]
        for job in config["scrape_configs"]
        for static in job["static_configs"]
    }
    assert targets == {name: [f"127.0.0.1:{port}"] for name, port in metrics_ports(9464).items()}


if __name__ == "__main__":
    for name in PROCESSES:
        print(f"### {name}\n\n{table(name)}\n")
