"""The machine's side: a file that grows by a line a reading, and says what was measured for ever after.

The agent tails it. What it has accepted is the place in that file which it stores together with the readings: the
file up to there is its ledger.
"""

import json
import threading
import time
from pathlib import Path

METRICS = ("pressure_bar", "motor_rpm")


class Machine:
    """Writes lines for some assets, round and round, until told to stop.

    Line n of an asset has the value n in every metric and a time of its own, so that each reading can be told from
    all others.

    Args:
        file: The file that grows.
        serials: The assets.
        rows_per_s: Lines a second, over all assets.
        first_time_s: Unix time of the first line; a millisecond each.
    """

    def __init__(self, file: Path, serials: list[str], rows_per_s: float, first_time_s: float) -> None:
        self._file = file
        self._serials = serials
        self._rows_per_s = rows_per_s
        self._first_time_s = first_time_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._write, name="machine")
        self.rows = 0

    def start(self) -> None:
        """Begin to write."""
        self._file.touch()
        self._thread.start()

    def stop(self) -> None:
        """Write no more."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()

    def rows_of(self, serial: str) -> int:
        """How many lines an asset has."""
        place, count = self._serials.index(serial), len(self._serials)
        return (self.rows - place + count - 1) // count

    def _write(self) -> None:
        begun = time.monotonic()
        with self._file.open("a", encoding="utf-8") as file:
            while not self._stop.wait(0.02):
                due = int((time.monotonic() - begun) * self._rows_per_s)
                lines = [self._line(number) for number in range(self.rows, due)]
                file.write("".join(lines))
                file.flush()
                self.rows += len(lines)

    def _line(self, number: int) -> str:
        turn, place = divmod(number, len(self._serials))
        values = dict.fromkeys(METRICS, turn)
        return json.dumps({"serial": self._serials[place], "time": self._first_time_s + number / 1000, **values}) + "\n"
