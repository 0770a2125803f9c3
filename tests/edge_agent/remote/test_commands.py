"""The book of commands, and the log that one may ask for."""

import logging
from datetime import UTC, datetime, timedelta

import pytest

from careloop.contract.remote import Command
from edge_agent.remote.commands import MOST_REMEMBERED, CommandBook
from edge_agent.remote.recent_log import RecentLog

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def command(command_id: str = "c1", expires_in_s: float = 60) -> Command:
    return Command(command_id, "self_test", NOW + timedelta(seconds=expires_in_s))


def again(book: CommandBook) -> CommandBook:
    return CommandBook.from_text(book.to_text())


def test_begun_and_ended_survive_a_kill() -> None:
    book = CommandBook()
    assert book.refusal(command(), NOW) is None
    book.begin(command())
    killed = again(book)
    assert "c1" in killed
    (result,) = killed.interrupted(NOW)
    assert (result.status, result.reason.split(":")[0]) == ("failed", "interrupted")
    killed.end("c1")
    assert again(killed).interrupted(NOW) == []
    assert "c1" in again(killed)


def test_what_expired_is_not_begun_and_long_after_forgotten() -> None:
    book = CommandBook()
    refusal = book.refusal(command(expires_in_s=0), NOW)
    assert refusal is not None
    assert refusal.status == "expired"
    book.begin(command())
    book.forget(NOW + timedelta(days=9))
    assert "c1" in book, "one that is not answered yet stays"
    book.end("c1")
    book.forget(NOW + timedelta(hours=24))
    assert "c1" in book
    book.forget(NOW + timedelta(hours=25))
    assert "c1" not in book


def test_no_more_than_can_be_remembered() -> None:
    book = CommandBook()
    for number in range(MOST_REMEMBERED):
        book.begin(command(f"c{number}"))
    refusal = book.refusal(command("one more"), NOW)
    assert refusal is not None
    assert refusal.status == "refused"


@pytest.mark.parametrize("text", [None, "", "{", "[]", '{"a": 7}', '{"a": ["x", true]}'])
def test_a_book_that_cannot_be_read_is_empty(text) -> None:
    assert CommandBook.from_text(text).entries == {}


def test_the_log_keeps_its_end_in_whole_lines() -> None:
    recent = RecentLog(kept_bytes=100)
    log = logging.getLogger("tests.recent_log")
    log.propagate = False
    log.addHandler(recent)
    for number in range(50):
        log.warning("line %02d äöü", number)
    text, has_more = recent.last(10_000)
    assert text.endswith("line 49 äöü\n")
    assert text.startswith("line ")
    assert (len(text.encode()) <= 100, has_more) == (True, False)
    assert recent.last(30) == ("line 48 äöü\nline 49 äöü\n", True)
    assert recent.last(3) == ("", True)
    log.warning("a\0b%s", "x" * 9999)
    assert "\0" not in recent.last(10_000)[0]
    log.warning("%d", "no number")
