"""`/v1/product-models/{code}/metrics` and `/v1/metrics/pending`."""

from fastapi import APIRouter

from api.conventions.call import CallRoute, CurrentCall, allow
from api.conventions.models import Name
from api.conventions.pages import CurrentPage, Page
from api.conventions.problems import RESPONSES
from api.conventions.roles import FIELD, STAFF
from api.dictionary import service
from api.dictionary.models import ModelMetric, ModelMetrics, NewReview, PendingMetric

router = APIRouter(prefix="/v1", tags=["dictionary"], route_class=CallRoute, responses=RESPONSES)

EVERYBODY = [allow(*STAFF, *FIELD)]
DESK = [allow("agent", "service")]


@router.get("/metrics/pending", dependencies=EVERYBODY)
async def list_pending(page: CurrentPage, call: CurrentCall) -> Page[PendingMetric]:
    """Metrics that machines send, that their product model does not declare, and that nobody has looked at."""
    rows = await (await call.connection.execute(service.SQL["list_pending"], page.parameters)).fetchall()
    return Page[PendingMetric].model_validate(page.page(rows, "number"))


@router.get("/product-models/{code}/metrics", dependencies=EVERYBODY)
async def list_model_metrics(code: Name, call: CurrentCall) -> ModelMetrics:
    """The dictionary of one product model: declared, learned, and what was decided about the learned ones."""
    return ModelMetrics.model_validate(await service.model_metrics(call, code))


@router.post("/product-models/{code}/metrics/{name}/review", dependencies=DESK)
async def review_metric(code: Name, name: Name, body: NewReview, call: CurrentCall) -> ModelMetric:
    """Accept a learned metric into the product model's dictionary, or ignore it."""
    return ModelMetric.model_validate(await service.review(call, code, name, body))
