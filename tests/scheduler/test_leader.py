"""One leader, handed over at once when it goes."""

import time
from collections.abc import Iterator

import pytest

from careloop.database.engine import connect
from scheduler.leader import Leadership


@pytest.fixture
def two(database_url: str) -> Iterator[tuple[Leadership, Leadership]]:
    first, second = Leadership(database_url), Leadership(database_url)
    yield first, second
    first.resign()
    second.resign()


def test_only_one_leads(two: tuple[Leadership, Leadership]) -> None:
    first, second = two
    assert first.held()
    assert not second.held()
    assert first.held()


def test_the_follower_leads_when_the_leader_resigns(two: tuple[Leadership, Leadership]) -> None:
    first, second = two
    assert first.held()
    first.resign()
    assert second.held()
    assert not first.held()


def test_a_leader_whose_session_was_ended_knows_it_and_another_leads(
    two: tuple[Leadership, Leadership], database_url: str
) -> None:
    first, second = two
    assert first.held()
    with connect(database_url) as admin:
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name = 'careloop scheduler lead' AND datname = current_database()"
        )
    deadline = time.monotonic() + 5
    while not second.held():
        assert time.monotonic() < deadline
    assert not first.held()
    assert not first.held()


def test_a_server_that_is_not_there_only_means_not_leading() -> None:
    leadership = Leadership("postgresql://nobody@127.0.0.1:1/none")
    assert not leadership.held()
