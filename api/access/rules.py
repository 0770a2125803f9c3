"""How keys are made."""

import secrets

PREFIX = "ck_"


def new_key() -> str:
    """A key of 256 random bits, recognisable in a leak by its prefix."""
    return PREFIX + secrets.token_urlsafe(32)
