"""What devices announced of their later messages: kept in the database, remembered here, and needed to read those."""

import logging
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from psycopg import Connection
from psycopg.rows import DictRow

from careloop.contract.messages import AgentState
from careloop.database.queries import load_queries
from ingest.delivery import Announcement, Decoded, Delivery, Family, Request
from ingest.validate import Problem

log = logging.getLogger(__name__)

MOST_FAMILIES = 20_000
# A node that is asked needs a moment to answer; one that never does must not be asked with every message it sends.
ASK_AGAIN_AFTER = timedelta(seconds=30)
MOST_ASKED_AT_ONCE = 200

Item = tuple[Delivery, Decoded | Problem]


@dataclass(slots=True)
class Heard:
    """What a batch of messages announces.

    Attributes:
        announcements: To be kept, in the order they came.
        states: Agents that are online or offline now.
        requests: What shall be sent to devices.
        listen_to: Topics with readings.
    """

    announcements: list[Announcement] = field(default_factory=list)
    states: list[tuple[Delivery, str, AgentState]] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    listen_to: list[str] = field(default_factory=list)


class Announcements:
    """All that was announced, as far as it was needed yet.

    What a batch announces counts for the rest of that batch at once, and for later ones when it is stored.
    """

    def __init__(self) -> None:
        self._queries = load_queries("ingest")
        self._known: dict[Family, dict[str, Announcement]] = {}
        self._asked_at: dict[str, datetime] = {}

    def forget(self) -> None:
        """Ask the database again: another worker may have heard what we did not."""
        self._known.clear()

    def resolve(self, connection: Connection[DictRow], messages: Sequence[Item]) -> tuple[Sequence[Item], Heard]:
        """Read the messages that need announcements, and take those of several assets apart.

        Returns:
            Messages without anything unresolved in them, and what they announce.
        """
        heard = Heard()
        if all(isinstance(item, Problem) or (item.unresolved is None and not item.also) for _, item in messages):
            return messages, heard
        families = _families(messages)
        self._load(connection, families)
        # Copies: what this batch announces is nobody else's until it is stored.
        known = {family: dict(self._known[family]) for family in families}
        resolved: list[Item] = []
        for delivery, item in messages:
            if isinstance(item, Problem) or item.unresolved is None:
                resolved.extend(_parts(delivery, item))
                continue
            said = item.unresolved.resolve(known.get(item.unresolved.family, {}), delivery)
            for announcement in said.announcements:
                _remember(known, announcement)
            heard.announcements += said.announcements
            heard.states += [(delivery, agent_id, state) for agent_id, state in said.states]
            heard.requests += said.requests
            heard.listen_to += said.listen_to
            if said.refusal is not None:
                resolved.append((delivery, Problem(said.refusal.reason, said.refusal.detail)))
            elif said.decoded is not None:
                resolved.extend(_parts(delivery, said.decoded))
        return resolved, heard

    def adopt(self, heard: Heard, now: datetime) -> list[Request]:
        """Remember what is stored now; returns the requests that are due."""
        for announcement in heard.announcements:
            _remember(self._known, announcement)
        if len(self._known) > MOST_FAMILIES:
            self._known.clear()
        if heard.requests:
            self._asked_at = {
                topic: asked_at for topic, asked_at in self._asked_at.items() if now - asked_at < ASK_AGAIN_AFTER
            }
        due: list[Request] = []
        for request in heard.requests:
            if request.topic not in self._asked_at and len(self._asked_at) < MOST_ASKED_AT_ONCE:
                self._asked_at[request.topic] = now
                due.append(request)
                log.info("asking for a birth on %s: %s", request.topic, request.reason)
        return due

    def _load(self, connection: Connection[DictRow], families: Set[Family]) -> None:
        wanted = sorted(families - self._known.keys())
        if not wanted:
            return
        rows = connection.execute(
            self._queries["find_announcements"],
            {"formats": [family.format for family in wanted], "families": [family.name for family in wanted]},
        ).fetchall()
        self._known.update({family: {} for family in wanted})
        for row in rows:
            family = Family(row["format"], row["family"])
            self._known[family][row["source"]] = Announcement(family, row["source"], row["announced_at"], row["body"])


def _families(messages: Iterable[Item]) -> set[Family]:
    return {item.unresolved.family for _, item in messages if isinstance(item, Decoded) and item.unresolved is not None}


def _remember(known: dict[Family, dict[str, Announcement]], announcement: Announcement) -> None:
    by_source = known.get(announcement.family)
    # A family that was not asked for yet is not begun with one of its members: it would pass for the whole.
    if by_source is None:
        return
    if announcement.body is None:
        by_source.pop(announcement.source, None)
    else:
        by_source[announcement.source] = announcement


def _parts(delivery: Delivery, item: Decoded | Problem) -> Iterable[Item]:
    if isinstance(item, Problem) or not item.also:
        return [(delivery, item)]
    return [(replace(delivery, part=part.serial), part) for part in (item, *item.also)]
