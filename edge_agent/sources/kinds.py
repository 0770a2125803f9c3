"""The one table of kinds: what a `[[sources]]` table may be, who builds it, and which extra brings its library.

A kind's module, and with it its library, is imported when a configuration names the kind, not before.
"""

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, NamedTuple, Union, cast

from pydantic import Field

from careloop.errors import CareloopError
from edge_agent.sources.feed import FeedConfig
from edge_agent.sources.file_tail.config import FileConfig
from edge_agent.sources.http.config import HttpConfig
from edge_agent.sources.modbus.config import ModbusRtuConfig, ModbusTcpConfig
from edge_agent.sources.mqtt.config import MqttConfig
from edge_agent.sources.program.config import ExecConfig
from edge_agent.sources.serial_line.config import SerialConfig
from edge_agent.sources.simulator_config import SimulatorConfig
from edge_agent.sources.source import Clock, Source, SourceConfig


class SourceKind(NamedTuple):
    """One kind of source.

    Attributes:
        config: What its table may say; its `kind` names it.
        builder: `module:function` that makes the source of its configuration and the clocks.
        extra: The pip extra that brings its library; the agent's own where it needs no other.
    """

    config: type[SourceConfig]
    builder: str
    extra: str = "edge"


KINDS: tuple[SourceKind, ...] = (
    SourceKind(ModbusTcpConfig, "edge_agent.sources.modbus.reader:modbus_source", "edge-modbus"),
    SourceKind(ModbusRtuConfig, "edge_agent.sources.modbus.reader:modbus_source", "edge-modbus"),
    SourceKind(HttpConfig, "edge_agent.sources.http.reader:http_source", "edge-http"),
    SourceKind(MqttConfig, "edge_agent.sources.mqtt.subscriber:mqtt_source"),
    SourceKind(SerialConfig, "edge_agent.sources.serial_line.reader:serial_source", "edge-serial"),
    SourceKind(FileConfig, "edge_agent.sources.file_tail.source:file_source"),
    SourceKind(ExecConfig, "edge_agent.sources.program.reader:exec_source"),
    SourceKind(SimulatorConfig, "edge_agent.sources.simulator:simulator_source"),
    SourceKind(FeedConfig, "edge_agent.sources.feed:feed_source"),
)

if TYPE_CHECKING:
    AnySource = SourceConfig
else:
    AnySource = Annotated[Union[tuple(kind.config for kind in KINDS)], Field(discriminator="kind")]  # noqa: UP007 - made of the table


def build_source(config: SourceConfig, clock: Clock) -> Source:
    """Make a source.

    Raises:
        CareloopError: Its library is not installed.
    """
    try:
        build = _builder(config)
    except _MissingLibraryError as error:
        raise CareloopError(f"source {config.name or config.kind}: {error}") from error
    return build(config, clock)


def missing_library(config: SourceConfig) -> str | None:
    """What is not installed here, and what brings it; None when the source could run."""
    try:
        _builder(config)
    except _MissingLibraryError as error:
        return str(error)
    return None


def unit_clash(sources: Sequence[SourceConfig]) -> str | None:
    """What is wrong when two sources may bring the same metric of the same asset in two units; None when all is well.

    The agent states the unit by asset and metric, so only one can be right.
    """
    stated: dict[str, list[tuple[str | None, str, str]]] = {}
    for source in sources:
        name = source.name or source.kind
        for serial, units in source.stated_units().items():
            for metric, unit in units.items():
                for other_serial, other_unit, other in stated.setdefault(metric, []):
                    if unit != other_unit and (serial == other_serial or serial is None or other_serial is None):
                        return (
                            f"{metric!r} is in {other_unit!r} in source {other!r} and in {unit!r} in source {name!r}; "
                            "bring both to one unit by scale, or name the assets of each (serial or serials)"
                        )
                stated[metric].append((serial, unit, name))
    return None


class _MissingLibraryError(Exception):
    """The kind's library is not installed."""


def _builder(config: SourceConfig) -> Callable[[SourceConfig, Clock], Source]:
    kind = next(kind for kind in KINDS if type(config) is kind.config)
    module, _, function = kind.builder.partition(":")
    try:
        found = getattr(import_module(module), function)
    except ModuleNotFoundError as error:
        raise _MissingLibraryError(
            f"kind {config.kind} needs the library {error.name!r}; pip install 'careloop[{kind.extra}]' brings it"
        ) from error
    return cast("Callable[[SourceConfig, Clock], Source]", found)
