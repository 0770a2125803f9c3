"""From facts to lives, by hand."""

from datetime import UTC, datetime, timedelta

import pytest

from api.reports.lives import Asset, Failure, Replacement, lives_of

START = datetime(2026, 1, 1, tzinfo=UTC)
UNTIL = START + timedelta(hours=100)


def at(hours: float) -> datetime:
    return START + timedelta(hours=hours)


def failure(hours: float, restored: float | None = None) -> Failure:
    return Failure(1, "pump", at(hours), None if restored is None else at(restored))


def replacement(hours: float, reason: str) -> Replacement:
    return Replacement(1, "pump", at(hours), reason)


@pytest.mark.parametrize(
    ("failures", "replacements", "expected"),
    [
        ([], [], [(0, 100, False)]),
        ([failure(40)], [replacement(40, "failure")], [(0, 40, True), (40, 100, False)]),
        ([failure(40)], [replacement(43, "failure")], [(0, 40, True), (43, 100, False)]),
        ([failure(40, restored=45)], [replacement(43, "failure")], [(0, 40, True), (45, 100, False)]),
        ([failure(40, restored=45)], [], [(0, 40, True), (45, 100, False)]),
        ([], [replacement(40, "preventive")], [(0, 40, False), (40, 100, False)]),
        (
            [],
            [replacement(40, "scheduled"), replacement(60, "preventive")],
            [(0, 40, False), (40, 60, False), (60, 100, False)],
        ),
        # Nobody recorded the failure: the replacement tells of it.
        ([], [replacement(40, "failure")], [(0, 40, True), (40, 100, False)]),
        # Replaced on schedule at the moment of the failure, as Azure's files have it.
        ([failure(40)], [replacement(40, "scheduled")], [(0, 40, True), (40, 100, False)]),
        # Reported again while down.
        ([failure(40, restored=50), failure(45)], [], [(0, 40, True), (50, 100, False)]),
        # Repaired, failed again, replaced.
        (
            [failure(40, restored=42), failure(60)],
            [replacement(61, "failure")],
            [(0, 40, True), (42, 60, True), (61, 100, False)],
        ),
        # Before installation and after observation: not this asset's doing.
        ([failure(-5), failure(100), failure(140)], [], [(0, 100, False)]),
        ([failure(0)], [replacement(1, "failure")], [(0, 0, True), (1, 100, False)]),
    ],
)
def test_lives(failures, replacements, expected) -> None:
    lives = lives_of(Asset(1, "HD-5", START), failures, replacements, UNTIL)
    assert [((life.starts_at - START), (life.ends_at - START), life.failed) for life in lives] == [
        (timedelta(hours=start), timedelta(hours=end), failed) for start, end, failed in expected
    ]
    assert all(life.hours() > 0 for life in lives)


def test_a_retired_asset_is_observed_until_it_retired() -> None:
    asset = Asset(1, "HD-5", START, retired_at=at(30))
    (life,) = lives_of(asset, [failure(40)], [], UNTIL)
    assert (life.hours(), life.failed) == (30.0, False)
