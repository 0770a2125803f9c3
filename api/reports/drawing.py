"""Kaplan-Meier curves as SVG to stand inside a page. Uses matplotlib's figures, never pyplot's global state."""

import re
import threading
from html import escape
from io import StringIO
from itertools import pairwise

from api.reports.estimates import ComponentLife

WIDTH_IN = 4.2
HEIGHT_IN = 2.5
HOURS_PER_DAY = 24.0

INK = "#1b2430"
FAINT = "#8a94a0"
GRID = "#e6eaee"
CURVE = "#0b6e99"
# Thousands of marks would hide the curve.
MOST_MARKS = 150

# Settings of matplotlib are the process's.
_settings = threading.Lock()


def curve_svg(life: ComponentLife, title: str) -> str:
    """The curve with its band and the ages at which lives were censored.

    Args:
        life: With a curve.
        title: What is shown, for readers who hear the page.
    """
    from matplotlib import rc_context  # noqa: PLC0415 - slow to import
    from matplotlib.figure import Figure  # noqa: PLC0415 - slow to import
    from matplotlib.ticker import MaxNLocator, PercentFormatter  # noqa: PLC0415 - slow to import

    days = [point.hours / HOURS_PER_DAY for point in life.curve]
    # Text stays text, in the page's font; the salt makes the same figures give the same bytes.
    with _settings, rc_context({"svg.fonttype": "none", "svg.hashsalt": "careloop", "font.family": "sans-serif"}):
        figure = Figure(figsize=(WIDTH_IN, HEIGHT_IN), layout="constrained")
        axes = figure.add_subplot()
        lower = [point.lower for point in life.curve]
        upper = [point.upper for point in life.curve]
        if life.failed:
            axes.fill_between(days, lower, upper, step="post", color=CURVE, alpha=0.14, linewidth=0)
        axes.step(days, [point.survival for point in life.curve], where="post", color=CURVE, linewidth=1.8)
        marks = _thinned([hours / HOURS_PER_DAY for hours in life.censored_hours])
        axes.plot(marks, [_survival_at(life, day) for day in marks], "|", color=INK, markersize=5, alpha=0.55)
        axes.set_ylim(0.0, 1.04)
        axes.set_xlim(0.0, max(days[-1], 1e-3) * 1.02)
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axes.set_yticks([0.0, 0.25, 0.5, 0.75, 1.0])
        axes.xaxis.set_major_locator(MaxNLocator(6))
        axes.set_xlabel("age, days", color=FAINT, fontsize=9)
        axes.tick_params(colors=INK, labelsize=9, length=0)
        axes.grid(color=GRID, linewidth=0.8)
        axes.set_axisbelow(True)
        for side in axes.spines.values():
            side.set_visible(False)
        drawn = StringIO()
        figure.savefig(drawn, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return _inline(drawn.getvalue(), title)


def _survival_at(life: ComponentLife, day: float) -> float:
    share = life.curve[0].survival
    for point, following in pairwise((*life.curve, None)):
        if point is not None and point.hours / HOURS_PER_DAY <= day:
            share = point.survival
        if following is None or following.hours / HOURS_PER_DAY > day:
            break
    return share


def _thinned(days: list[float]) -> list[float]:
    step = max(1, len(days) // MOST_MARKS)
    return days[::step]


def _inline(svg: str, title: str) -> str:
    """Without the prologue, fixed size, ids and page-wide style of a file of its own."""
    body = svg[svg.index("<svg") :]
    opening, _, rest = body.partition(">")
    opening = re.sub(r'\s(?:width|height|version)="[^"]*"', "", opening)
    rest = re.sub(r"<metadata>.*?</metadata>", "", rest, flags=re.DOTALL)
    rest = re.sub(r'<style type="text/css">.*?</style>', "", rest, flags=re.DOTALL)
    rest = re.sub(r'<g id="[^"]*"', "<g", rest)
    return f'{opening} role="img" aria-label="{escape(title)}">{rest}'
