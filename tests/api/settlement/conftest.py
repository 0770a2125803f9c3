"""Partners of three countries with rate cards of three currencies, and visits of theirs by the thousand."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import psycopg
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from api.settlement.signing import SigningKey
from careloop.client import ProblemError
from careloop.database.engine import connect

NOW = "2026-10-20T08:00:00Z"
AFTER_MONTH = "2026-11-02T08:00:00Z"
COUNTRIES = (("DE", "EUR"), ("CN", "CNY"), ("JP", "JPY"))
# What each partner is paid, in its currency.
RULES = [
    {"kind": "labour", "code": "work", "basis": "worked_hour", "amount_minor": 4567},
    {"kind": "travel", "code": "near", "basis": "visit", "amount_minor": 1150},
    {"kind": "travel", "code": "far", "basis": "kilometre", "amount_minor": 37, "from_km": 40},
    {"kind": "parts", "code": "handling", "basis": "percent_of_parts", "percent_bp": 1250},
    {"kind": "subsidy", "code": "warranty", "basis": "percent_of_labour", "percent_bp": 333, "in_warranty": True},
    {"kind": "reward", "code": "first time", "basis": "visit", "amount_minor": 501, "condition": "first_time_fix"},
    {"kind": "penalty", "code": "late", "basis": "percent_of_labour", "percent_bp": 1000, "condition": "sla_breached"},
]

# Partners 1 to 3, by country; a technician, a site and a machine of each.
_WORLD = """
CREATE TEMPORARY VIEW three AS SELECT i FROM generate_series(1, 3) i;
INSERT INTO service.customer (name) VALUES ('Hotel');
INSERT INTO service.product_model (code, name, kind) VALUES ('HD-5', 'Washer', 'washer');
INSERT INTO service.part (sku, name, cost_minor, currency) VALUES ('PUMP', 'Pump', 2000, 'EUR');
INSERT INTO service.provider (code, name, created_at)
SELECT 'P' || i, 'Partner ' || i, '2026-01-01Z' FROM three;
INSERT INTO service.technician (name, skills, territories, provider_id)
SELECT 'T' || i, '{general}', '{north}', i FROM three;
INSERT INTO service.site (customer_id, name, country, territory, time_zone)
SELECT 1, 'Site', (ARRAY['DE', 'CN', 'JP'])[i], 'north', 'UTC' FROM three;
INSERT INTO service.asset (serial, model_id, site_id, customer_id, installed_at, created_at)
SELECT 'HD5-' || i, 1, i, 1, '2026-01-01Z', '2026-01-01Z' FROM three;
INSERT INTO service.part_price (part_id, kind, currency, price_minor, valid_from, recorded_by, recorded_at)
SELECT 1, 'partner', (ARRAY['EUR', 'CNY', 'JPY'])[i], 3333 + i, '2026-01-01', 'test', '2026-01-01Z'
FROM three;
INSERT INTO service.warehouse (code, name, kind) VALUES ('HUB', 'Hub', 'central');
"""
# Visit i is of partner 1 + i % 3; all else follows from i, so that a test can say what it should be paid.
_VISITS = """
CREATE TEMPORARY VIEW wanted AS SELECT i FROM generate_series({first}, {last}) i;
INSERT INTO service.ticket (ticket_id, kind, state, asset_id, customer_id, provider_id, title, raised_by, opened_at)
OVERRIDING SYSTEM VALUE
SELECT i, 'repair', 'closed', 1 + i % 3, 1, 1 + i % 3, 'No pressure', 'test', '2026-10-01Z' FROM wanted;
INSERT INTO service.ticket_clock (ticket_id, kind, policy_id, calendar_id, calendar_version, target_minutes,
                                  warn_percent, started_at, stopped_at, due_at, breached_at)
SELECT i, 'solution', 1, 1, 1, 60, 80, '2026-10-01Z', '2026-10-09Z', '2026-10-10Z',
       CASE WHEN i % 5 = 0 THEN timestamptz '2026-10-08Z' END FROM wanted;
INSERT INTO service.job (job_id, asset_id, ticket_id, state, skill, labour_minutes, created_at, completed_at)
OVERRIDING SYSTEM VALUE
SELECT i, 1 + i % 3, i, 'completed', 'general', 60, '2026-10-01Z', '2026-10-09Z' FROM wanted;
INSERT INTO service.visit (visit_id, job_id, ticket_id, technician_id, starts_at, ends_at, dispatched_at, state,
                           work_began_at, checked_out_at, ended_at)
OVERRIDING SYSTEM VALUE
SELECT i, i, i, 1 + i % 3, at, at + interval '3 hours', '2026-10-01Z', 'completed', at,
       at + (20 + i % 97) * interval '1 minute', at + interval '2 hours'
FROM (SELECT i, timestamptz '2026-10-02T08:00Z' + i % 14 * interval '1 day' AS at FROM wanted) AS v;
INSERT INTO service.visit_position (visit_id, kind, distance_m, far, device_at, at, actor)
SELECT i, 'depart', i * 7919 % 90000, false, '2026-10-02Z', '2026-10-02Z', 'test' FROM wanted
WHERE i % 11 <> 0;
INSERT INTO service.visit_part (visit_id, entry_id, kind, part_id, quantity, warehouse_id, old_part, device_at,
                                received_at, actor)
SELECT i, gen_random_uuid(), 'used', 1, 1 + i % 4, 1, 'none', '2026-10-02Z', '2026-10-02Z', 'test'
FROM wanted WHERE i % 3 <> 1;
INSERT INTO service.visit_report (visit_id, content, solved, frozen, frozen_at, written_by, written_at)
SELECT i, jsonb_build_object('in_warranty', i % 2 = 0), i % 7 <> 0,
       jsonb_build_object('bill', jsonb_build_object('currency', 'EUR', 'net_minor', 20000, 'borne_minor', 500)),
       '2026-10-02Z', 'test', '2026-10-02Z'
FROM wanted;
DROP VIEW wanted;
"""
_CHECKS = """
INSERT INTO service.completion_check (visit_id, provider_id, technician_id, completed_at, state, runs, first_verdict)
SELECT v.visit_id, v.technician_id, v.technician_id, v.ended_at, '{state}', 1, 'passed'
FROM service.visit v WHERE v.visit_id BETWEEN {first} AND {last}
"""


@dataclass
class Finance:
    """The API as the people of finance and of partners use it, at one time that a test moves on."""

    http: httpx.Client
    database_url: str
    keys: dict[str, str]
    now: str = NOW

    def send(self, role: str, method: str, path: str, body: object = None, **headers: str) -> httpx.Response:
        given = {"Careloop-Now": self.now, "Authorization": f"Bearer {self.keys[role]}", **headers}
        return self.http.request(method, f"/v1/settlement{path}", headers=given, json=body)

    def call(self, role: str, method: str, path: str, body: object = None, **headers: str) -> Any:
        """A request that must succeed; its answer."""
        answer = self.send(role, method, path, body, **headers)
        if answer.is_error:
            raise ProblemError(answer.status_code, answer.json())
        return answer.json()

    def get(self, role: str, path: str) -> Any:
        return self.call(role, "GET", path)

    def post(self, role: str, path: str, body: object = None, **headers: str) -> Any:
        return self.call(role, "POST", path, {} if body is None else body, **headers)

    def refused(self, role: str, method: str, path: str, body: object = None, **headers: str) -> tuple[int, str]:
        """Status and type of a request that must fail."""
        answer = self.send(role, method, path, body, **headers)
        assert answer.is_error, answer.text
        return answer.status_code, answer.json()["type"].removeprefix("/problems/")

    def owner(self) -> psycopg.Connection:
        """The database's owner, at our time."""
        connection = connect(self.database_url)
        connection.execute("SELECT set_config('careloop.now', %s, false)", [self.now])
        return connection

    def visits(self, first: int, last: int, state: str = "passed") -> None:
        """Completed visits with all that they are paid by; quickly, past all triggers but those of their audit."""
        with self.owner() as owner:
            with owner.transaction():
                owner.execute("SET LOCAL session_replication_role = replica")
                owner.execute(_VISITS.format(first=first, last=last))
            owner.execute(_CHECKS.format(first=first, last=last, state=state))
            owner.execute(
                "ANALYZE service.visit, service.visit_settlement, service.completion_check, service.visit_part"
            )

    def card(self, country: str, currency: str, **changes: Any) -> int:
        """An active rate card."""
        body = {"name": f"{country} 2026", "country": country, "currency": currency, "valid_from": "2026-01-01"}
        card_id = self.post("desk_lead", "/rate-cards", {**body, "lines": RULES, **changes})["rate_card_id"]
        return self.post("desk_lead", f"/rate-cards/{card_id}/activate")["rate_card_id"]

    def run(self) -> dict[str, int]:
        """Settle all there is."""
        sums = {"settled": 0, "blocked": 0, "entries": 0}
        more = True
        while more:
            done = self.post("service", "/run")
            more = done["more"]
            sums = {name: sums[name] + done[name] for name in sums}
        return sums

    def statement(self, provider_id: int, month: str = "2026-10", role: str = "desk_lead") -> dict[str, Any]:
        (found,) = self.get(role, f"/statements?provider_id={provider_id}&month={month}")["items"]
        return found

    def lines(self, statement_id: int, role: str = "desk_lead") -> list[dict[str, Any]]:
        return self.get(role, f"/statements/{statement_id}/lines?limit=500")["items"]

    def rows(self, query: str, *values: object) -> list[dict[str, Any]]:
        with self.owner() as owner:
            return owner.execute(query, values or None).fetchall()


@pytest.fixture(scope="session")
def signing_key(tmp_path_factory) -> SigningKey:
    file = tmp_path_factory.mktemp("settlement") / "key.pem"
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    file.write_bytes(ed25519.Ed25519PrivateKey.generate().private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    return SigningKey.load(file)


@pytest.fixture
def finance(serve_api, signing_key) -> Iterator[Finance]:
    with serve_api(settlement_key=signing_key) as api, httpx.Client(base_url=api.url, timeout=60) as http:
        with connect(api.database_url) as owner:
            owner.execute(_WORLD)
        keys = {
            **api.keys,
            "partner": api.scoped_key("partner_manager", provider_id=1),
            "stranger": api.scoped_key("partner_manager", provider_id=2),
            "fitter": api.scoped_key("technician", provider_id=1, technician_id=1),
        }
        yield Finance(http, api.database_url, keys)
