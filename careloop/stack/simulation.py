"""The simulated fleet of `careloop up --simulate`: its edge agent's file, and its registration."""

import json
from datetime import datetime
from pathlib import Path
from threading import Event

from careloop.errors import CareloopError
from careloop.stack.embedded import EmbeddedStack
from careloop.stack.process import ServiceProcess, careloop_command

REGISTERED_WITHIN_S = 300.0
POLL_S = 0.2

# Seen live, so a year of wear passes in a week, and nobody has to go and replace what failed.
_CONFIG = """\
# Written by careloop up --simulate at its first start; yours to change.
[agent]
id = "simulated-gateway"

[buffer]
file = {buffer}

[[sources]]
kind = "simulator"
name = "fleet"
seed = 7
interval_s = 10
start = "{start}"
acceleration = 50.0
replaced_after_hours = 1.0
[sources.fleet]
pressure_washer = 12
robot_vacuum = 12
gas_water_heater = 12
washing_machine = 12
"""


def write_edge_config(directory: Path, now: datetime) -> Path:
    """The agent's file in a state directory; one that is there stays as it is.

    Args:
        directory: The state directory.
        now: What the fleet's age counts from.
    """
    folder = directory / "edge"
    folder.mkdir(exist_ok=True)
    file = folder / "edge.toml"
    if not file.exists():
        text = _CONFIG.format(buffer=json.dumps(str(folder / "buffer.sqlite")), start=now.isoformat())
        file.write_text(text, encoding="utf-8")
    return file


def register_fleet(stack: EmbeddedStack, config: Path, stop: Event) -> None:
    """Register the fleet through the API, by a process of its own; ends early when `stop` is set.

    Raises:
        CareloopError: It failed or took too long.
    """
    environment = stack.environment_of("edge")
    environment["CARELOOP_API_URL"] = stack.api_url
    environment["CARELOOP_API_KEY"] = stack.api_key("admin", "admin")
    process = ServiceProcess(
        "register-fleet",
        careloop_command("register-fleet", "--config", str(config)),
        environment,
        stack.directory / "logs" / "register-fleet.log",
        registry=stack.registry,
    )
    with process:
        for _ in range(int(REGISTERED_WITHIN_S / POLL_S)):
            if not process.is_running or stop.wait(POLL_S):
                break
        if not stop.is_set() and process.exit_code != 0:
            raise CareloopError(f"the simulated fleet could not be registered: {process.last_log_lines(1)}")
