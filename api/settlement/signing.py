"""The signature under what finance gets: JSON Web Signatures (RFC 7515) with the house's settlement key."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

from careloop.errors import CareloopError

# By type and curve of the key; of RSA there is no curve.
_ALGORITHMS = {
    ("OKP", "Ed25519"): "Ed25519",
    ("EC", "P-256"): "ES256",
    ("EC", "P-384"): "ES384",
    ("EC", "P-521"): "ES512",
    ("RSA", None): "RS256",
}
MEDIA_TYPE = "application/jose+json"
SMALLEST_RSA_BITS = 2048
_REMEDY = "make one by `openssl genpkey -algorithm ed25519 -out settlement-key.pem`"


@dataclass(frozen=True)
class SigningKey:
    """A private key.

    Attributes:
        key: The key itself.
        algorithm: Which signatures it makes, e.g. `Ed25519`.
        key_id: Its thumbprint (RFC 7638).
    """

    key: Key
    algorithm: str
    key_id: str

    @classmethod
    def load(cls, file: Path) -> "SigningKey":
        """Read a private key from a PEM file without a passphrase: Ed25519, NIST curves, or RSA.

        Raises:
            CareloopError: It cannot be read, or is no such key.
        """
        try:
            pem = file.read_bytes()
        except OSError as error:
            raise CareloopError(f"CARELOOP_SETTLEMENT_KEY_FILE: {file} cannot be read: {error.strerror}") from error
        for kind in (OKPKey, ECKey, RSAKey):
            try:
                key = kind.import_key(pem)
            except (JoseError, ValueError, TypeError):
                continue
            told = key.as_dict(private=False)
            algorithm = _ALGORITHMS.get((str(told["kty"]), None if "crv" not in told else str(told["crv"])))
            if algorithm is None or not key.is_private or _too_small(key):
                break
            return cls(key, algorithm, key.thumbprint())
        message = f"{file} holds no private key of Ed25519, P-256, P-384, P-521 or RSA with 2048 bits; {_REMEDY}"
        raise CareloopError(f"CARELOOP_SETTLEMENT_KEY_FILE: {message}")

    def sign(self, content: bytes) -> dict[str, Any]:
        """Content with its signature, as flattened JSON: `protected`, `payload`, `signature`."""
        header = {"alg": self.algorithm, "kid": self.key_id, "typ": "JOSE+JSON", "cty": "json"}
        return dict(jws.serialize_json({"protected": header}, content, self.key, algorithms=[self.algorithm]))

    def public(self) -> dict[str, Any]:
        """What checks its signatures, as a JSON Web Key."""
        return {**self.key.as_dict(private=False), "kid": self.key_id, "alg": self.algorithm, "use": "sig"}


def _too_small(key: Key) -> bool:
    return isinstance(key, RSAKey) and key.public_key.key_size < SMALLEST_RSA_BITS
