"""Passwords and API keys of one state directory, in a file that only its owner reads."""

import json
import os
import secrets
from pathlib import Path


class SecretFile:
    """Secrets by name, as JSON with mode 0600.

    Args:
        path: The file; made when the first secret is.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def get(self, name: str) -> str | None:
        """The secret of that name, if there is one."""
        return self._read().get(name)

    def get_or_make(self, name: str) -> str:
        """The secret of that name; a random one is made and kept when there is none."""
        secret = self.get(name)
        if secret is None:
            secret = secrets.token_urlsafe(24)
            self.put(name, secret)
        return secret

    def put(self, name: str, secret: str) -> None:
        """Keep a secret; the file is replaced whole, so that a killed writer leaves the old one."""
        kept = {**self._read(), name: secret}
        draft = self.path.with_suffix(".draft")
        draft.unlink(missing_ok=True)
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(kept, file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self.path)

    def _read(self) -> dict[str, str]:
        try:
            return dict(json.loads(self.path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return {}
