"""The API as people use it who log in."""

from datetime import UTC, datetime
from typing import Any

import httpx
from argon2 import PasswordHasher

NOW = datetime(2026, 7, 1, 8, tzinfo=UTC)
PASSWORD = "correct horse battery staple"
# Hashes that take no time; what they take otherwise has its own test.
TODAYS = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)


class Desk:
    """The API as people use it who log in."""

    def __init__(self, url: str) -> None:
        self.client = httpx.Client(base_url=url, timeout=30)

    def ask(self, method: str, path: str, body: Any = None, *, token: str = "", now: datetime = NOW, **headers: str):
        given = {"Careloop-Now": now.isoformat(), **headers}
        if token:
            given["Authorization"] = f"Bearer {token}"
        return self.client.request(method, path, json=body, headers=given)

    def log_in(self, login: str, password: str = PASSWORD, *, now: datetime = NOW) -> httpx.Response:
        return self.ask("POST", "/v1/login", {"login": login, "password": password}, now=now)

    def token(self, login: str, password: str = PASSWORD, *, now: datetime = NOW) -> str:
        answer = self.log_in(login, password, now=now)
        assert answer.status_code == 200, answer.text
        return answer.json()["token"]


def make_user(api, login: str, role: str = "agent", password: str = PASSWORD, **fields: object) -> dict:
    with api.client("admin") as admin:
        user = admin.post("/v1/users", {"login": login, "name": login.title(), "role": role, **fields})
    answer = httpx.put(
        f"{api.url}/v1/users/{user['user_id']}/password",
        json={"new_password": password},
        headers={"Authorization": f"Bearer {api.keys['admin']}"},
    )
    assert answer.status_code == 204, answer.text
    return user
