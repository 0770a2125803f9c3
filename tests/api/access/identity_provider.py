"""A small real OpenID Connect provider over HTTP: codes, PKCE, RSA keys that change, signed tokens."""

import base64
import hashlib
import hmac
import json
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey

CLIENT_ID = "careloop-desk"
CLIENT_SECRET = "known-to-both"
REDIRECT_URL = "https://desk.example.com/came-back"


@dataclass
class IdentityProvider:
    """What it knows; tests change it between steps.

    Attributes:
        issuer: Its address.
        now: The time it puts into tokens.
        person: Claims of whoever sits at the browser.
        keys: Its keys; the last one signs.
        change_claims: A last change of a token's claims.
        sign: Makes the token of claims; by the last key if not replaced.
    """

    issuer: str
    now: datetime
    person: dict[str, Any]
    keys: list[RSAKey]
    change_claims: dict[str, Any] = field(default_factory=dict)
    sign: Callable[[dict[str, Any]], str] | None = None
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def authorize(self, url: str) -> dict[str, str]:
        """What the browser brings back after the person has said yes."""
        query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        assert query["response_type"] == "code"
        assert query["client_id"] == CLIENT_ID
        assert query["redirect_uri"] == REDIRECT_URL
        assert query["code_challenge_method"] == "S256"
        code = secrets.token_urlsafe(16)
        self.codes[code] = query
        return {"code": code, "state": query["state"], "iss": self.issuer}

    def redeem(self, form: dict[str, str], authorization: str) -> tuple[int, dict[str, Any]]:
        """The answer of the token endpoint."""
        expected = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
        if authorization != f"Basic {expected}":
            return 401, {"error": "invalid_client"}
        # A code is good once.
        query = self.codes.pop(form.get("code", ""), None)
        verifier = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(verifier).decode().rstrip("=")
        if query is None or query["code_challenge"] != challenge or form["redirect_uri"] != query["redirect_uri"]:
            return 400, {"error": "invalid_grant"}
        issued = int(self.now.timestamp())
        claims = {
            "iss": self.issuer, "aud": CLIENT_ID, "iat": issued, "exp": issued + 300, "nonce": query["nonce"],
            **self.person, **self.change_claims,
        }  # fmt: skip
        claims = {name: value for name, value in claims.items() if value is not None}
        token = self.sign(claims) if self.sign else signed(claims, self.keys[-1])
        return 200, {"access_token": "x", "token_type": "Bearer", "id_token": token}

    def document(self) -> dict[str, Any]:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/jwks",
            "token_endpoint_auth_methods_supported": ["client_secret_basic"],
            "authorization_response_iss_parameter_supported": True,
        }


def new_key() -> RSAKey:
    return RSAKey.generate_key(2048, {"use": "sig", "kid": secrets.token_hex(8)})


def signed(claims: dict[str, Any], key: RSAKey, kid: str | None = None) -> str:
    return jwt.encode({"alg": "RS256", "kid": kid or key.kid}, claims, key)


def unsigned(claims: dict[str, Any]) -> str:
    """`alg: none`, as RFC 7519 6.1 writes it."""
    parts = ({"alg": "none"}, claims)
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts) + "."


def by_shared_secret(claims: dict[str, Any], key: RSAKey) -> str:
    """Signed by HMAC with the public key as the secret: what a verifier that trusts `alg` falls for."""
    head, body = (
        base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")
        for part in ({"alg": "HS256", "kid": key.kid}, claims)
    )
    mac = hmac.new(key.as_pem(private=False), f"{head}.{body}".encode(), "sha256")
    return f"{head}.{body}.{base64.urlsafe_b64encode(mac.digest()).decode().rstrip('=')}"


@contextmanager
def serving(now: datetime, person: dict[str, Any], keys: list[RSAKey]) -> Iterator[IdentityProvider]:
    """The provider on a free port."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def answer(self, status: int, body: dict[str, Any]) -> None:
            text = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def do_GET(self) -> None:
            path = urlsplit(self.path).path
            provider.asked.append(path)
            if path == "/.well-known/openid-configuration":
                self.answer(200, provider.document())
            elif path == "/jwks":
                self.answer(200, KeySet(provider.keys).as_dict(private=False))
            elif path == "/authorize":
                back = provider.authorize(self.path)
                self.send_response(302)
                self.send_header("Location", f"{REDIRECT_URL}?{urlencode(back)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
            else:
                self.answer(404, {})

        def do_POST(self) -> None:
            provider.asked.append(self.path)
            text = self.rfile.read(int(self.headers["Content-Length"])).decode()
            form = {name: values[0] for name, values in parse_qs(text).items()}
            self.answer(*provider.redeem(form, self.headers.get("Authorization", "")))

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    provider = IdentityProvider(f"http://127.0.0.1:{server.server_address[1]}", now, person, keys)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
