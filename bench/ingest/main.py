"""(being written)"""

from typing import Any


def run(**_given: Any) -> dict[str, Any]:
    """Not there yet."""
    return {}
