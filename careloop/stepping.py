"""Driving a process through simulated time: one JSON line in, one JSON line out.

A service's `main.py` is the only place that reads a clock. Started with `--step`, it reads no clock at all: it takes
`now` from standard input, does what is due as of then, and answers. So a replay of last year's data drives the real
processes, day by day, as if it were live. Log lines go to standard error.

A request is `{"do": "advance", "now": "2015-07-01T03:00:00Z", …}`; the answer repeats `do` and adds what was done, or
has `error` with one line of text.
"""

import json
import logging
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, TextIO

Answer = Mapping[str, Any]
Handler = Callable[[datetime, Mapping[str, Any]], Answer]

log = logging.getLogger(__name__)


def serve_steps(requests: Iterable[str], answers: TextIO, handlers: Mapping[str, Handler]) -> None:
    """Answer requests until standard input ends.

    Args:
        requests: Where request lines come from, usually `sys.stdin`.
        answers: Where answer lines go, usually `sys.stdout`.
        handlers: What each `do` means; each is given `now` and the whole request.
    """
    answers.write(json.dumps({"do": "ready"}) + "\n")
    answers.flush()
    for line in requests:
        if not line.strip():
            continue
        answers.write(json.dumps(_answer(line, handlers), default=str) + "\n")
        answers.flush()


def _answer(line: str, handlers: Mapping[str, Handler]) -> Answer:
    request = json.loads(line)
    do = request.get("do")
    handler = handlers.get(do)
    if handler is None:
        return {"do": do, "error": f"unknown step {do!r}; one of: {', '.join(sorted(handlers))}"}
    try:
        return {"do": do, **handler(parse_time(request["now"]), request)}
    except Exception as error:
        # The conductor must hear of any failure; the traceback goes to the log.
        log.exception("step %s failed", do)
        return {"do": do, "error": f"{type(error).__name__}: {error}"}


def parse_time(text: str) -> datetime:
    """An RFC 3339 time as an aware datetime in UTC.

    Raises:
        ValueError: The text is no time, or has no offset.
    """
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError(f"time {text!r} has no offset; write it like 2015-07-01T03:00:00Z")
    return time.astimezone(UTC)
