import doctest
import json
import logging
import subprocess
import sys

import careloop.logs
from careloop.logs import JsonFormatter, log_context


def line_of(message: str, *arguments: object, fields=None, **given: object) -> dict[str, object]:
    record = logging.getLogger("ingest.writer").makeRecord(
        "ingest.writer", logging.WARNING, "writer.py", 1, message, arguments, given.pop("exc_info", None), extra=given
    )
    text = JsonFormatter(fields or {}).format(record)
    assert "\n" not in text
    return json.loads(text)


def test_fields_of_the_line_of_its_context_and_of_the_process_stand_on_their_own():
    with log_context(serial="KW-1", ticket=7), log_context(ticket=8):
        line = line_of("%d letters", 3, fields={"process": "ingest"}, identity="ab12")
    assert (line["message"], line["process"], line["serial"], line["ticket"], line["identity"]) == (
        "3 letters", "ingest", "KW-1", 8, "ab12",
    )  # fmt: skip
    assert "ticket" not in line_of("after it")


def test_a_traceback_and_a_line_break_stay_in_one_line():
    try:
        int("two\nlines".partition("\n")[2])
    except ValueError:
        line = line_of("it\nfailed", exc_info=sys.exc_info())
    assert line["message"] == "it\nfailed"
    assert "ValueError: invalid literal" in line["exception"]


def test_what_json_cannot_say_is_said_as_text():
    assert line_of("x", address=object, level_of=b"\xff")["address"] == "<class 'object'>"


def test_a_process_writes_json_to_standard_error_when_told_to():
    code = (
        "import logging; from careloop.logs import configure_logging;"
        "configure_logging('INFO', 'json', process='p', worker='w'); logging.getLogger('a').info('bü')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    line = json.loads(done.stderr)
    assert line.pop("time").endswith("Z")
    assert line == {"level": "INFO", "logger": "a", "message": "bü", "process": "p", "worker": "w"}


def test_the_example_is_true():
    assert doctest.testmod(careloop.logs).failed == 0
