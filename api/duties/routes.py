"""`/v1/duties/run`."""

from fastapi import APIRouter, Request

from api.conventions.call import CallRoute, CurrentCall, allow
from api.conventions.problems import RESPONSES
from api.duties.service import perform

router = APIRouter(prefix="/v1/duties", tags=["duties"], route_class=CallRoute, responses=RESPONSES)

# So many batches of one duty in one call; what is left is done by the next.
MOST_BATCHES = 20


@router.post("/run", dependencies=[allow("service")])
async def run_duties(request: Request, call: CurrentCall) -> dict[str, int]:
    """Do now what is due at the call's time; the API does so by itself every few seconds.

    Answers how many things each duty did.
    """
    done: dict[str, int] = {}
    for duty in request.app.state.duties:
        done[duty.name] = 0
        for _ in range(MOST_BATCHES):
            count = await perform(call.connection, duty, call.now)
            done[duty.name] += count
            if count == 0:
                break
    return done
