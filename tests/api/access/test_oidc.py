"""Login by an identity provider, against a real one over HTTP with real keys and signatures."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from api.access.login import Entrance
from api.access.oidc import OidcClient, OidcProvider
from careloop.database.engine import connect
from tests.api.access.identity_provider import (
    CLIENT_ID,
    CLIENT_SECRET,
    REDIRECT_URL,
    IdentityProvider,
    by_shared_secret,
    new_key,
    serving,
    signed,
    unsigned,
)

NOW = datetime(2026, 7, 1, 8, tzinfo=UTC)
ANNA = {"sub": "anna-1", "email": "Anna@example.com", "email_verified": True, "name": "Anna", "groups": ["desk"]}


class Browser:
    """Somebody at a browser who logs in."""

    def __init__(self, url: str, now: datetime = NOW) -> None:
        self.client = httpx.Client(base_url=url, timeout=30)
        self.now = now

    def post(self, path: str, body: Any = None) -> httpx.Response:
        return self.client.post(path, json=body or {}, headers={"Careloop-Now": self.now.isoformat()})

    def begin(self) -> dict[str, str]:
        answer = self.post("/v1/login/oidc")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def come_back(self, begun: dict[str, str]) -> dict[str, str]:
        """Go to the provider, say yes, and come back: the body of the finish."""
        answer = httpx.get(begun["authorization_url"], follow_redirects=False)
        assert answer.headers["Location"].startswith(REDIRECT_URL)
        back = {name: values[0] for name, values in parse_qs(urlsplit(answer.headers["Location"]).query).items()}
        assert back["state"] == begun["state"]
        return {**back, "browser_secret": begun["browser_secret"]}

    def finish(self, body: dict[str, str]) -> httpx.Response:
        return self.post("/v1/login/oidc/finish", body)

    def log_in(self) -> httpx.Response:
        return self.finish(self.come_back(self.begin()))


@pytest.fixture(scope="module")
def keys() -> list:
    return [new_key() for _ in range(3)]


@pytest.fixture
def provider(keys: list) -> Iterator[IdentityProvider]:
    with serving(NOW, dict(ANNA), [keys[0]]) as running:
        yield running


@pytest.fixture
def browser(
    provider: IdentityProvider, serve_api: Callable[..., AbstractContextManager]
) -> Iterator[Callable[..., Browser]]:
    client = OidcClient(provider.issuer, CLIENT_ID, CLIENT_SECRET, REDIRECT_URL)
    entrance = Entrance(
        oidc=OidcProvider(client),
        role_claim="groups",
        role_of_claim={"leads": "desk_lead", "desk": "agent"},
        create_users=True,
    )
    with serve_api(entrance=entrance) as api:
        yield Browser(api.url), api


def users(api: Any) -> list[dict]:
    with connect(api.database_url) as connection:
        return connection.execute("SELECT * FROM service.app_user ORDER BY user_id").fetchall()


def test_people_come_in_by_the_provider(browser, provider: IdentityProvider) -> None:
    """Made at the first login, known at the second; the role follows the claim; who is locked out stays out."""
    somebody, api = browser
    entered = somebody.log_in()
    assert entered.status_code == 200, entered.text
    user = entered.json()["user"]
    assert (user["login"], user["role"], user["name"]) == ("anna@example.com", "agent", "Anna")
    token = {"Authorization": f"Bearer {entered.json()['token']}", "Careloop-Now": NOW.isoformat()}
    me = httpx.get(f"{api.url}/v1/me", headers=token)
    assert (me.status_code, me.json()["user_id"], me.json()["role"]) == (200, user["user_id"], "agent")

    provider.person = {**ANNA, "groups": ["other", "leads", "desk"], "email": None}
    again = somebody.log_in().json()["user"]
    assert (again["user_id"], again["role"]) == (user["user_id"], "desk_lead")
    assert httpx.get(f"{api.url}/v1/me", headers=token).json()["role"] == "desk_lead"

    provider.person = {**ANNA, "groups": ["other"]}
    refused = somebody.log_in()
    assert (refused.status_code, refused.json()["type"]) == (403, "/problems/no-role")

    provider.person = dict(ANNA)
    with api.client("admin") as admin:
        admin.post(f"/v1/users/{user['user_id']}/deactivate", {})
    assert somebody.log_in().json()["type"] == "/problems/no-such-user"
    assert httpx.get(f"{api.url}/v1/me", headers=token).status_code == 401
    assert len(users(api)) == 1

    with api.client("admin") as admin:
        written = list(admin.pages("/v1/audit", table="app_user", key=str(user["user_id"])))
    assert [(line["actor"], line["action"]) for line in written[:2]] == [
        ("identity provider", "insert"),
        ("identity provider", "update"),
    ]
    assert written[1]["after"] == {"role": "desk_lead"}


def test_a_user_of_ours_is_linked_by_a_verified_address(browser, provider: IdentityProvider) -> None:
    somebody, api = browser
    with api.client("admin") as admin:
        made = admin.post("/v1/users", {"login": "a.n", "name": "A", "role": "engineer", "email": "anna@EXAMPLE.com"})
        customer = admin.post("/v1/customers", {"name": "Berta"})["customer_id"]
        bound = {"login": "b", "name": "B", "role": "customer", "customer_id": customer, "email": "b@example.com"}
        admin.post("/v1/users", {**bound, "login": "berta"})
    provider.person = {**ANNA, "email_verified": False, "groups": []}
    assert somebody.log_in().status_code == 403
    provider.person = dict(ANNA)
    linked = somebody.log_in().json()["user"]
    assert (linked["user_id"], linked["role"], linked["oidc_subject"]) == (made["user_id"], "agent", "anna-1")
    # Who is tied to a customer stays that, whatever the claim says.
    provider.person = {**ANNA, "sub": "berta-1", "email": "b@example.com", "groups": ["leads"]}
    assert somebody.log_in().json()["user"]["role"] == "customer"


def test_what_is_not_to_be_believed_is_refused(browser, provider: IdentityProvider, keys: list) -> None:
    somebody, api = browser
    strange = keys[2]
    issued = int(NOW.timestamp())
    lies: dict[str, dict[str, Any]] = {
        "wrong audience": {"change_claims": {"aud": "somebody-else"}},
        "another party too": {"change_claims": {"aud": [CLIENT_ID, "other"], "azp": "other"}},
        "several parties and none named": {"change_claims": {"aud": [CLIENT_ID, "other"]}},
        "wrong issuer": {"change_claims": {"iss": "https://evil.example.com"}},
        "expired": {"change_claims": {"iat": issued - 900, "exp": issued - 300}},
        "no end": {"change_claims": {"exp": None}},
        "from the future": {"change_claims": {"iat": issued + 900}},
        "not yet": {"change_claims": {"nbf": issued + 900}},
        "wrong nonce": {"change_claims": {"nonce": "played-back"}},
        "no nonce": {"change_claims": {"nonce": None}},
        "no subject": {"change_claims": {"sub": None}},
        "a subject of NUL": {"change_claims": {"sub": "a\x00b"}},
        "alg none": {"sign": unsigned},
        "HMAC by the public key": {"sign": lambda claims: by_shared_secret(claims, keys[0])},
        "a stranger's key": {"sign": lambda claims: signed(claims, strange)},
        "a stranger's key under a known name": {"sign": lambda claims: signed(claims, strange, kid=keys[0].kid)},
        "changed after signing": {"sign": lambda claims: _changed(signed(claims, keys[0]))},
        "no token at all": {"sign": lambda _: "nonsense"},
    }
    for name, lie in lies.items():
        provider.change_claims, provider.sign = lie.get("change_claims", {}), lie.get("sign")
        answer = somebody.log_in()
        assert (answer.status_code, answer.json()["type"]) == (401, "/problems/login-failed"), (name, answer.text)
    assert users(api) == []
    provider.change_claims, provider.sign = {}, None
    assert somebody.log_in().status_code == 200


def _changed(token: str) -> str:
    head, body, signature = token.split(".")
    letter = "A" if body[20] != "A" else "B"
    return f"{head}.{body[:20]}{letter}{body[21:]}.{signature}"


def test_nothing_can_be_played_back(browser, provider: IdentityProvider) -> None:
    somebody, _ = browser
    body = somebody.come_back(somebody.begin())
    assert somebody.finish({**body, "browser_secret": "another browser"}).status_code == 401
    assert somebody.finish(body).status_code == 401, "used up, though it failed"
    body = somebody.come_back(somebody.begin())
    assert somebody.finish({**body, "iss": "https://evil.example.com"}).status_code == 401
    body = somebody.come_back(somebody.begin())
    assert somebody.finish({name: body[name] for name in body if name != "iss"}).status_code == 401
    body = somebody.come_back(somebody.begin())
    assert somebody.finish(body).status_code == 200
    assert somebody.finish(body).status_code == 401
    # A code that belongs to another login: PKCE.
    ours, others = somebody.come_back(somebody.begin()), somebody.come_back(somebody.begin())
    assert somebody.finish({**ours, "code": others["code"]}).status_code == 401
    body = somebody.come_back(somebody.begin())
    somebody.now = NOW + timedelta(minutes=11)
    assert somebody.finish(body).status_code == 401
    assert somebody.finish({**body, "state": "made up"}).status_code == 401


def test_keys_may_change(browser, provider: IdentityProvider, keys: list) -> None:
    """A new key is fetched when it is first seen, once in a while; what does not answer is told as that."""
    somebody, _ = browser
    assert somebody.log_in().status_code == 200
    provider.keys = [keys[1]]
    assert somebody.log_in().status_code == 401, "looked for seconds ago"
    somebody.now = provider.now = NOW + timedelta(minutes=1)
    assert somebody.log_in().status_code == 200
    asked = provider.asked.count("/jwks")
    assert somebody.log_in().status_code == 200
    assert provider.asked.count("/jwks") == asked == 2
    assert provider.asked.count("/.well-known/openid-configuration") == 1
    somebody.now = provider.now = NOW + timedelta(hours=3)
    provider.document = lambda: {"issuer": "https://evil.example.com"}
    answer = somebody.post("/v1/login/oidc")
    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/identity-provider-unavailable")


def test_without_a_provider_there_is_none(api) -> None:
    assert httpx.post(f"{api.url}/v1/login/oidc", json={}).status_code == 404
