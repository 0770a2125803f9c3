"""Places in a timeline, and the joining of its sources."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.timeline.rules import KINDS, SERVICE_SOURCES, TELEMETRY_SOURCES, Place, newest, parse_place
from api.timeline.service import SQL

AT = datetime(2026, 9, 1, tzinfo=UTC)
PLACES = st.builds(
    Place,
    st.datetimes(timezones=st.just(UTC)),
    st.integers(-1, 999),
    st.integers(-(2**63), 2**63 - 1),
)


@given(PLACES)
def test_a_place_survives_its_cursor(place: Place) -> None:
    assert parse_place(str(place)) == place


@given(st.text(max_size=60))
def test_what_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the text is the standard library's, and not told to anybody
        parse_place(text)


def test_every_kind_has_a_source_and_every_source_a_rank_of_its_own() -> None:
    assert set(SERVICE_SOURCES) | set(TELEMETRY_SOURCES) == set(KINDS)
    names = [name for sources in (SERVICE_SOURCES, TELEMETRY_SOURCES) for of in sources.values() for name in of]
    ranks = {name: int(SQL[name].split(" AS rank")[0].rsplit(" ", 1)[-1]) for name in names}
    assert len(set(ranks.values())) == len(names)
    for name, rank in ranks.items():
        # The rank stands twice in a statement: in what it gives and in where it goes on.
        assert f", {rank}, " in SQL[name].replace("\n", " "), name
        assert "LIMIT %(fetch)s" in SQL[name] or name in {"first_reading", "agent_offline"}, name


def test_the_newest_of_all_sources_come_first() -> None:
    rows = [{"at": AT, "rank": rank, "number": number} for rank in (1, 2) for number in (1, 2)]
    older = [{"at": AT.replace(year=2025), "rank": 9, "number": 9}]
    joined = newest([older, rows[:2], rows[2:]], 4)
    assert [(row["rank"], row["number"]) for row in joined] == [(2, 2), (2, 1), (1, 2), (1, 1)]
