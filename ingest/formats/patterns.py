"""Topic patterns: MQTT filters whose levels have names, `tele/{serial}/SENSOR`."""

import re
from dataclasses import dataclass

from careloop.contract.topics import SERIAL

_LEVEL = re.compile(r"\{(serial|metric)\}|\+|[^+#{}$]+")
# Patterns that could also match these would take a message that another format owns.
_OWNED = ("careloop/v1/x/telemetry", "careloop/v1/x/command/result", "spBv1.0/g/NDATA/n", "spBv1.0/g/DDATA/n/d")


class PatternError(ValueError):
    """The text is no pattern; it says why."""


@dataclass(frozen=True, slots=True)
class TopicPattern:
    """One pattern.

    Attributes:
        text: As it was written.
        subscription: The MQTT filter that receives its topics.
        expression: Matches a topic, with groups `serial` and `metric` as far as it names them.
    """

    text: str
    subscription: str
    expression: re.Pattern[str]

    @classmethod
    def parse(cls, text: str) -> "TopicPattern":
        """Read a pattern: levels are names, `{serial}`, `{metric}` or `+`; the last may be `#`.

        >>> TopicPattern.parse("tele/{serial}/SENSOR").subscription
        'tele/+/SENSOR'

        Raises:
            PatternError: It is none, or it would take careloop's own topics.
        """
        levels = text.split("/")
        expressions: list[str] = []
        for number, level in enumerate(levels):
            if level == "#" and number == len(levels) - 1:
                expressions.append(".*")
                continue
            match = _LEVEL.fullmatch(level)
            if match is None:
                raise PatternError(
                    f"topic pattern {text!r}: level {level!r} must be a name, {{serial}}, {{metric}} or +, the last "
                    "one may be #"
                )
            name = match.group(1)
            expressions.append(f"(?P<{name}>[^/]+)" if name else "[^/]+" if level == "+" else re.escape(level))
        for name in ("serial", "metric"):
            if text.count(f"{{{name}}}") > 1:
                raise PatternError(f"topic pattern {text!r} names {{{name}}} twice")
        expression = re.compile("/".join(expressions))
        if any(expression.fullmatch(owned) for owned in _OWNED):
            raise PatternError(f"topic pattern {text!r} would also take careloop's or Sparkplug's own topics")
        subscription = re.sub(r"\{\w+\}", "+", text)
        return cls(text, subscription, expression)

    def match(self, topic: str) -> tuple[str | None, str | None] | None:
        """The serial number and the metric that a topic names, each None if the pattern has none; or None."""
        found = self.expression.fullmatch(topic)
        if found is None:
            return None
        named = found.groupdict()
        return named.get("serial"), named.get("metric")


def parse_patterns(text: str) -> tuple[TopicPattern, ...]:
    """Patterns written with commas between them; an empty text is none.

    Raises:
        PatternError: One is not a pattern.
    """
    return tuple(TopicPattern.parse(part.strip()) for part in text.split(",") if part.strip())


def is_serial(text: object) -> bool:
    """Whether a text can be a serial number."""
    return isinstance(text, str) and SERIAL.fullmatch(text) is not None
