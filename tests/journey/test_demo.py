"""The demo, as a newcomer runs it."""

import re
import subprocess

from careloop.stack.process import careloop_command


def test_the_demo_ends_with_its_summary() -> None:
    done = subprocess.run(
        careloop_command("demo", "--once", "--days", "50", "--assets", "40"),
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    text = done.stdout

    def count(what: str) -> int:
        match = re.search(rf"{what}\s*│\s*([\d,]+)", text)
        assert match, f"{what!r} is missing in:\n{text}"
        return int(match[1].replace(",", ""))

    assert count("readings stored") > 100_000
    for what in ("tickets: repair", "tickets: warranty expiry", "parts reserved", "jobs dispatched", "alerts sent"):
        assert count(what) > 0
    assert re.search(r"http://127\.0\.0\.1:\d+/docs", text)
    assert re.search(r"http://127\.0\.0\.1:\d+/v1/reports/reliability\?format=html", text)
