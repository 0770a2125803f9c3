"""Topic templates: `tele/{serial}/SENSOR` as a filter for the broker, and what a topic says by it. Pure."""

import re
from collections.abc import Mapping, Sequence


def filter_of(template: str) -> str:
    """The MQTT filter.

    >>> filter_of("homeassistant/sensor/washer_{serial}/{metric}/state")
    'homeassistant/sensor/+/+/state'
    """
    return "/".join("+" if "{" in level else level for level in template.split("/"))


def pattern_of(template: str) -> re.Pattern[str]:
    """What matches the template's topics, with a group for each name.

    >>> pattern_of("tele/tasmota_{serial}/SENSOR").fullmatch("tele/tasmota_KW-1/SENSOR")["serial"]
    'KW-1'
    """
    levels = []
    for level in template.split("/"):
        if level == "#":
            levels.append(".*")
        elif level == "+":
            levels.append("[^/]*")
        else:
            before, name, after = re.fullmatch(r"([^{]*)(?:\{(\w+)\})?(.*)", level).groups()  # type: ignore[union-attr] # matches all
            middle = f"(?P<{name}>[^/]+)" if name else ""
            levels.append(re.escape(before) + middle + re.escape(after))
    pattern = "/".join(levels)
    # "a/#" is also the topic "a" itself.
    return re.compile(pattern.removesuffix("/.*") + "(?:/.*)?" if pattern.endswith("/.*") else pattern)


def parts_in(topic: str, patterns: Sequence[re.Pattern[str]]) -> Mapping[str, str] | None:
    """What the topic says, by the first template that it fits; None when it fits none."""
    for pattern in patterns:
        if found := pattern.fullmatch(topic):
            return {"topic": topic, **found.groupdict()}
    return None
