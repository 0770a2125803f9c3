"""Serial lines over pseudo terminals."""

import os
import pty
import tty
from pathlib import Path

from tests.edge_agent.sources.conftest import Polled, Terminal


def listening(polled: Polled) -> None:
    """Opening a port throws away what came before."""
    polled.until(lambda p: p.source._reader._port is not None)


def test_lines_are_taken_whole_and_the_first_piece_is_left_out(opened, terminal: Terminal):
    polled = opened(
        kind="serial",
        device=terminal.name,
        baud_rate=19200,
        format="regex",
        pattern=r"^P=(?P<p>[\d.]+) T=(?P<t>[\d.-]+)$",
        serial="KW-1",
        metrics={"pressure_bar": {"at": "p", "unit": "bar"}, "temperature": "t"},
    )
    listening(polled)
    terminal.write("99.9 T=1\r\nP=98.5 T=")
    terminal.write("40.25\r\nboot message\r\nP=98.6 T=-3\r\nP=1")
    polled.until(lambda p: len(p.rows) >= 2)
    assert [dict(row.values) for row in polled.rows] == [
        {"pressure_bar": 98.5, "temperature": 40.25},
        {"pressure_bar": 98.6, "temperature": -3.0},
    ]
    assert polled.refused == 0


def test_a_line_that_is_too_long_costs_only_itself(opened, terminal: Terminal):
    polled = opened(kind="serial", device=terminal.name, serial="KW-1", max_line_bytes=100, skip_first=False)
    listening(polled)
    terminal.write("x" * 250)
    terminal.write("x" * 250 + '\n{"a": 1}\nnot json\n{"a": 2}\n')
    polled.until(lambda p: len(p.rows) >= 2)
    assert [row.values["a"] for row in polled.rows] == [1, 2]
    assert polled.refused == 2


def test_a_device_that_answers_is_asked_at_every_interval(opened, terminal: Terminal):
    polled = opened(
        kind="serial", device=terminal.name, serial="KW-1", format="csv", columns=["a", "b"], send="READ?\r\n",
        interval_s=0.1,
    )  # fmt: skip
    for number in range(3):
        assert terminal.read().startswith(b"READ?\r\n")
        terminal.write(f"{number},5\r\n")
    polled.until(lambda p: len(p.rows) >= 3)
    assert [row.values["a"] for row in polled.rows] == [0, 1, 2]


def test_a_port_that_goes_away_is_opened_again(opened, tmp_path: Path):
    link = tmp_path / "ttyUSB0"

    def plug() -> tuple[int, int]:
        master, slave = pty.openpty()
        tty.setraw(slave)
        link.unlink(missing_ok=True)
        link.symlink_to(os.ttyname(slave))
        return master, slave

    polled = opened(kind="serial", device=str(link), serial="KW-1", skip_first=False)
    assert "cannot be opened" in polled.until(lambda p: p.errors).errors[0]
    master, slave = plug()
    listening(polled)
    os.write(master, b'{"a": 1}\n')
    polled.until(lambda p: p.rows)
    polled.errors.clear()
    os.close(master)
    os.close(slave)
    assert "went away" in polled.until(lambda p: p.errors).errors[0]
    master, slave = plug()
    listening(polled)
    os.write(master, b'{"a": 2}\n')
    polled.until(lambda p: len(p.rows) >= 2)
    assert [row.values["a"] for row in polled.rows] == [1, 2]
    polled.source.close()
    os.close(master)
    os.close(slave)
