"""What an agent must know of its remote configuration after a kill; pure."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from careloop.contract.messages import MessageError
from careloop.contract.remote import LONGEST_REASON, ConfigReport, ConfigStatus, DesiredConfig


@dataclass(frozen=True)
class Candidate:
    """Settings in force on probation.

    Attributes:
        desired: What was asked for.
        could_publish: Whether the broker took messages before, so that it is a change if it takes none now.
        crashes: How often the process ended without a stop since.
    """

    desired: DesiredConfig
    could_publish: bool
    crashes: int = 0


@dataclass(frozen=True)
class Interval:
    """How often a source is read by a command, over the configuration.

    Attributes:
        interval_s: Seconds between polls.
        until_s: Unix time when it ends; None for the next configuration.
    """

    interval_s: float
    until_s: float | None


@dataclass(frozen=True)
class RemoteMemory:
    """Stored in one piece.

    Attributes:
        proved: The settings that last stood their probation; None for the agent's own file.
        candidate: Newer settings on probation.
        report: What became of the last desired configuration.
        report_of: The hash of that, to tell a version of a platform that was set up anew from the same one again.
        intervals: By source.
    """

    proved: DesiredConfig | None = None
    candidate: Candidate | None = None
    report: ConfigReport = field(default_factory=ConfigReport)
    report_of: str = ""
    intervals: Mapping[str, Interval] = field(default_factory=dict)

    @property
    def in_force(self) -> DesiredConfig | None:
        """The settings in force; None for the agent's own file alone."""
        return self.candidate.desired if self.candidate else self.proved

    def has_seen(self, desired: DesiredConfig) -> bool:
        """Whether this is the configuration that the report is about.

        One that was refused may be judged anew, since the agent's file may have changed since.
        """
        same = (self.report.version, self.report_of) == (desired.version, desired.hash)
        return same and self.report.status != "refused"

    def begin(self, desired: DesiredConfig, *, could_publish: bool) -> "RemoteMemory":
        """Desired settings come into force on probation; temporary intervals end."""
        report = ConfigReport(desired.version, "applied", "", desired.hash, proved=False)
        return RemoteMemory(self.proved, Candidate(desired, could_publish), report, desired.hash)

    def refuse(self, desired: DesiredConfig, reason: str) -> "RemoteMemory":
        """They are not applied; what is in force stays so."""
        report = _report(self, desired, "refused", reason)
        return replace(self, report=report, report_of=desired.hash)

    def prove(self) -> "RemoteMemory":
        """The candidate stood its probation."""
        if self.candidate is None:
            return self
        report = replace(self.report, proved=True)
        return replace(self, proved=self.candidate.desired, candidate=None, report=report)

    def roll_back(self, reason: str) -> "RemoteMemory":
        """The candidate did not; what was proved before comes into force again."""
        if self.candidate is None:
            return self
        before = replace(self, candidate=None)
        report = _report(before, self.candidate.desired, "rolled_back", reason)
        refers = self.report_of == self.candidate.desired.hash and self.report.version == report.version
        # A newer one that was refused meanwhile keeps its report.
        return replace(before, report=report) if refers else before

    def drop(self, reason: str) -> "RemoteMemory":
        """What was in force does not go with the agent's own file any more, which alone counts from now on."""
        desired = self.in_force
        if desired is None:
            return self
        alone = RemoteMemory(intervals=self.intervals)
        return alone.refuse(desired, reason)

    def crashed(self) -> "RemoteMemory":
        """The process ended without a stop while the candidate was on probation."""
        if self.candidate is None:
            return self
        return replace(self, candidate=replace(self.candidate, crashes=self.candidate.crashes + 1))

    def stopped(self) -> "RemoteMemory":
        """It is about to end by a stop, which the next start will take for a crash: counted back in advance."""
        if self.candidate is None:
            return self
        return replace(self, candidate=replace(self.candidate, crashes=self.candidate.crashes - 1))

    def to_text(self) -> str:
        """What `from_text` reads."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def from_text(cls, text: str | None) -> "RemoteMemory":
        """What was stored; a memory that cannot be read (a damaged disk) is an empty one."""
        try:
            stored = json.loads(text) if text else {}
            candidate = stored.get("candidate")
            return cls(
                _desired(stored.get("proved")),
                Candidate(
                    DesiredConfig.from_json(candidate["desired"]),
                    bool(candidate["could_publish"]),
                    int(candidate["crashes"]),
                )
                if candidate
                else None,
                ConfigReport.from_json(stored["report"]) if "report" in stored else ConfigReport(),
                str(stored.get("report_of", "")),
                {name: Interval(**fields) for name, fields in stored.get("intervals", {}).items()},
            )
        except (ValueError, KeyError, TypeError, AttributeError, MessageError):
            return cls()


def _report(memory: RemoteMemory, about: DesiredConfig, status: ConfigStatus, reason: str) -> ConfigReport:
    """What became of a configuration, with what is in force instead."""
    in_force = memory.in_force
    return ConfigReport(
        about.version, status, reason[:LONGEST_REASON], in_force.hash if in_force else "", memory.candidate is None
    )


def _desired(stored: Any) -> DesiredConfig | None:
    return DesiredConfig.from_json(stored) if stored else None
