"""`/v1/settlement/rate-cards`."""

from typing import Annotated

from fastapi import APIRouter, Query, Response
from psycopg.rows import DictRow

from api.conventions.call import CallRoute, CurrentCall, allow
from api.conventions.etags import IfMatch, require_version, tag
from api.conventions.models import Id
from api.conventions.pages import CurrentPage, Page
from api.conventions.problems import RESPONSES
from api.conventions.roles import STAFF
from api.settlement.cards import service
from api.settlement.cards.models import NewRateCard, RateCard, RateCardChange, RateCardHead, Trial, TrialWish
from api.settlement.rules import CardState

router = APIRouter(prefix="/v1/settlement/rate-cards", tags=["settlement"], route_class=CallRoute, responses=RESPONSES)

LEAD = [allow("desk_lead")]
LOOKERS = [allow(*STAFF, "partner_manager")]


def _tagged(response: Response, row: DictRow) -> RateCard:
    tag(response, row["version"])
    return RateCard(**row)


@router.post("", status_code=201, dependencies=LEAD)
async def create_rate_card(body: NewRateCard, call: CurrentCall, response: Response) -> RateCard:
    """Add what partners are paid as a draft; it prices nothing until it is activated."""
    return _tagged(response, await service.create(call, body))


@router.get("", dependencies=LOOKERS)
async def list_rate_cards(
    page: CurrentPage,
    call: CurrentCall,
    *,
    provider_id: Annotated[Id | None, Query(description="those for this partner alone")] = None,
    state: CardState | None = None,
) -> Page[RateCardHead]:
    """Rate cards without their lines; a partner sees those that may be its own."""
    rows = await service.list_cards(call, {**page.parameters, "provider_id": provider_id, "state": state})
    return Page[RateCardHead].model_validate(page.page(rows, "rate_card_id"))


@router.get("/{rate_card_id}", dependencies=LOOKERS)
async def get_rate_card(rate_card_id: Id, call: CurrentCall, response: Response) -> RateCard:
    """One rate card with its lines."""
    return _tagged(response, await service.get(call, rate_card_id))


@router.patch("/{rate_card_id}", dependencies=LEAD)
async def change_rate_card(
    rate_card_id: Id, body: RateCardChange, call: CurrentCall, response: Response, if_match: IfMatch = None
) -> RateCard:
    """Change a draft, or say which day is an active card's last; needs If-Match."""
    return _tagged(response, await service.change(call, rate_card_id, body, require_version(if_match)))


@router.post("/{rate_card_id}/trial", dependencies=LEAD)
async def try_rate_card(rate_card_id: Id, body: TrialWish, call: CurrentCall) -> Trial:
    """What the card would pay for a month's visits, beside what today's cards pay; changes nothing."""
    return Trial.model_validate(await service.try_on(call, rate_card_id, body.month))


@router.post("/{rate_card_id}/activate", dependencies=LEAD)
async def activate_rate_card(rate_card_id: Id, call: CurrentCall, response: Response) -> RateCard:
    """Let a draft hold from its first day on."""
    return _tagged(response, await service.move(call, rate_card_id, "activate"))


@router.post("/{rate_card_id}/withdraw", dependencies=LEAD)
async def withdraw_rate_card(rate_card_id: Id, call: CurrentCall, response: Response) -> RateCard:
    """Let a card hold no longer; what it has priced stays."""
    return _tagged(response, await service.move(call, rate_card_id, "withdraw"))
