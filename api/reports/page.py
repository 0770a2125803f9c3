"""The reliability report as one self-contained page."""

from functools import cache
from itertools import groupby

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from api.reports.drawing import HOURS_PER_DAY, curve_svg
from api.reports.estimates import Estimate
from api.reports.rules import METHODS, Group, Report

HOURS_PER_YEAR = 8766.0

# In the order in which the page refers to them.
NOTES = {name: str(number) for number, name in enumerate(METHODS, 1)}
TITLES = {
    "mtbf": "MTBF",
    "failures": "Failures",
    "mttr": "MTTR",
    "life": "Component life",
    "prevention": "Seen coming",
    "inspected": "Inspected parts",
}


def page_of(report: Report, model: str | None, component: str | None) -> str:
    """The page.

    Args:
        report: Its figures.
        model: The product model asked for, if one was.
        component: The component asked for, if one was.
    """
    return (
        _environment()
        .get_template("reliability.html")
        .render(
            report=report,
            model=model,
            component=component,
            sections=[(code, list(groups)) for code, groups in groupby(report.groups, key=lambda group: group.model)],
            methods=[(NOTES[name], name, TITLES[name], text) for name, text in METHODS.items()],
            years=report.exposure_hours / HOURS_PER_YEAR,
        )
    )


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("api.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    moment = "{:%Y-%m-%d %H:%M} UTC".format
    environment.filters |= {"number": number, "days": days, "range": range_text, "moment": moment}
    environment.globals |= {"note": NOTES, "plot": _plot}
    return environment


def number(value: float) -> str:
    """Three significant digits or all before the point: 1,934, 81.3, 4.07."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def days(estimate: Estimate) -> Estimate:
    """The same in days."""
    bounds = (estimate.estimate, estimate.lower, estimate.upper)
    return Estimate(*(None if hours is None else hours / HOURS_PER_DAY for hours in bounds))


def range_text(estimate: Estimate) -> str:
    """The bounds in words; empty where there are none."""
    if estimate.lower is not None and estimate.upper is not None:
        return f"{number(estimate.lower)} – {number(estimate.upper)}"
    if estimate.lower is not None:
        return f"above {number(estimate.lower)}"
    return ""


def _plot(group: Group) -> Markup:
    title = f"Share of {group.component} of {group.model} still working by age"
    return Markup(curve_svg(group.life, title))  # noqa: S704 - drawn by us; names stand in it escaped
