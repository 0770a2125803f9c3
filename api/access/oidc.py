"""The client of an OpenID Connect provider: discovery, authorization code with PKCE, and the judging of ID tokens.

OpenID Connect Core 1.0, Discovery 1.0, RFC 7636 (PKCE), RFC 9207 (issuer in the answer). The provider's document and
keys are kept for an hour; a key that is not among them is looked for once more, for providers change their keys.
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode, urlsplit

import anyio.to_thread
import requests
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet

from careloop.errors import CareloopError

# Signatures by keys that only the provider has. `none` is no signature, and HS… is made with a secret others know too.
ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"]
KEPT_FOR = timedelta(hours=1)
# How often keys may be looked for again; else tokens with made-up keys would make us ask at will.
LOOKED_FOR_EVERY = timedelta(seconds=30)
LEEWAY_S = 60
TIMEOUT_S = 5.0
LARGEST_ANSWER = 1_000_000


class ProviderError(CareloopError):
    """The identity provider does not answer, or not as the standard says."""


class TokenError(CareloopError):
    """The ID token, or the way to it, is not to be believed."""


@dataclass(frozen=True)
class OidcClient:
    """What the provider knows us as.

    Attributes:
        issuer: The provider, exactly as its tokens name it.
        client_id: Who we are there.
        client_secret: Empty for a public client.
        redirect_url: Where the provider sends the browser back to.
        scopes: What is asked for, with spaces between.
    """

    issuer: str
    client_id: str
    client_secret: str = field(repr=False)
    redirect_url: str
    scopes: str = "openid email profile"


@dataclass(frozen=True)
class _Provider:
    """The parts of the discovery document that we use."""

    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    basic: bool
    says_issuer: bool


class OidcProvider:
    """One provider, with its document and keys kept for a while; one per process.

    Args:
        client: What we are to it.
    """

    def __init__(self, client: OidcClient) -> None:
        self.client = client
        self._document: tuple[_Provider, datetime] | None = None
        self._keys: tuple[KeySet, datetime] | None = None

    async def authorization_url(self, now: datetime, state: str, nonce: str, code_verifier: str) -> str:
        """Where to send the browser.

        Raises:
            ProviderError: The provider cannot be reached.
        """
        document = await self._discovered(now)
        query = {
            "response_type": "code",
            "client_id": self.client.client_id,
            "redirect_uri": self.client.redirect_url,
            "scope": self.client.scopes,
            "state": state,
            "nonce": nonce,
            "code_challenge": code_challenge(code_verifier),
            "code_challenge_method": "S256",
        }
        joint = "&" if urlsplit(document.authorization_endpoint).query else "?"
        return document.authorization_endpoint + joint + urlencode(query)

    async def claims_for(
        self, now: datetime, code: str, code_verifier: str, nonce: str, issuer: str | None = None
    ) -> dict[str, Any]:
        """Redeem a code, and judge the ID token that comes for it.

        Args:
            now: To judge times by.
            code: From the provider, through the browser.
            code_verifier: Proves that we began this login.
            nonce: Must stand in the token.
            issuer: Who the answer says it is from, where it says so.

        Raises:
            ProviderError: The provider cannot be reached.
            TokenError: The provider refuses the code, or the token is not to be believed.
        """
        document = await self._discovered(now)
        if issuer is not None and issuer != self.client.issuer:
            raise TokenError("the answer is from another issuer")
        if issuer is None and document.says_issuer:
            raise TokenError("the answer lacks its issuer")
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.client.redirect_url,
            "code_verifier": code_verifier,
            "client_id": self.client.client_id,
        }
        answer = await _fetched(document.token_endpoint, form, self._login(document, form))
        token = answer.get("id_token")
        if not isinstance(token, str):
            raise TokenError("the provider gave no ID token for the code")
        return await self._judged(token, nonce, now)

    def _login(self, document: _Provider, form: dict[str, str]) -> tuple[str, str] | None:
        if not self.client.client_secret:
            return None
        if document.basic:
            return self.client.client_id, self.client.client_secret
        form["client_secret"] = self.client.client_secret
        return None

    async def _judged(self, token: str, nonce: str, now: datetime) -> dict[str, Any]:
        """The claims of a token that is signed by the provider, for us, for this login, and still valid."""
        try:
            decoded = jwt.decode(token, await self._keyset(now), algorithms=ALGORITHMS)
        except InvalidKeyIdError:
            decoded = await self._decoded_with_new_keys(token, now)
        except (JoseError, ValueError) as error:
            raise TokenError(f"the ID token is not to be believed: {error}") from error
        registry = jwt.JWTClaimsRegistry(
            now=int(now.timestamp()),
            leeway=LEEWAY_S,
            iss={"essential": True, "value": self.client.issuer},
            aud={"essential": True, "value": self.client.client_id},
            sub={"essential": True},
            exp={"essential": True},
            iat={"essential": True},
            nonce={"essential": True, "value": nonce},
        )
        claims: dict[str, Any] = decoded.claims
        try:
            registry.validate(claims)
        except JoseError as error:
            raise TokenError(f"the ID token is not to be believed: {error}") from error
        if not 1 <= len(claims["sub"]) <= 255 or not claims["sub"].isprintable():
            raise TokenError("the ID token's subject is none (1-255 printable characters)")
        audience = claims["aud"]
        party = claims.get("azp")
        if (isinstance(audience, list) and len(audience) > 1 and party is None) or party not in (
            None,
            self.client.client_id,
        ):
            raise TokenError("the ID token was issued to another party (azp)")
        return claims

    async def _decoded_with_new_keys(self, token: str, now: datetime) -> jwt.Token:
        if self._keys is None or now - self._keys[1] < LOOKED_FOR_EVERY:
            raise TokenError("the ID token is signed by a key that the provider does not have")
        self._keys = None
        try:
            return jwt.decode(token, await self._keyset(now), algorithms=ALGORITHMS)
        except (JoseError, ValueError) as error:
            raise TokenError(f"the ID token is not to be believed: {error}") from error

    async def _discovered(self, now: datetime) -> _Provider:
        if self._document is not None and _fresh(self._document[1], now):
            return self._document[0]
        found = await _fetched(self.client.issuer.rstrip("/") + "/.well-known/openid-configuration")
        if found.get("issuer") != self.client.issuer:
            raise ProviderError(f"the identity provider calls itself {found.get('issuer')!r}; set CARELOOP_OIDC_ISSUER")
        methods = found.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
        document = _Provider(
            authorization_endpoint=self._endpoint(found, "authorization_endpoint"),
            token_endpoint=self._endpoint(found, "token_endpoint"),
            jwks_uri=self._endpoint(found, "jwks_uri"),
            basic="client_secret_basic" in methods,
            says_issuer=found.get("authorization_response_iss_parameter_supported") is True,
        )
        self._document = (document, now)
        return document

    def _endpoint(self, found: Mapping[str, Any], name: str) -> str:
        url = found.get(name)
        if not isinstance(url, str) or urlsplit(url).scheme not in {"https", urlsplit(self.client.issuer).scheme}:
            raise ProviderError(f"the identity provider's {name} is not an https:// address")
        return url

    async def _keyset(self, now: datetime) -> KeySet:
        if self._keys is not None and _fresh(self._keys[1], now):
            return self._keys[0]
        found = await _fetched((await self._discovered(now)).jwks_uri)
        try:
            keys = KeySet.import_key_set({"keys": [key for key in found["keys"] if key.get("use", "sig") == "sig"]})
        except (JoseError, KeyError, TypeError, AttributeError, ValueError) as error:
            raise ProviderError("the identity provider's keys cannot be read") from error
        self._keys = (keys, now)
        return keys


def code_challenge(code_verifier: str) -> str:
    """RFC 7636, S256: BASE64URL(SHA256(code_verifier)).

    >>> code_challenge("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")
    'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM'
    """
    return base64.urlsafe_b64encode(hashlib.sha256(code_verifier.encode()).digest()).decode().rstrip("=")


def claim_at(claims: Mapping[str, Any], path: str) -> list[str]:
    """The texts that a claim holds, one or a list, by a path with dots through objects.

    >>> claim_at({"realm_access": {"roles": ["desk", "x"]}}, "realm_access.roles")
    ['desk', 'x']
    >>> claim_at({"role": "desk"}, "role"), claim_at({}, "role")
    (['desk'], [])
    """
    # A claim's own name may have dots in it, e.g. https://example.com/roles.
    found: Any = claims.get(path)
    if found is None:
        found = claims
        for step in path.split("."):
            found = found.get(step) if isinstance(found, Mapping) else None
    if isinstance(found, str):
        return [found]
    return [item for item in found if isinstance(item, str)] if isinstance(found, list) else []


def _fresh(since: datetime, now: datetime) -> bool:
    return timedelta(0) <= now - since < KEPT_FOR


async def _fetched(
    url: str, form: Mapping[str, str] | None = None, login: tuple[str, str] | None = None
) -> dict[str, Any]:
    return await anyio.to_thread.run_sync(_fetch, url, form, login)


def _fetch(url: str, form: Mapping[str, str] | None, login: tuple[str, str] | None) -> dict[str, Any]:
    """A JSON object by GET, or by POST of a form; in a thread.

    Raises:
        ProviderError: No answer, or none of JSON.
        TokenError: The provider refuses what the form asks for.
    """
    try:
        with requests.Session() as session:
            # Neither a proxy's login nor one of .netrc is the provider's business.
            session.trust_env = False
            method = "GET" if form is None else "POST"
            answer = session.request(
                method, url, data=form, auth=login, timeout=TIMEOUT_S, allow_redirects=False, stream=True,
                headers={"Accept": "application/json"},
            )  # fmt: skip
            text = answer.raw.read(LARGEST_ANSWER + 1, decode_content=True)
        if form is not None and answer.status_code in {400, 401, 403}:
            raise TokenError(f"the identity provider refuses the code ({answer.status_code})")
        if answer.status_code != 200 or len(text) > LARGEST_ANSWER:
            raise ProviderError(f"the identity provider answers {answer.status_code} at {url}")
        found = json.loads(text)
    except requests.RequestException as error:
        raise ProviderError(f"the identity provider does not answer at {url}") from error
    except ValueError as error:
        raise ProviderError(f"the identity provider answers no JSON at {url}") from error
    if not isinstance(found, dict):
        raise ProviderError(f"the identity provider answers no JSON object at {url}")
    return found
