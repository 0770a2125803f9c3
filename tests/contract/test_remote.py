"""Configuration and commands on the wire: what goes out comes in, and what is wrong names its field."""

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest

from careloop.contract.messages import MessageError
from careloop.contract.remote import LONGEST_REASON, Command, CommandResult, ConfigReport, DesiredConfig

TIME = datetime(2026, 6, 30, 12, tzinfo=UTC)
SAID = [
    DesiredConfig(3, "ab12", {"sources": {"plc": {"interval_s": 5}}}),
    ConfigReport(),
    ConfigReport(3, "rolled_back", "too large", "ab11", proved=False),
    Command("c1", "set_interval", TIME, {"source": "plc", "interval_s": 0.5}),
    CommandResult("c1", "failed", TIME, "interrupted", {"n": 1}),
]


@pytest.mark.parametrize("said", SAID, ids=lambda said: type(said).__name__)
def test_what_is_said_is_understood_and_unknown_fields_are_ignored(said) -> None:
    wire = json.loads(json.dumps(said.to_json()))
    assert type(said).from_json(wire) == said
    assert type(said).from_json({**wire, "new": {"field": 1}}) == said


@pytest.mark.parametrize(
    ("kind", "change", "complaint"),
    [
        (DesiredConfig, {"version": 0}, "version must be a whole number from 1 up"),
        (DesiredConfig, {"version": True}, "version"),
        (DesiredConfig, {"version": 2**31}, "version"),
        (DesiredConfig, {"settings": []}, "settings must be an object"),
        (DesiredConfig, {"hash": 7}, "hash must be a text"),
        (ConfigReport, {"status": "fine"}, "status must be one of applied, refused, rolled_back"),
        (ConfigReport, {"proved": "yes"}, "proved"),
        (ConfigReport, {"reason": "x" * (LONGEST_REASON + 1)}, "reason"),
        (Command, {"command_id": ""}, "command_id and kind"),
        (Command, {"kind": 5}, "kind must be a text"),
        (Command, {"expires_at": "2026-06-30T12:00:00"}, "expires_at must be an RFC 3339 time with an offset"),
        (Command, {"expires_at": "soon"}, "expires_at 'soon' is not RFC 3339"),
        (Command, {"expires_at": "0001-01-01T00:00:00+14:00"}, "expires_at"),
        (Command, {"arguments": "plc"}, "arguments must be an object"),
        (CommandResult, {"status": "interrupted"}, "status must be one of done, failed, refused, expired"),
        (CommandResult, {"output": None}, "output must be an object"),
        (CommandResult, {"finished_at": 5}, "finished_at"),
    ],
)
def test_what_is_wrong_is_named(kind, change, complaint) -> None:
    right = next(said for said in SAID if type(said) is kind).to_json()
    with pytest.raises(MessageError, match=complaint):
        kind.from_json({**right, **change})


@pytest.mark.parametrize("kind", [DesiredConfig, ConfigReport, Command, CommandResult])
@pytest.mark.parametrize("message", [None, [], "x", 7])
def test_what_is_no_object_is_refused(kind, message) -> None:
    with pytest.raises(MessageError):
        kind.from_json(message)


def test_times_are_utc() -> None:
    east = TIME.astimezone(timezone(timedelta(hours=2)))
    assert Command("c", "k", east).to_json()["expires_at"] == "2026-06-30T12:00:00+00:00"
    wire = {**Command("c", "k", TIME).to_json(), "expires_at": east.isoformat()}
    assert Command.from_json(wire).expires_at.tzinfo is UTC
