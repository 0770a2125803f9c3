"""What real devices sent, and the readings that it means."""

from typing import Any

import pytest

from ingest.decode import Decoder, RefusalError
from tests.contract.conftest import NOW, Reader, cases, delivery_of, formats_of, payload_of

ALL = list(cases())


@pytest.mark.parametrize(("kind", "case"), ALL, ids=[f"{kind}-{case['name']}" for kind, case in ALL])
def test_a_captured_message_means_what_stands_beside_it(kind: str, case: dict[str, Any]) -> None:
    reader = Reader(Decoder(formats_of(kind, case.get("zone", ""))))
    found: list[tuple[str, str, float, str, float]] = []
    bad, refusal = 0, None
    for message in case["messages"]:
        answer = reader.read(delivery_of(message["topic"], payload_of(message), message.get("content_type", "")))
        if isinstance(answer, RefusalError):
            refusal = answer.reason
            continue
        for part in answer:
            bad += len(part.bad)
            found += [
                (part.serial, reading.metric, reading.value, reading.unit, reading.time_s) for reading in part.readings
            ]
    expected = [
        (serial, metric, float(value), unit, NOW.timestamp() if time_s is None else time_s)
        for serial, time_s, metric, value, unit in case["expected"]
    ]
    assert [row[:4] for row in found] == [row[:4] for row in expected]
    assert [row[4] for row in found] == pytest.approx([row[4] for row in expected], abs=1e-6)
    assert (bad, refusal) == (case["bad"], case.get("refusal"))
    assert reader.states == case.get("states", {})
    assert len(reader.requests) == case.get("rebirths", 0)


def test_every_format_is_captured() -> None:
    assert {kind for kind, _ in ALL} == {"home_assistant", "json_objects", "senml", "sparkplug", "thingsboard"}
    assert all(case["source"] for _, case in ALL)
