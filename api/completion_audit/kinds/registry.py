"""All kinds of rules, by name."""

from api.completion_audit.kinds import history, money, paper, parts, presence
from api.completion_audit.kinds.kind import Kind

KINDS: dict[str, Kind] = {kind.name: kind for room in (paper, money, parts, presence, history) for kind in room.KINDS}
