"""The agent's TOML file: what it says, and what is wrong with it, by line."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import PydanticCustomError

from careloop.errors import CareloopError
from edge_agent.packing import WireFormat
from edge_agent.rules import AnyRule, rule_book
from edge_agent.rules.book import RuleClashError
from edge_agent.rules.rule import Serial
from edge_agent.sources.kinds import AnySource, unit_clash
from edge_agent.toml_places import FieldPath, line_of, lines_of_fields
from edge_agent.wire.link import Confirm

RULE_CLASH = "rule_clash"

# Pydantic's words where a person who writes TOML would not understand them.
_PLAIN = {
    "extra_forbidden": "there is no such field",
    "missing": "is missing",
    "string_pattern_mismatch": "must be 1-64 letters, digits, dots, underscores or hyphens",
    "union_tag_not_found": "has no kind; `careloop edge example` shows some",
    "string_type": "must be a text",
    "float_type": "must be a number",
    "int_type": "must be a whole number",
    "bool_type": "must be true or false",
}


class _Section(BaseModel):
    # Deferred: only the whole file's validator is ever built, which saves half a megabyte on the device.
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class AgentSection(_Section):
    """`[agent]`."""

    id: Serial = Field("edge", description="the agent's own id; of a device with one asset, its serial number")
    own_metrics: bool = Field(
        False, description="send buffer depth, losses and clock skew as readings, too; id must be an asset"
    )


class BrokerSection(_Section):
    """`[broker]`; CARELOOP_BROKER_URL and CARELOOP_BROKER_CA_FILE win over `url` and `ca_file`."""

    url: str | None = Field(None, description="mqtt://host:1883 or mqtts://host:8883; passwords go to the environment")
    ca_file: Path | None = None
    cert_file: Path | None = Field(None, description="client certificate, for mutual TLS")
    key_file: Path | None = None
    keepalive_s: int = Field(30, ge=1, le=3600)
    inflight: int = Field(50, ge=1, le=1000, description="most messages sent and not yet acknowledged")
    confirm: Confirm = Field("stored", description="who says that a message is safe: the store, or only the broker")
    unconfirmed: int = Field(1000, ge=1, le=100_000, description="most messages sent and not yet confirmed")
    unconfirmed_bytes: int = Field(4 * 1024 * 1024, ge=1024, description="the same in bytes")
    confirm_within_s: float = Field(
        15.0, gt=0, le=3600, description="unconfirmed for so long, a message is sent again; doubled each time"
    )
    reconnect_min_s: float = Field(1.0, gt=0, le=3600)
    reconnect_max_s: float = Field(60.0, gt=0, le=3600)
    wait_for_subscriber: bool = Field(True, description="keep what nobody is subscribed to, and send it again")

    @field_validator("url")
    @classmethod
    def _is_mqtt(cls, url: str | None) -> str | None:
        if url is not None and not re.fullmatch(r"mqtts?://[^/\s]+", url):
            raise ValueError("must look like mqtt://host:1883 or mqtts://host:8883")
        return url

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file go together")
        if self.reconnect_min_s > self.reconnect_max_s:
            raise ValueError("reconnect_min_s must not be above reconnect_max_s")
        return self


class IdentitySection(_Section):
    """`[identity]`; CARELOOP_EDGE_IDENTITY wins over `directory`."""

    directory: Path | None = Field(None, description="made by `careloop edge claim`: who the agent is, and its broker")


class BatchingSection(_Section):
    """`[batching]`."""

    interval_s: float = Field(
        1.0, gt=0, le=3600, description="readings wait this long for others; then they are on disk as one message"
    )
    max_readings: int = Field(500, ge=1, le=10000, description="most readings in one message")
    format: WireFormat = Field("json", description="how readings are written; cbor takes a third fewer bytes")


class BufferSection(_Section):
    """`[buffer]`; CARELOOP_EDGE_BUFFER_FILE wins over `file`."""

    file: Path | None = Field(None, description="the SQLite file")
    max_bytes: int = Field(256 * 1024 * 1024, ge=64 * 1024, description="oldest telemetry is dropped above it")
    max_age_days: float = Field(30.0, gt=0, le=3650, description="older telemetry is dropped")
    survives: Literal["power_loss", "kill"] = Field("power_loss", description="one fsync a batch, or none")


class RemoteSection(_Section):
    """`[remote]`: what may be changed and told from afar (docs/remote.md)."""

    enabled: bool = Field(True, description="whether configuration and commands are taken from the platform")
    probation_s: float = Field(
        120.0, gt=0, le=86400, description="a new configuration is rolled back if it turns out badly within this time"
    )


class MetricsSection(_Section):
    """`[metrics]`; CARELOOP_METRICS_PORT and CARELOOP_METRICS_HOST win over it."""

    port: int = Field(0, ge=0, le=65535, description="port of /metrics, /live and /ready; 0 for none")
    host: str = Field("127.0.0.1", description="address that they are served on, without any login")


class AssetSection(_Section):
    """`[[assets]]`: a machine that this agent speaks for."""

    serial: Serial
    units: Mapping[str, str] = Field(default_factory=dict, description="unit by metric, over the source's")


class EdgeConfig(_Section):
    """The whole file."""

    agent: AgentSection = AgentSection()
    identity: IdentitySection = IdentitySection()
    broker: BrokerSection = BrokerSection()
    batching: BatchingSection = BatchingSection()
    buffer: BufferSection = BufferSection()
    remote: RemoteSection = RemoteSection()
    metrics: MetricsSection = MetricsSection()
    assets: Sequence[AssetSection] = ()
    rules: Sequence[AnyRule] = ()
    sources: Annotated[Sequence[AnySource], Field(min_length=1)]

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        names = [source.name or source.kind for source in self.sources]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise ValueError(f"two sources are called {min(twice)!r}; give each a name of its own")
        if clash := unit_clash(self.sources):
            raise ValueError(clash)
        serials = [asset.serial for asset in self.assets]
        twice = {serial for serial in serials if serials.count(serial) > 1}
        if twice:
            raise ValueError(f"the asset {min(twice)!r} stands twice")
        return self

    @field_validator("rules")
    @classmethod
    def _rules_go_together(cls, rules: Sequence[AnyRule]) -> Sequence[AnyRule]:
        try:
            rule_book(rules)
        except RuleClashError as error:
            raise PydanticCustomError(RULE_CLASH, "{text}", {"text": str(error), "index": error.index}) from error
        return rules


def load_config(file: Path) -> EdgeConfig:
    """Read and check a configuration.

    Raises:
        CareloopError: It is not there or not right; one line for each thing wrong, as `FILE:LINE: field: what`.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise CareloopError(f"the configuration {file} cannot be read: {reason}") from error
    try:
        return EdgeConfig.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"\(at line (\d+), column (\d+)\)", str(error))
        place = f"{found[1]}:{found[2]}: " if found else f"{text.count(chr(10)) + 1}: "
        raise CareloopError(f"{file}:{place}not TOML: {re.sub(r' *[(]at [^)]*[)]', '', str(error))}") from error
    except ValidationError as error:
        lines = lines_of_fields(text)
        problems = []
        for problem in error.errors():
            path = _path_in_file(problem["loc"])
            if problem["type"] == RULE_CLASH:
                path = (*path, problem["ctx"]["index"])
            named = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
            name = named.removeprefix(".") or "the file"
            plain = _PLAIN.get(problem["type"], problem["msg"].removeprefix("Value error, "))
            problems.append((line_of(path, lines), f"{name}: {plain}"))
        # The command line puts its own name before the first.
        raise CareloopError("\n".join(f"{file}:{line}: {text}" for line, text in sorted(problems))) from error


def _path_in_file(loc: FieldPath) -> FieldPath:
    """A validation error's place without the tag that pydantic adds for a table chosen by its kind."""
    if loc and loc[-1] == "[key]":
        loc = loc[:-1]
    if len(loc) > 2 and loc[0] in {"sources", "rules"} and isinstance(loc[2], str):
        return (*loc[:2], *loc[3:])
    return loc
