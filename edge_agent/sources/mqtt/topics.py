"""Topic templates: `tele/{serial}/SENSOR` as a filter for the broker, and what a topic says by it. Pure."""

import re
from collections.abc import Collection, Mapping, Sequence


def filter_of(template: str) -> str:
    """The MQTT filter.

    >>> filter_of("homeassistant/sensor/washer_{serial}/{metric}/state")
    'homeassistant/sensor/+/+/state'
    """
    return "/".join("+" if "{" in level else level for level in template.split("/"))


def pattern_of(template: str, serials: Collection[str] = ()) -> re.Pattern[str]:
    """What matches the template's topics, with a group for each name.

    Args:
        template: The template.
        serials: What may stand at {serial}; anything when empty. Names are as short as they can be, so that these are
            what tells `{serial}_{metric}` apart when ids have underscores, too.

    >>> pattern_of("tele/tasmota_{serial}/SENSOR").fullmatch("tele/tasmota_KW-1/SENSOR")["serial"]
    'KW-1'
    >>> pattern_of("ha/{serial}_{metric}", ["kw_1"]).fullmatch("ha/kw_1_motor_temperature")["metric"]
    'motor_temperature'
    """
    ids = "|".join(re.escape(text) for text in sorted(serials, key=len, reverse=True))
    levels = []
    for level in template.split("/"):
        if level == "#":
            levels.append(".*")
        elif level == "+":
            levels.append("[^/]*")
        else:
            pieces = re.split(r"\{(\w+)\}", level)
            levels.append(
                "".join(
                    re.escape(piece)
                    if number % 2 == 0
                    else f"(?P<{piece}>{ids if ids and piece == 'serial' else '[^/]+?'})"
                    for number, piece in enumerate(pieces)
                )
            )
    pattern = "/".join(levels)
    # "a/#" is also the topic "a" itself.
    return re.compile(pattern.removesuffix("/.*") + "(?:/.*)?" if pattern.endswith("/.*") else pattern)


def parts_in(topic: str, patterns: Sequence[re.Pattern[str]]) -> Mapping[str, str] | None:
    """What the topic says, by the first template that it fits; None when it fits none."""
    for pattern in patterns:
        if found := pattern.fullmatch(topic):
            return {"topic": topic, **found.groupdict()}
    return None
