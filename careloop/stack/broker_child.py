"""The embedded broker's own process: `python -m careloop.stack.broker_child CONFIG`; ends when its input does."""

import os
import sys
import threading

from iotcore import Broker


def main(config: str) -> None:
    """Run the broker of a configuration file until standard input ends, which it does when the parent dies."""
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    Broker(config_path=config).run_forever()


def _leave_with_parent() -> None:
    sys.stdin.buffer.read()
    # The broker has no shutdown of its own, and nothing to lose: it keeps its messages in memory only.
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1])
