"""Desired settings laid over the agent's own file, and judged by the same models as the file; pure."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar, cast, get_args

from pydantic import BaseModel, ValidationError

from edge_agent.config import EdgeConfig
from edge_agent.sources.source import SourceConfig

LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR"]
_Model = TypeVar("_Model", bound=BaseModel)

# What needs a new connection, another file or another wire is changed by hand, with someone at the device.
_NOT_FROM_AFAR = {"file", "survives"}
_SECTIONS = ("sources", "rules", "batching", "buffer", "log_level")
_RESTART = "cannot be set from afar; change the agent's own file and restart it"


class RefusedError(ValueError):
    """The settings cannot be applied; the text names the field."""


def overlay(base: EdgeConfig, settings: Mapping[str, Any]) -> EdgeConfig:
    """The configuration that the settings ask for.

    Args:
        base: The agent's own file.
        settings: Any of `sources` (by name, `interval_s` only), `rules` (instead of the file's), `batching`, `buffer`
            (its bounds) and `log_level`; what is left out is as in the file.

    Raises:
        RefusedError: A field is unknown, not settable from afar, or wrong.
    """
    for name in settings:
        if name not in _SECTIONS:
            raise RefusedError(f"{name}: {_RESTART}" if name in EdgeConfig.model_fields else f"{name}: unknown")
    wanted: dict[str, Any] = {name: getattr(base, name) for name in EdgeConfig.model_fields}
    wanted["sources"] = _sources(base.sources, _object(settings, "sources"))
    wanted["batching"] = _section(base.batching, _object(settings, "batching"), "batching")
    wanted["buffer"] = _section(base.buffer, _object(settings, "buffer"), "buffer")
    if "rules" in settings:
        wanted["rules"] = settings["rules"]
    try:
        return EdgeConfig.model_validate(wanted)
    except ValidationError as error:
        raise RefusedError(_words(error)) from error


def log_level_of(settings: Mapping[str, Any], otherwise: LogLevel) -> LogLevel:
    """The level that the settings ask for.

    Raises:
        RefusedError: There is no such level.
    """
    level = settings.get("log_level", otherwise)
    if level not in get_args(LogLevel):
        raise RefusedError(f"log_level: must be one of {', '.join(get_args(LogLevel))}")
    return cast("LogLevel", level)


def source_name(source: SourceConfig) -> str:
    """What a source is called in settings, logs and commands."""
    return source.name or source.kind


def _sources(base: Sequence[SourceConfig], settings: Mapping[str, Any]) -> list[SourceConfig]:
    names = [source_name(source) for source in base]
    for name, fields in settings.items():
        if name not in names:
            raise RefusedError(f"sources.{name}: there is no such source; there are: {', '.join(names)}")
        for field in _object(settings, name, "sources."):
            if field != "interval_s":
                raise RefusedError(f"sources.{name}.{field}: {_RESTART}; only interval_s can")
        if "interval_s" not in fields:
            raise RefusedError(f"sources.{name}: says nothing; give interval_s")
    return [
        _changed(source, settings[name], f"sources.{name}") if name in settings else source
        for name, source in zip(names, base, strict=True)
    ]


def _section(base: _Model, settings: Mapping[str, Any], place: str) -> _Model:
    for field in settings:
        if field in _NOT_FROM_AFAR:
            raise RefusedError(f"{place}.{field}: {_RESTART}")
    return _changed(base, settings, place) if settings else base


def _changed(base: _Model, fields: Mapping[str, Any], place: str) -> _Model:
    try:
        return type(base).model_validate({**base.model_dump(exclude_unset=True), **fields})
    except ValidationError as error:
        raise RefusedError(_words(error, f"{place}.")) from error


def _object(settings: Mapping[str, Any], name: str, place: str = "") -> Mapping[str, Any]:
    given = settings.get(name, {})
    if not isinstance(given, Mapping):
        raise RefusedError(f"{place}{name}: must be an object")
    return given


def _words(error: ValidationError, place: str = "") -> str:
    """The first thing wrong, in one line that names the field."""
    first, *others = error.errors()
    path = list(first["loc"])
    if len(path) > 2 and path[0] == "rules" and isinstance(path[2], str):
        # The tag that pydantic adds for a table chosen by its kind.
        del path[2]
    if "index" in first.get("ctx", {}):
        path.append(first["ctx"]["index"])
    what = first["msg"].removeprefix("Value error, ")
    more = f" (and {len(others)} more)" if others else ""
    return f"{place}{'.'.join(map(str, path))}: {what}{more}"
