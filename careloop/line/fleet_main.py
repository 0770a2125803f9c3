"""Wires and runs `careloop register-fleet`; reads the clock."""

import json
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from careloop.client import CareloopClient
from careloop.errors import CareloopError
from careloop.line.demo_fleet import register
from careloop.settings import ApiClientSettings
from careloop.stack.process import careloop_command


class _LiveClient(CareloopClient):
    """Leaves the time to the API, which refuses to be told it when it runs on the system clock."""

    def post(
        self,
        path: str,
        body: Mapping[str, Any],
        *,
        now: datetime | None = None,  # noqa: ARG002 - the parent's parameter, left out on purpose
        key: str | None = None,
        version: int | None = None,
    ) -> Any:
        return super().post(path, body, key=key, version=version)


def run(config: Path) -> int:
    """Register the fleet of a configuration, unless it is registered already."""
    settings = ApiClientSettings()
    fleet = _edge("fleet", "--config", str(config))
    with _LiveClient(settings.api_url, settings.api_key) as client:
        known = {asset["serial"] for asset in client.assets()}
        if any(machine["serial"] in known for machine in fleet):
            print(f"{len(known)} assets are registered already")
            return 0
        register(client, _edge("catalogue"), fleet, datetime.now(UTC))
    print(f"registered {len(fleet)} assets")
    return 0


def _edge(*words: str) -> list[dict[str, Any]]:
    """What the agent says of its fleet; it is asked as a process, since no room imports a service."""
    done = subprocess.run(careloop_command("edge", *words), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise CareloopError(f"careloop edge {' '.join(words)}: {done.stderr.strip()}")
    return list(json.loads(done.stdout))
