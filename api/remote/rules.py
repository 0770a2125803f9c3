"""What of an agent can be said from afar. Pure.

The agent judges what is inside the settings, since agents of several versions are about; here only what the platform
itself must rely on: that they are JSON which the database holds and a message carries.
"""

import json
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from math import isfinite
from typing import Any

LARGEST_SETTINGS_BYTES = 64 * 1024
DEEPEST = 8


def problem_of(settings: Any, place: str = "settings", depth: int = 0) -> str:
    """Why settings cannot be kept, naming the place; empty when they can.

    >>> problem_of({"batching": {"interval_s": float("nan")}})
    'settings.batching.interval_s is not a finite number'
    """
    if depth > DEEPEST:
        return f"{place} is nested more than {DEEPEST} deep"
    if depth == 0 and len(_canonical(settings)) > LARGEST_SETTINGS_BYTES:
        return f"{place} is larger than {LARGEST_SETTINGS_BYTES} bytes"
    inner: Sequence[tuple[object, Any]] = ()
    if isinstance(settings, Mapping):
        inner = list(settings.items())
    elif isinstance(settings, Sequence) and not isinstance(settings, str):
        inner = list(enumerate(settings))
    if any("\x00" in text for text in (settings, *(name for name, _ in inner)) if isinstance(text, str)):
        return f"{place} contains the character NUL"
    if isinstance(settings, float) and not isfinite(settings):
        return f"{place} is not a finite number"
    problems = (problem_of(value, f"{place}.{name}", depth + 1) for name, value in inner)
    return next((problem for problem in problems if problem), "")


def hash_of(settings: Mapping[str, Any]) -> str:
    """What tells these settings from others, whatever the order of their fields: 16 hexadecimal digits."""
    return blake2b(_canonical(settings), digest_size=8).hexdigest()


def _canonical(settings: Any) -> bytes:
    return json.dumps(settings, sort_keys=True, separators=(",", ":")).encode()
