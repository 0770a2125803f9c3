"""Dead letters over HTTP."""

import base64
import os
import subprocess
import sys
import uuid

import httpx
import pytest

from careloop.client import ProblemError
from careloop.database.engine import connect

PAYLOADS = (b'[{"n":"t","v":1,"t":1700000000}]', b"\xff\x00", b"no json")


@pytest.fixture
def letters(api):
    """Two of an asset that is not registered, one malformed."""
    with connect(api.database_url) as connection:
        for serial, reason, payload in zip(
            ("S1", "S2", "S1"), ("unknown_asset", "unknown_asset", "malformed"), PAYLOADS, strict=True
        ):
            connection.execute(
                "INSERT INTO telemetry.dead_letter "
                "(message_id, received_at, topic, content_type, reason, detail, payload, payload_bytes) "
                "VALUES (%s, '2026-06-30Z', %s, 'application/senml+json', %s, 'why', %s, %s)",
                (uuid.uuid4(), f"careloop/v1/{serial}/telemetry", reason, payload, len(payload)),
            )


def test_letters_are_listed_filtered_counted_and_read(api, letters) -> None:
    with api.client("agent") as desk:
        listed = list(desk.pages("/v1/dead-letters"))
        assert [letter["reason"] for letter in listed] == ["unknown_asset", "unknown_asset", "malformed"]
        assert len(list(desk.pages("/v1/dead-letters", reason="unknown_asset", serial="S1"))) == 1
        assert desk.get("/v1/dead-letters", since="2026-07-01T00:00:00Z")["items"] == []
        counted = desk.get("/v1/dead-letters/reasons")["items"]
        assert [(row["reason"], row["dead_letters"]) for row in counted] == [("unknown_asset", 2), ("malformed", 1)]
        texts = []
        for letter, payload in zip(listed, PAYLOADS, strict=True):
            one = desk.get(f"/v1/dead-letters/{letter['dead_letter_id']}")
            assert base64.b64decode(one["payload_base64"]) == payload
            texts.append(one["payload_text"])
        assert texts == [PAYLOADS[0].decode(), None, "no json"]
        with pytest.raises(ProblemError) as refused:
            desk.get("/v1/dead-letters/999")
        assert refused.value.status == 404


def test_a_replay_must_say_what_it_means(api, letters) -> None:
    with api.client("agent") as desk:
        with pytest.raises(ProblemError, match="say which"):
            desk.post("/v1/dead-letters/replays", {})
        with pytest.raises(ProblemError, match="there is no dead letter 77"):
            desk.post("/v1/dead-letters/replays", {"dead_letter_id": 77})
        asked = desk.post("/v1/dead-letters/replays", {"everything": True})
        assert (asked["requested_by"], asked["finished_at"]) == ("test-agent", None)
        assert list(desk.pages("/v1/dead-letters/replays")) == [asked]
    with api.client("technician") as technician, pytest.raises(ProblemError) as refused:
        technician.post("/v1/dead-letters/replays", {"everything": True})
    assert refused.value.status == 403


def test_the_command_line_replays_what_was_mended(api, letters) -> None:
    with api.client("service") as client:
        client.post("/v1/product-models", {"code": "M", "name": "M", "kind": "k"})
        client.post("/v1/assets", {"serial": "S1", "model": "M", "installed_at": "2026-01-01T00:00:00Z"})
    done = subprocess.run(
        [sys.executable, "-m", "careloop", "ingest", "replay-dead-letters", "--serial", "S1"],
        env={**os.environ, "CARELOOP_DATABASE_URL": api.database_url},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.strip() == (
        "2 messages tried again: 1 settled, 1 still among the dead letters; 1 readings and 0 events added"
    )
    with api.client("agent") as desk:
        assert [letter["reason"] for letter in desk.pages("/v1/dead-letters")] == ["unknown_asset", "malformed"]


def test_a_text_that_no_database_holds_is_refused_by_its_parameter(api) -> None:
    answer = httpx.get(
        f"{api.url}/v1/dead-letters?reason=%00", headers={"Authorization": f"Bearer {api.keys['agent']}"}
    )
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "query.reason")
