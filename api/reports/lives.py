"""How long each component lasted: from the facts of one asset and component to lives, ended by a failure or not."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

HOUR = timedelta(hours=1)
# A component that fails in the instant it was installed still lived.
SHORTEST = timedelta(seconds=1)


@dataclass(frozen=True)
class Asset:
    """A machine in service from `installed_at` until `retired_at`."""

    asset_id: int
    model: str
    installed_at: datetime
    retired_at: datetime | None = None


@dataclass(frozen=True)
class Failure:
    """A component failed, and worked again at `restored_at` where that is known."""

    asset_id: int
    component: str
    failed_at: datetime
    restored_at: datetime | None = None


@dataclass(frozen=True)
class Replacement:
    """A component was replaced, for `reason` failure, preventive or scheduled."""

    asset_id: int
    component: str
    replaced_at: datetime
    reason: str


@dataclass(frozen=True)
class Life:
    """One component from its installation to its end.

    Attributes:
        starts_at: Installation of the asset, or the renewal before.
        ends_at: Failure, replacement before failing, retirement, or end of observation.
        failed: Whether it ended in a failure; a life that did not is right-censored.
    """

    starts_at: datetime
    ends_at: datetime
    failed: bool

    def hours(self) -> float:
        """How long it lasted."""
        return max(self.ends_at - self.starts_at, SHORTEST) / HOUR


def lives_of(
    asset: Asset, failures: Sequence[Failure], replacements: Sequence[Replacement], until: datetime
) -> list[Life]:
    """The lives of one component of one asset, in order.

    A failure ends a life; the next begins at its replacement or, without one, at its restoration (a repair counts as
    good as new). A preventive or scheduled replacement ends a life unfailed. A replacement for a failure that nobody
    recorded is itself the failure.

    Args:
        asset: The asset.
        failures: Of this asset and component.
        replacements: Of this asset and component.
        until: End of observation; facts are strictly before it.
    """
    end = min(until, asset.retired_at) if asset.retired_at else until
    # At the same time the failure comes first: the replacement is its answer.
    facts: list[tuple[datetime, int, Failure | Replacement]] = [
        *((failure.failed_at, 0, failure) for failure in failures),
        *((replacement.replaced_at, 1, replacement) for replacement in replacements),
    ]
    lives: list[Life] = []
    starts_at = asset.installed_at
    # Failed, and not replaced since: a replacement for the failure renews it then, and ends no life.
    failed_last = False
    for at, _, fact in sorted(facts, key=lambda item: item[:2]):
        if at < asset.installed_at or at >= end:
            continue
        if isinstance(fact, Failure):
            if not failed_last or at > starts_at:
                lives.append(Life(starts_at, at, failed=True))
            starts_at = max(starts_at, at, fact.restored_at or at)
            failed_last = True
        else:
            answers_failure = failed_last and (fact.reason == "failure" or at <= starts_at)
            if not answers_failure and at > starts_at:
                lives.append(Life(starts_at, at, failed=fact.reason == "failure"))
            starts_at = max(starts_at, at) if answers_failure else at
            failed_last = False
    if end > starts_at:
        lives.append(Life(starts_at, end, failed=False))
    return lives
