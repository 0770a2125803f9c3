"""Passwords of people: argon2id (RFC 9106), worked out in threads, a few at a time.

A check takes tens of milliseconds and 64 MiB on purpose. Off the event loop other calls go on meanwhile, and no more
than a few at once: a flood of logins waits instead of eating the memory.
"""

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

import anyio
import anyio.to_thread
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

AT_ONCE = 2
SHORTEST = 12
LONGEST = 256

Made = TypeVar("Made")


@dataclass(frozen=True)
class Verdict:
    """What a check found.

    Attributes:
        right: Whether the password is the one.
        renewed: A new hash to keep, when the old one was made with other parameters than today's.
    """

    right: bool
    renewed: str | None = None


class Passwords:
    """Makes and checks hashes.

    Args:
        hasher: Today's parameters.
        at_once: How many are worked out at the same time.
    """

    def __init__(self, hasher: PasswordHasher | None = None, at_once: int = AT_ONCE) -> None:
        self._hasher = hasher or PasswordHasher()
        self._at_once = at_once
        # Belongs to the event loop it is first used on.
        self._places: anyio.CapacityLimiter | None = None

    async def hash(self, password: str) -> str:
        """A salted hash, with its parameters in it."""
        return await self._aside(lambda: self._hasher.hash(normal(password)))

    async def check(self, password: str, kept: str | None) -> Verdict:
        """Whether a password is the one whose hash is kept.

        Without a hash the same work is done for nothing, so that the time does not tell whether the account exists.
        """
        return await self._aside(lambda: self._check(normal(password), kept))

    def _check(self, password: str, kept: str | None) -> Verdict:
        try:
            self._hasher.verify(kept or _nobodys(self._hasher), password)
        except (VerificationError, InvalidHashError):
            return Verdict(right=False)
        if kept is None:
            return Verdict(right=False)
        stale = self._hasher.check_needs_rehash(kept)
        return Verdict(right=True, renewed=self._hasher.hash(password) if stale else None)

    async def _aside(self, work: Callable[[], Made]) -> Made:
        if self._places is None:
            self._places = anyio.CapacityLimiter(self._at_once)
        return await anyio.to_thread.run_sync(work, limiter=self._places)


def normal(password: str) -> str:
    """The same text for the same keys pressed, whatever keyboard wrote the accents (NIST SP 800-63B, 3.1.1.2)."""
    return unicodedata.normalize("NFKC", password)


def fault(password: str, login: str) -> str | None:
    """What is wrong with a new password, if anything; length counts, not the kinds of characters (NIST SP 800-63B).

    >>> fault("short", "anna")
    'must have 12 to 256 characters'
    >>> fault("anna-anna-anna", "anna")
    'must not be made of the login'
    >>> fault("aaaaaaaaaaaaaaaa", "anna")
    'must have at least 5 different characters'
    """
    text = normal(password)
    if not SHORTEST <= len(text) <= LONGEST:
        return f"must have {SHORTEST} to {LONGEST} characters"
    if len(set(text)) < 5:
        return "must have at least 5 different characters"
    rest = text.casefold().replace(login.casefold(), "")
    if sum(letter.isalnum() for letter in rest) < 5:
        return "must not be made of the login"
    return None


@lru_cache(maxsize=4)
def _nobodys(hasher: PasswordHasher) -> str:
    """A hash that nobody has the password of, as costly to check as everybody's."""
    return hasher.hash("nobody")
