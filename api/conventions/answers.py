"""Answers written straight from rows, for the routes that are asked most."""

from collections.abc import Mapping
from typing import Any

from fastapi import Response
from pydantic_core import to_json


def json_answer(content: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """An answer as JSON, without the checks and copies that a response model takes.

    Whoever uses it names the model in the route's `response_model` still, and has a test that compares the two.

    Args:
        content: With the model's fields; times as datetimes.
        status: HTTP status.
        headers: Response headers.
    """
    return Response(to_json(content), status, dict(headers or {}), "application/json")
