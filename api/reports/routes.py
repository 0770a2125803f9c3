"""`/v1/reports/reliability`."""

import asyncio
from dataclasses import asdict
from typing import Annotated, Literal

from fastapi import APIRouter, Header, Query, Response
from fastapi.responses import HTMLResponse

from api.conventions.call import CallRoute, CurrentCall, allow
from api.conventions.models import Name, Time
from api.conventions.problems import RESPONSES
from api.reports import service
from api.reports.estimates import CONFIDENCE
from api.reports.models import ReliabilityReport
from api.reports.page import page_of
from api.reports.rules import METHODS

router = APIRouter(prefix="/v1/reports", tags=["reports"], route_class=CallRoute, responses=RESPONSES)

# The page loads nothing from anywhere, and is not kept where others may look.
PAGE_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:",
    "Vary": "Accept",
}


@router.get(
    "/reliability",
    dependencies=[allow("agent", "dispatcher", "service")],
    response_model=ReliabilityReport,
    responses={200: {"content": {"text/html": {}}, "description": "As JSON, or as one self-contained HTML page"}},
)
async def reliability(
    *,
    call: CurrentCall,
    model: Annotated[Name | None, Query(description="only this product model")] = None,
    component: Annotated[Name | None, Query(description="only components of this name")] = None,
    since: Annotated[Time | None, Query(alias="from", description="default: each asset's installation")] = None,
    until: Annotated[Time | None, Query(alias="to", description="not included; default and latest: now")] = None,
    format_: Annotated[Literal["json", "html"] | None, Query(alias="format")] = None,
    accept: Annotated[str, Header()] = "",
) -> Response | ReliabilityReport:
    """Mean time between failures, mean time to repair and component life, per product model and component.

    As a page with `format=html` or `Accept: text/html`. A browser asks for a login: any user name, an API key as the
    password.
    """
    report = await service.reliability(call, model=model, component=component, since=since, until=until)
    if format_ == "html" or (format_ is None and "text/html" in accept):
        return HTMLResponse(await asyncio.to_thread(page_of, report, model, component), headers=PAGE_HEADERS)
    figures = asdict(report)
    return ReliabilityReport.model_validate(
        {
            **figures,
            "from": report.period.since,
            "to": report.period.until,
            "model": model,
            "component": component,
            "confidence": CONFIDENCE,
            "methods": dict(METHODS),
        }
    )
