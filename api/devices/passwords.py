"""Passwords of devices, and their hashes as Mosquitto 2 keeps them: `$7$iterations$salt$hash`, PBKDF2 with SHA-512."""

import base64
import hashlib
import hmac
import re
import secrets

# A generated password has 256 random bits, which stretching would not make safer; this is Mosquitto's own default.
ITERATIONS = 101
# One that people think up.
ITERATIONS_BY_HAND = 10_000
SALT_BYTES = 12
KEY_PREFIX = "clk_"

_HASH = re.compile(r"\$7\$(?P<iterations>[1-9]\d{0,6})\$(?P<salt>[A-Za-z0-9+/=]+)\$(?P<key>[A-Za-z0-9+/=]+)")


def new_claim_key() -> str:
    """A claim key of 256 random bits, recognisable in a leak by its prefix."""
    return KEY_PREFIX + secrets.token_urlsafe(32)


def digest(text: str) -> bytes:
    """What is kept of a secret of 256 random bits."""
    return hashlib.sha256(text.encode()).digest()


def password_from(device_secret: str | None, salt: bytes) -> str:
    """The password that a device's secret and the platform's salt give; a random one without a secret."""
    if device_secret is None:
        return secrets.token_urlsafe(32)
    key = hmac.digest(device_secret.encode(), b"careloop device password\0" + salt, "sha256")
    return base64.urlsafe_b64encode(key).decode().rstrip("=")


def hash_password(password: str, iterations: int = ITERATIONS) -> str:
    """A password's hash for Mosquitto's file, salted anew each time."""
    salt = secrets.token_bytes(SALT_BYTES)
    key = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, iterations)
    return f"$7${iterations}${base64.b64encode(salt).decode()}${base64.b64encode(key).decode()}"


def is_password(password: str, kept: str | None) -> bool:
    """Whether a password is the one whose hash is kept.

    Without a hash the same work is done for nothing, so that the time does not tell whether the account exists.
    """
    found = _HASH.fullmatch(kept or _NOBODYS)
    if found is None:
        raise ValueError("not a password hash of Mosquitto 2")
    key = base64.b64decode(found["key"])
    given = hashlib.pbkdf2_hmac(
        "sha512", password.encode(), base64.b64decode(found["salt"]), int(found["iterations"]), len(key)
    )
    return hmac.compare_digest(given, key) and kept is not None


_NOBODYS = hash_password("nobody")
