"""`/v1/events`, `/v1/webhooks`."""

from fastapi import APIRouter, Response

from api.conventions.call import CallRoute, CurrentCall, allow
from api.conventions.etags import IfMatch, require_version, tag
from api.conventions.models import Id
from api.conventions.pages import CurrentPage, Page
from api.conventions.problems import RESPONSES
from api.feed import service
from api.feed.models import (
    Events,
    NewWebhook,
    ParkedEvent,
    Replay,
    Webhook,
    WebhookChange,
    WebhookWithSecret,
)

router = APIRouter(prefix="/v1", tags=["feed"], route_class=CallRoute, responses=RESPONSES)

ADMIN = [allow()]


@router.get("/events", dependencies=[allow("agent", "engineer", "service", "partner_manager")])
async def list_events(page: CurrentPage, call: CurrentCall) -> Events:
    """Every new thing with a state and every change of a state, in an order that never changes, as CloudEvents.

    Read on after `next` as often as you like: nothing appears before a cursor that was handed out. Within a ticket the
    order is that of what happened.
    """
    return Events(**await service.list_events(call, page.after_id, page.limit))


@router.post("/webhooks", status_code=201, dependencies=ADMIN)
async def create_webhook(body: NewWebhook, call: CurrentCall, response: Response) -> WebhookWithSecret:
    """Have events posted to a URL, signed as Standard Webhooks say; the secret is shown this once."""
    webhook = WebhookWithSecret(**await service.create_webhook(call, body))
    response.headers["Cache-Control"] = "no-store"
    tag(response, webhook.version)
    return webhook


@router.get("/webhooks", dependencies=ADMIN)
async def list_webhooks(page: CurrentPage, call: CurrentCall) -> Page[Webhook]:
    """All webhooks, and how far each is."""
    return Page[Webhook].model_validate(page.page(await service.list_webhooks(call, page.parameters), "webhook_id"))


@router.get("/webhooks/{webhook_id}", dependencies=ADMIN)
async def get_webhook(webhook_id: Id, call: CurrentCall, response: Response) -> Webhook:
    """One webhook."""
    webhook = Webhook(**await service.get_webhook(call, webhook_id))
    tag(response, webhook.version)
    return webhook


@router.patch("/webhooks/{webhook_id}", dependencies=ADMIN)
async def change_webhook(
    webhook_id: Id, body: WebhookChange, call: CurrentCall, response: Response, if_match: IfMatch = None
) -> Webhook:
    """Change a webhook, or let it rest (`active` false); needs If-Match. Its place in the feed stays."""
    webhook = Webhook(**await service.change_webhook(call, webhook_id, body, require_version(if_match)))
    tag(response, webhook.version)
    return webhook


@router.delete("/webhooks/{webhook_id}", status_code=204, dependencies=ADMIN)
async def delete_webhook(webhook_id: Id, call: CurrentCall) -> None:
    """Tell it no more."""
    await service.delete_webhook(call, webhook_id)


@router.post("/webhooks/{webhook_id}/rotate-secret", dependencies=ADMIN)
async def rotate_secret(webhook_id: Id, call: CurrentCall, response: Response) -> WebhookWithSecret:
    """Make a new signing secret; for a day messages carry both signatures."""
    webhook = WebhookWithSecret(**await service.rotate_secret(call, webhook_id))
    response.headers["Cache-Control"] = "no-store"
    tag(response, webhook.version)
    return webhook


@router.post("/webhooks/{webhook_id}/replay", dependencies=ADMIN)
async def replay_events(webhook_id: Id, body: Replay, call: CurrentCall, response: Response) -> Webhook:
    """Post everything after a cursor again, in order; a receiver knows repeated ones by their `webhook-id`."""
    webhook = Webhook(**await service.replay(call, webhook_id, body.after))
    tag(response, webhook.version)
    return webhook


@router.get("/webhooks/{webhook_id}/parked", dependencies=ADMIN)
async def list_parked(webhook_id: Id, page: CurrentPage, call: CurrentCall) -> Page[ParkedEvent]:
    """Events that the receiver has not taken, with the reason; `dead` ones are given up, a replay tells them again."""
    rows = await service.list_parked(call, webhook_id, page.parameters)
    return Page[ParkedEvent].model_validate(page.page(rows, "position"))
