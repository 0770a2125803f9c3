"""What every call has in common, added to the OpenAPI document: who asks, and the key of a repetition."""

import re
from collections.abc import Callable, Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute

from api.conventions.call import KEY_HEADER, LONGEST_KEY, CallRoute

SCHEME = "key"

_KEY = {
    "name": KEY_HEADER,
    "in": "header",
    "required": False,
    "description": "Any text of your own: a second POST with the same key and body gets the first one's answer",
    "schema": {"type": "string", "minLength": 1, "maxLength": LONGEST_KEY, "pattern": r"^[\x20-\x7e]+$"},
}


def document_calls(app: FastAPI) -> Callable[[], dict[str, Any]]:
    """A replacement for `app.openapi` that also says what holds for every call."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is not None:
            return app.openapi_schema
        document = plain()
        schemes = document.setdefault("components", {}).setdefault("securitySchemes", {})
        schemes[SCHEME] = {
            "type": "http",
            "scheme": "bearer",
            "description": "An API key (`ck_…`), or the token of POST /v1/login (`cs_…`)",
        }
        for route, method in _calls(app):
            operation = document["paths"][route.path_format][method.lower()]
            operation["security"] = [{SCHEME: []}]
            if method == "POST":
                operation.setdefault("parameters", []).append(_KEY)
        for schema in document["components"].get("schemas", {}).values():
            for described in schema.get("properties", {}).values():
                if _stands_for_left_out(described):
                    del described["default"]
        return document

    return openapi


def _stands_for_left_out(described: dict[str, Any]) -> bool:
    """Whether a default may not be sent itself: it marks what a change leaves as it is."""
    default = described.get("default")
    if default not in ("", []):
        return False
    too_short = described.get("minLength", 0) > 0 or described.get("minItems", 0) > 0
    return too_short or re.search(described.get("pattern", ""), str(default or "")) is None


def _calls(app: FastAPI) -> Iterator[tuple[APIRoute, str]]:
    for route in app.routes:
        if isinstance(route, CallRoute) and route.include_in_schema:
            for method in route.methods or ():
                yield route, method
