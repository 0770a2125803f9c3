"""The OpenAPI document is true: schemathesis asks every operation as every role.

No answer is a 5xx, none has a status or a body that the document does not know. Each operation is asked with a few
made-up requests a role; `CARELOOP_OPENAPI_EXAMPLES=100` looks
longer.
"""

import os
from datetime import UTC, datetime

import psycopg
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from openapi_spec_validator import validate
from schemathesis.checks import load_all_checks
from schemathesis.config import SchemathesisConfig
from schemathesis.core.failures import FailureGroup

from api.application import create_app
from api.conventions.authentication import hash_key
from tests.conftest import ROLES

load_all_checks()
from schemathesis.specs.openapi.checks import (  # noqa: E402 - registered by the line before
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

CHECKS = [
    schemathesis.checks.not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
]
EXAMPLES = int(os.environ.get("CARELOOP_OPENAPI_EXAMPLES", "3"))
DOCUMENT = create_app("", clock="request", now=lambda: datetime.now(UTC)).openapi()
# So that several workers share the work.
PARTS = 8
ALL_ROLES = (*ROLES, "partner_manager", "customer")
# What makes whoever asks unable to ask on.
LEFT_ALONE = {("POST", "/v1/logout")}


def test_the_document_is_valid_openapi():
    validate(DOCUMENT)


@pytest.fixture
def desk(api):
    """An API over a desk that has one of most things, and a key a role."""
    with api.client("admin") as admin:
        admin.post(
            "/v1/product-models", {"code": "HD5", "name": "HD 5", "kind": "washer", "components": [{"name": "pump"}]}
        )
        customer_id = admin.post("/v1/customers", {"name": "Müller"})["customer_id"]
        site_id = admin.post("/v1/sites", {"name": "Werk", "customer_id": customer_id})["site_id"]
        for serial in ("0", "W1"):
            asset = {"serial": serial, "model": "HD5", "site_id": site_id, "installed_at": "2026-01-01T00:00:00Z"}
            admin.post("/v1/assets", asset)
        for number in range(3):
            admin.post("/v1/tickets", {"serial": "W1", "kind": "repair", "title": f"leaks {number}"})
        admin.post("/v1/technicians", {"name": "Ada", "skills": ["general"], "territories": ["default"]})
    with psycopg.connect(api.database_url, autocommit=True) as connection:
        row = connection.execute(
            "INSERT INTO service.provider (code, name, created_at) VALUES ('P', 'P', now()) RETURNING provider_id"
        ).fetchone()
        connection.execute("UPDATE service.ticket SET provider_id = %s WHERE ticket_id = 1", row)
    keys = dict(api.keys)
    keys["customer"] = api.scoped_key("customer", customer_id=customer_id)
    keys["partner_manager"] = api.scoped_key("partner_manager", provider_id=row[0])
    return api, keys


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_every_operation_answers_every_role_as_the_document_says(desk, part):
    api, keys = desk
    schema = schemathesis.openapi.from_dict(DOCUMENT, config=SchemathesisConfig.from_dict({}))
    schema.config.update(base_url=api.url)
    faults = []
    for number, result in enumerate(schema.get_all_operations()):
        operation = result.ok()
        if number % PARTS != part:
            continue
        if (operation.method.upper(), operation.path) in LEFT_ALONE:
            continue
        with psycopg.connect(api.database_url, autocommit=True) as connection:
            # Somebody may have revoked them.
            hashes = [hash_key(key) for key in keys.values()]
            connection.execute("UPDATE service.api_key SET revoked_at = NULL WHERE key_hash = ANY (%s)", (hashes,))
        fault = _fault(operation, keys)
        if fault is not None:
            faults.append(f"{operation.method.upper()} {operation.path} {fault}")
    assert not faults, "\n\n".join(faults)


def _fault(operation, keys):
    """What an operation did that the document does not know, and to whom; None when all was as it says."""
    asking = []

    @given(case=operation.as_strategy())
    @settings(
        max_examples=EXAMPLES,
        database=None,
        derandomize=True,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )
    def ask(case):
        given_headers = {name: value for name, value in (case.headers or {}).items() if name.lower() != "authorization"}
        for role in ALL_ROLES:
            asking[:] = [role]
            case.headers = given_headers | {"Authorization": f"Bearer {keys[role]}"}
            case.validate_response(case.call(timeout=30), checks=CHECKS)

    try:
        ask()
    except (Exception, FailureGroup) as error:  # noqa: BLE001 - whatever it is, it is told
        told = "\n".join(str(part) for part in getattr(error, "exceptions", [error]))
        return f"as {asking[0] if asking else 'nobody'}: {told}"[:1500]
    return None
