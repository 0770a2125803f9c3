"""Log lines, the same shape in every process, on standard error: as text, or as one JSON object a line.

What a line is about goes with it as fields: by `extra={"identity": …}` for one line, or by `log_context(ticket=…)` for
all lines within. In JSON each field stands on its own; the text says it only where the sentence does.
"""

import json
import logging
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Literal

LogFormat = Literal["text", "json"]

_context: ContextVar[Mapping[str, Any]] = ContextVar("careloop_log_context", default=MappingProxyType({}))
# What every record has; anything else came by `extra`.
_USUAL = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName", "color_message"}


def configure_logging(level: str, log_format: LogFormat = "text", **fields: object) -> None:
    """Send log lines of at least `level` to standard error, with UTC times.

    Args:
        level: DEBUG, INFO, WARNING or ERROR.
        log_format: `json` for one object a line.
        **fields: In every JSON line, such as `process="ingest"`.
    """
    handler = logging.StreamHandler(sys.stderr)
    if log_format == "json":
        handler.setFormatter(JsonFormatter(fields))
    else:
        formatter = logging.Formatter("%(asctime)sZ %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S")
        formatter.converter = time.gmtime
        handler.setFormatter(formatter)
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for noisy in ("httpx", "httpcore", "apscheduler"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, logging.getLevelName(level)))


@contextmanager
def log_context(**fields: object) -> Iterator[None]:
    """Give all lines of this thread or task, as long as the context lasts, these fields."""
    token = _context.set({**_context.get(), **fields})
    try:
        yield
    finally:
        _context.reset(token)


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, then whatever fields there are.

    Args:
        fields: In every line.

    >>> record = logging.makeLogRecord({"name": "ingest", "levelname": "INFO", "msg": "stored", "created": 0.5})
    >>> JsonFormatter({"process": "ingest"}).format(record)
    '{"time":"1970-01-01T00:00:00.500Z","level":"INFO","logger":"ingest","message":"stored","process":"ingest"}'
    """

    def __init__(self, fields: Mapping[str, object]) -> None:
        super().__init__()
        self._fields = dict(fields)

    def format(self, record: logging.LogRecord) -> str:
        """The record in one line."""
        time_text = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, object] = {
            "time": time_text.replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **self._fields,
            **_context.get(),
        }
        line |= {name: value for name, value in vars(record).items() if name not in _USUAL}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            line["stack"] = self.formatStack(record.stack_info)
        return json.dumps(line, separators=(",", ":"), default=str, ensure_ascii=False)
