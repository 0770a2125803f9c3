"""Sending, taking, seeing and removing files over HTTP."""

from datetime import UTC, datetime, timedelta

import httpx
import pytest

from careloop.database.engine import connect
from tests.api.files.test_rules import JPEG, PNG

NOW = datetime(2026, 7, 1, 8, tzinfo=UTC)


class Sender:
    """Calls with the key of one caller at a given time."""

    def __init__(self, url: str, key: str, now: datetime = NOW) -> None:
        headers = {"Authorization": f"Bearer {key}"}
        self.http = httpx.Client(base_url=url, headers=headers, timeout=30)
        self.now = now

    def send(self, content: bytes, name: str, **headers: str) -> httpx.Response:
        return self.http.post("/v1/files", params={"name": name}, content=content, headers={**self._time(), **headers})

    def get(self, path: str, **params: object) -> httpx.Response:
        return self.http.get(path, params=params, headers=self._time())

    def post(self, path: str, body: dict | None = None) -> httpx.Response:
        return self.http.post(path, json=body or {}, headers=self._time())

    def delete(self, path: str) -> httpx.Response:
        return self.http.delete(path, headers=self._time())

    def _time(self) -> dict[str, str]:
        return {"Careloop-Now": self.now.isoformat()}


@pytest.fixture
def agent(api) -> Sender:
    return Sender(api.url, api.keys["agent"])


@pytest.fixture
def technician(api) -> Sender:
    return Sender(api.url, api.keys["technician"])


@pytest.fixture
def case(api) -> int:
    with api.client("agent") as client:
        client.post("/v1/product-models", {"code": "HD-5", "name": "HD 5", "kind": "washer", "components": []})
        client.post("/v1/assets", {"serial": "HD5-1", "model": "HD-5", "installed_at": "2025-01-01T00:00:00Z"})
        ticket = client.post("/v1/tickets", {"kind": "repair", "serial": "HD5-1", "title": "no pressure"})
    return ticket["ticket_id"]


def test_a_file_is_sent_taken_and_read_and_orphans_go(agent, technician, case) -> None:
    sent = agent.send(JPEG, "../Pump.JPG")
    assert sent.status_code == 201
    file = sent.json()
    path = f"/v1/files/{file['file_id']}"
    assert sent.headers["Location"] == path
    assert (file["name"], file["media_type"], file["size_bytes"]) == ("Pump.jpg", "image/jpeg", len(JPEG))
    assert (file["attached"], file["ticket_id"]) == (False, None)
    # What waits is its sender's alone, and the same sent twice is one.
    assert technician.get(path).status_code == 404
    again = agent.send(JPEG, "Pump.jpg")
    assert (again.status_code, again.json()["file_id"]) == (200, file["file_id"])
    # Taken by the case, everybody who sees the case has it.
    taken = agent.post(f"{path}/attach", {"ticket_id": case, "audience": "partner"}).json()
    assert (taken["ticket_id"], taken["audience"], taken["attached"]) == (case, "partner", True)
    assert [item["file_id"] for item in technician.get("/v1/files", ticket_id=case).json()["items"]] == [
        file["file_id"]
    ]
    content = technician.get(f"{path}/content")
    assert content.content == JPEG
    assert content.headers["Content-Disposition"] == "attachment; filename=\"Pump.jpg\"; filename*=UTF-8''Pump.jpg"
    assert (content.headers["X-Content-Type-Options"], content.headers["Content-Type"]) == ("nosniff", "image/jpeg")
    # What a case rests on stays, and belongs to one machine.
    assert agent.delete(path).json()["type"] == "/problems/file-attached"
    assert agent.post(f"{path}/attach", {"serial": "HD5-1", "audience": "all"}).json()["audience"] == "partner"
    assert [item["serial"] for item in agent.get("/v1/files", serial="HD5-1").json()["items"]] == ["HD5-1"]
    # Sent anew, the same bytes are another file, kept once; withdrawn or left alone, they go.
    second, third = (agent.send(JPEG, name).json()["file_id"] for name in ("a.jpg", "b.jpg"))
    assert len({file["file_id"], second, third}) == 3
    assert agent.delete(f"/v1/files/{second}").status_code == 204
    assert agent.get(f"/v1/files/{second}").status_code == 404
    agent.send(PNG, "c.png")
    agent.now += timedelta(days=1, seconds=1)
    with_key = Sender(str(agent.http.base_url), agent.http.headers["Authorization"][7:], agent.now)
    assert with_key.get(f"/v1/files/{third}").status_code == 200
    assert agent.get(f"{path}/content").content == JPEG


def test_orphans_go_after_a_day_with_their_bytes(api, agent, case) -> None:
    kept, orphan = agent.send(JPEG, "kept.jpg").json()["file_id"], agent.send(PNG, "orphan.png").json()["file_id"]
    agent.post(f"/v1/files/{kept}/attach", {"ticket_id": case})
    service = Sender(api.url, api.keys["service"], NOW + timedelta(hours=23))
    assert service.post("/v1/duties/run").json()["orphaned-files"] == 0
    service.now = NOW + timedelta(hours=25)
    assert service.post("/v1/duties/run").json()["orphaned-files"] == 1
    assert [service.get(f"/v1/files/{number}").status_code for number in (kept, orphan)] == [200, 404]
    with connect(api.database_url) as connection:
        assert connection.execute("SELECT content FROM service.file_content").fetchall() == [{"content": JPEG}]


def test_what_is_too_large_or_of_another_type_is_refused(serve_api) -> None:
    with serve_api(largest_file_bytes=2000) as api:
        agent = Sender(api.url, api.keys["agent"])
        refused = agent.send(PNG + bytes(2000), "large.png")
        assert (refused.status_code, refused.json()["type"]) == (413, "/problems/too-large")

        def unending():
            for _ in range(1000):
                yield bytes(1000)

        streamed = agent.http.post("/v1/files", params={"name": "x.png"}, content=unending())
        assert streamed.status_code == 413
        refused = agent.send(b"<svg/>", "x.svg")
        assert (refused.status_code, refused.json()["type"]) == (415, "/problems/media-type")
        assert agent.send(b"", "x.txt").status_code == 422
        assert Sender(api.url, "ck_wrong").send(JPEG, "x.jpg").status_code == 401
        assert agent.get("/v1/files").json()["errors"][0]["field"] == "query.ticket_id"
        assert agent.post("/v1/files/77/attach", {"ticket_id": 1}).status_code == 404
        number = agent.send(JPEG, "x.jpg", **{"Idempotency-Key": "k"}).json()["file_id"]
        assert agent.send(JPEG, "x.jpg", **{"Idempotency-Key": "k"}).headers["Idempotency-Replayed"] == "true"
        assert (
            agent.post(f"/v1/files/{number}/attach", {"ticket_id": 9}).json()["errors"][0]["field"] == "body.ticket_id"
        )
        assert agent.post(f"/v1/files/{number}/attach").status_code == 422
        # Files that nothing takes may not fill the database.
        with connect(api.database_url) as connection:
            columns = "owner, sha256, media_type, size_bytes, uploaded_by, at"
            copies = f"SELECT 'copy', {columns} FROM service.file, generate_series(2, 200)"
            connection.execute(f"INSERT INTO service.file (name, {columns}) {copies}")
        assert agent.send(PNG, "x.png").json()["type"] == "/problems/too-many-waiting"
        assert agent.send(JPEG, "x.jpg").status_code == 200
