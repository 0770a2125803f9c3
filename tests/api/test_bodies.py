"""A body has a limit, and a slow one holds no connection to the database."""

import socket
from urllib.parse import urlsplit

import httpx

from api.conventions.bodies import LARGEST_BODY_BYTES


def test_a_body_has_a_limit_and_a_slow_sender_keeps_nobody_waiting(serve_api) -> None:
    with serve_api(connections=2) as api:
        headers = {"Authorization": f"Bearer {api.keys['agent']}", "Content-Type": "application/json"}
        pieces = (b" " * 2**20 for _ in range(LARGEST_BODY_BYTES // 2**20 + 1))
        for content in (b" " * (LARGEST_BODY_BYTES + 1), pieces):
            answer = httpx.post(f"{api.url}/v1/customers", headers=headers, content=content, timeout=30)
            assert (answer.status_code, answer.json()["type"]) == (413, "/problems/too-large")
        place = urlsplit(api.url)
        head = (
            "POST /v1/customers HTTP/1.1",
            "Host: x",
            f"Authorization: {headers['Authorization']}",
            "Content-Length: 9",
        )
        half = "\r\n".join([*head, "", "{"])
        slow = [socket.create_connection((place.hostname, place.port)) for _ in range(4)]
        for sender in slow:
            sender.sendall(half.encode())
        with api.client("agent") as agent:
            assert agent.get("/v1/customers")["items"] == []
        for sender in slow:
            sender.close()
