"""`/v1/alert-targets`, `/v1/alerts`."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from api.alerts import service
from api.alerts.models import Alert, AlertTarget, AlertTargetChange, CreatedAlertTarget, NewAlertTarget, State
from api.alerts.rules import Topic
from api.conventions.call import CallRoute, CurrentCall, allow
from api.conventions.etags import IfMatch, require_version, tag
from api.conventions.models import Id, Serial
from api.conventions.pages import CurrentPage, Page
from api.conventions.problems import RESPONSES

router = APIRouter(prefix="/v1", tags=["alerts"], route_class=CallRoute, responses=RESPONSES)

ADMIN = [allow()]
DESK = [allow("agent", "dispatcher", "service")]


@router.post("/alert-targets", status_code=201, dependencies=ADMIN)
async def create_alert_target(body: NewAlertTarget, call: CurrentCall, response: Response) -> CreatedAlertTarget:
    """Add a target. For administrators only: it makes this server call any address, or write any file, named here."""
    target = CreatedAlertTarget(**await service.create_target(call, body))
    tag(response, target.version)
    if target.secret is not None:
        response.headers["Cache-Control"] = "no-store"
    return target


@router.get("/alert-targets", dependencies=ADMIN)
async def list_alert_targets(page: CurrentPage, call: CurrentCall) -> Page[AlertTarget]:
    """All targets, without secrets."""
    return Page[AlertTarget].model_validate(page.page(await service.list_targets(call, page.parameters), "target_id"))


@router.get("/alert-targets/{target_id}", dependencies=ADMIN)
async def get_alert_target(target_id: Id, call: CurrentCall, response: Response) -> AlertTarget:
    """One target, without its secret."""
    target = AlertTarget(**await service.get_target(call, target_id))
    tag(response, target.version)
    return target


@router.patch("/alert-targets/{target_id}", dependencies=ADMIN)
async def change_alert_target(
    target_id: Id, body: AlertTargetChange, call: CurrentCall, response: Response, if_match: IfMatch = None
) -> AlertTarget:
    """Switch a target off or on, or change its topics; needs If-Match."""
    target = AlertTarget(**await service.change_target(call, target_id, body, require_version(if_match)))
    tag(response, target.version)
    return target


@router.get("/alerts", dependencies=DESK)
async def list_alerts(
    page: CurrentPage,
    call: CurrentCall,
    state: State | None = None,
    topic: Topic | None = None,
    serial: Annotated[Serial | None, Query()] = None,
) -> Page[Alert]:
    """Alerts, oldest first; in one state, of one topic or about one asset if wished."""
    parameters: dict[str, Any] = {**page.parameters, "state": state, "topic": topic, "serial": serial}
    rows = await (await call.connection.execute(service.SQL["list_alerts"], parameters)).fetchall()
    return Page[Alert].model_validate(page.page(rows, "alert_id"))


@router.get("/alerts/{alert_id}", dependencies=DESK)
async def get_alert(alert_id: Id, call: CurrentCall) -> Alert:
    """One alert."""
    return Alert(**await service.get_alert(call, alert_id))


@router.post("/alerts/{alert_id}/resend", dependencies=[allow("agent", "dispatcher")])
async def resend_alert(alert_id: Id, call: CurrentCall) -> Alert:
    """Try a dead or unconfirmed alert again; the target may get an unconfirmed one twice."""
    return Alert(**await service.resend(call, alert_id))
