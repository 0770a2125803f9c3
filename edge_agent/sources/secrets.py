"""Secrets stand in the environment or in a file, never in the TOML file."""

import os
from pathlib import Path

from edge_agent.sources.source import SourceError


def secret_from(env: str | None, file: Path | None) -> str | None:
    """The secret; None when neither is named. Read each time, so that a changed one is taken without a restart.

    Raises:
        SourceError: It is not there.
    """
    if env is not None:
        secret = os.environ.get(env)
        if not secret:
            raise SourceError(f"the environment variable {env} is not set; it should hold the secret")
        return secret
    if file is not None:
        try:
            return file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            raise SourceError(f"the secret in {file} cannot be read: {reason}") from error
    return None
