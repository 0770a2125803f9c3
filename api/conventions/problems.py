"""Errors as RFC 9457 problem documents, with stable types."""

import logging
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from psycopg import OperationalError
from psycopg_pool import PoolTimeout
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

MEDIA_TYPE = "application/problem+json"
REQUEST_ID_HEADER = "X-Request-ID"

log = logging.getLogger(__name__)


class Problem(Exception):  # noqa: N818 - RFC 9457 calls it a problem
    """Ends a request with a problem document.

    Args:
        status: HTTP status.
        slug: Stable name; the type is `/problems/{slug}`.
        detail: What is wrong with this request and what to do.
        headers: Response headers.
        **members: Further members of the document.
    """

    def __init__(
        self, status: int, slug: str, detail: str, *, headers: Mapping[str, str] | None = None, **members: Any
    ) -> None:
        self.status = status
        self.slug = slug
        self.detail = detail
        self.headers = dict(headers or {})
        self.members = members
        super().__init__(detail)

    @classmethod
    def not_found(cls, what: str, key: object) -> "Problem":
        """404: there is no such thing."""
        return cls(404, "not-found", f"there is no {what} {key}")

    @classmethod
    def bad_field(cls, field: str, message: str) -> "Problem":
        """422: a field of the body that only the database could judge, e.g. an unknown serial."""
        return cls(422, "bad-field", f"{field}: {message}", errors=[{"field": field, "message": message}])

    @classmethod
    def conflict(cls, slug: str, detail: str, **members: Any) -> "Problem":
        """409: the request does not fit the state of things."""
        return cls(409, slug, detail, **members)


class FieldError(BaseModel):
    """One bad field."""

    field: str
    message: str


class ProblemDocument(BaseModel):
    """RFC 9457, as documented in OpenAPI."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(examples=["/problems/bad-field"])
    title: str
    status: int
    detail: str
    instance: str
    request_id: str | None = Field(None, description="stands in the log lines of this request, too")
    errors: list[FieldError] | None = None


RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {"model": ProblemDocument, "description": description, "content": {MEDIA_TYPE: {}}}
    for status, description in {
        400: "The request is malformed",
        401: "No valid API key",
        403: "The role may not do this",
        404: "There is no such thing",
        409: "It does not fit the state of things",
        412: "Somebody else changed it first",
        413: "The body is too large",
        422: "A field is wrong; `errors` names it",
        428: "If-Match is missing",
        503: "The database does not answer",
    }.items()
}


THROTTLED: dict[int | str, dict[str, Any]] = {
    **RESPONSES,
    429: {
        "model": ProblemDocument,
        "description": "Too many attempts; Retry-After says when to try again",
        "content": {MEDIA_TYPE: {}},
    },
}


def install(app: FastAPI) -> None:
    """Answer every error of an application with a problem document."""

    @app.exception_handler(Problem)
    async def of_problem(request: Request, problem: Problem) -> JSONResponse:
        return problem_response(request, problem)

    @app.exception_handler(RequestValidationError)
    async def of_validation(request: Request, error: RequestValidationError) -> JSONResponse:
        errors = [{"field": _field(item["loc"]), "message": item["msg"]} for item in error.errors()]
        detail = "; ".join(f"{item['field']}: {item['message']}" for item in errors)
        return problem_response(request, Problem(422, "bad-field", detail, errors=errors))

    @app.exception_handler(HTTPException)
    async def of_http(request: Request, error: HTTPException) -> JSONResponse:
        slug = {404: "not-found", 405: "method-not-allowed"}.get(error.status_code, "http")
        return problem_response(request, Problem(error.status_code, slug, str(error.detail), headers=error.headers))

    @app.exception_handler(PoolTimeout)
    @app.exception_handler(OperationalError)
    async def of_database(request: Request, error: Exception) -> JSONResponse:
        log.error("database: %s", error)
        detail = "the database does not answer; try again"
        return problem_response(request, Problem(503, "database-unavailable", detail, headers={"Retry-After": "2"}))

    @app.exception_handler(ClientDisconnect)
    async def of_disconnect(request: Request, _: ClientDisconnect) -> JSONResponse:
        # Nobody is there to read the answer; the transaction has been rolled back.
        log.info("%s %s: the client went away", request.method, request.url.path)
        return problem_response(request, Problem(400, "client-gone", "the request ended before it was whole"))

    @app.exception_handler(Exception)
    async def of_defect(request: Request, error: Exception) -> JSONResponse:
        # The last of all handlers, outside the context that gives the other lines their request id.
        given = {"request_id": request_id_of(request)}
        log.error("%s %s failed", request.method, request.url.path, exc_info=error, extra=given)
        problem = Problem(500, "defect", "careloop has a defect here; the server's log has the trace")
        return problem_response(request, problem)


def problem_response(request: Request, problem: Problem) -> JSONResponse:
    """The problem as an answer to a request."""
    document = {
        "type": f"/problems/{problem.slug}",
        "title": problem.slug.replace("-", " "),
        "status": problem.status,
        "detail": problem.detail,
        "instance": request.url.path,
        **problem.members,
    }
    headers = problem.headers
    request_id = request_id_of(request)
    if request_id is not None:
        document["request_id"] = request_id
        headers = {**headers, REQUEST_ID_HEADER: request_id}
    return JSONResponse(document, problem.status, headers, MEDIA_TYPE)


def request_id_of(request: Request) -> str | None:
    """The request's id, where the application gives one."""
    request_id: str | None = getattr(request.state, "request_id", None)
    return request_id


def _field(location: tuple[int | str, ...]) -> str:
    """`body.parts.0.sku` for ("body", "parts", 0, "sku")."""
    return ".".join(str(part) for part in location)
