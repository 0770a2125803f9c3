"""The report over HTTP: as JSON, as a page, to programs and to browsers."""

import re
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import httpx
import pytest

from careloop.client import ProblemError
from careloop.database.engine import connect

PATH = "/v1/reports/reliability"
PUMP = "pump <b>&"
MODEL = {"code": "HD-5", "name": "HD 5/15", "kind": "pressure_washer", "components": [{"name": PUMP}, {"name": "hose"}]}


@pytest.fixture
def fleet(api):
    """Two assets; the pump of one failed after 240 hours, seen coming 24 hours ahead."""
    with api.client("agent") as desk:
        desk.post("/v1/product-models", MODEL)
        for serial in ("A", "B"):
            desk.post("/v1/assets", {"serial": serial, "model": "HD-5", "installed_at": "2015-01-01T00:00:00Z"})
    with connect(api.database_url) as connection:
        connection.execute(
            "INSERT INTO service.failure (asset_id, component, failed_at, restored_at, recorded_at)"
            " VALUES (1, %s, '2015-01-11Z', '2015-01-11 06:00Z', '2015-01-11 06:00Z')",
            [PUMP],
        )
        connection.execute(
            "INSERT INTO service.replacement (asset_id, component, replaced_at, reason, recorded_at)"
            " VALUES (1, %s, '2015-01-11 06:00Z', 'failure', '2015-01-11 06:00Z')",
            [PUMP],
        )
        connection.execute(
            "INSERT INTO service.ticket"
            " (kind, asset_id, component, cause, title, raised_by, opened_at, closed_at, state, outcome)"
            " VALUES ('preventive', 1, %s, 'component:pump', 't', 'predictor', '2015-01-10Z', '2015-01-11 06:00Z',"
            " 'resolved', 'confirmed')",
            [PUMP],
        )
    return api


def get(api, *, role="agent", **arguments) -> httpx.Response:
    headers = {"Authorization": f"Bearer {api.keys[role]}", **arguments.pop("headers", {})}
    return httpx.get(api.url + PATH, headers=headers, params=arguments, timeout=60)


def test_the_figures_as_json(fleet) -> None:
    with fleet.client("agent") as desk:
        report = desk.get(PATH, to="2015-01-21T00:00:00Z", component=PUMP)
    (group,) = report["groups"]
    assert (group["component"], group["exposure_hours"], group["failures"]) == (PUMP, 960.0, 1)
    assert group["mtbf_hours"]["estimate"] == 960.0
    assert group["mttr_hours"] == {"estimate": 6.0, "lower": None, "upper": None}
    assert [point["survival"] for point in group["life"]["curve"]] == pytest.approx([1.0, 0.5, 0.5])
    assert report["prevention"] == {
        "tickets": 1,
        "by_outcome": {"confirmed": 1},
        "failures": 1,
        "failures_caught": 1,
        "replaced_before_failing": 0,
        "median_lead_hours": 24.0,
    }
    assert set(report["methods"]) == {"mtbf", "failures", "mttr", "life", "prevention", "inspected"}
    assert (report["from"], report["to"], report["confidence"]) == (None, "2015-01-21T00:00:00Z", 0.95)


def test_facts_count_strictly_before_the_time_of_the_call(fleet) -> None:
    with fleet.client("agent") as desk:
        for now, failures in (("2015-01-11T00:00:00Z", 0), ("2015-01-11T00:00:01Z", 1)):
            answer = get(fleet, headers={"Careloop-Now": now}, to="2030-01-01T00:00:00Z")
            report = answer.json()
            assert report["to"] == now
            assert sum(group["failures"] for group in report["groups"]) == failures
            assert report["prevention"]["by_outcome"] == {"open": 1}
        later = desk.get(PATH, **{"from": "2015-01-12T00:00:00Z", "to": "2015-01-13T00:00:00Z"})
    assert [group["exposure_hours"] for group in later["groups"]] == [48.0, 48.0]
    assert later["prevention"]["failures"] == 0


BAD_QUERIES = [
    ({"model": "none"}, "query.model"),
    ({"component": "none"}, "query.component"),
    ({"from": "yesterday"}, "query.from"),
    ({"from": "2015-02-01T00:00:00Z", "to": "2015-01-01T00:00:00Z"}, "query.from"),
    ({"format": "pdf"}, "query.format"),
]


def test_a_bad_query_is_named(fleet) -> None:
    with fleet.client("agent") as desk:
        for query, field in BAD_QUERIES:
            with pytest.raises(ProblemError) as refused:
                desk.get(PATH, **query)
            problem = refused.value.problem
            assert (refused.value.status, problem["errors"][0]["field"]) == (422, field), (query, problem)


def test_technicians_get_no_report(fleet) -> None:
    assert get(fleet, role="technician").status_code == 403


class Page(HTMLParser):
    """What a page holds: its tags with attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data) -> None:
        self.text += data


def test_the_page_is_self_contained_and_escapes_names(fleet) -> None:
    answer = get(fleet, format="html", to="2015-01-21T00:00:00Z")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    page = Page(answer.text)
    assert not {"script", "link", "img", "iframe", "b>"} & {tag for tag, _ in page.tags}
    links = [
        value or "" for _, attributes in page.tags for name, value in attributes.items() if name in {"src", "href"}
    ]
    assert links
    assert all(link.startswith("#") for link in links)
    assert "url(http" not in answer.text
    # A literal name, not a tag: what follows "pump" in the source is escaped everywhere.
    assert re.findall(r"pump (?!&lt;b&gt;&amp;)", answer.text) == []
    assert PUMP in page.text
    (drawing,) = re.findall(r"<svg.*?</svg>", answer.text, re.DOTALL)
    assert "share" in ET.fromstring(drawing).attrib["aria-label"].lower()
    for words in ("1 of 1", "24.0 h", "960 h", "6.00 h", "No failure was seen", "not reached"):
        assert words in page.text, words


def test_every_figure_on_the_page_leads_to_its_method(fleet) -> None:
    page = Page(get(fleet, format="html").text)
    targets = {"#" + (attributes.get("id") or "") for tag, attributes in page.tags if tag == "li"}
    references = {attributes["href"] for tag, attributes in page.tags if tag == "a"}
    assert references == targets


def test_an_empty_house_has_an_honest_page(api) -> None:
    assert "Nothing to report on" in get(api, format="html").text
    assert get(api).json()["groups"] == []


HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


def test_a_browser_logs_in_with_the_key_as_password(fleet) -> None:
    asked = httpx.get(fleet.url + PATH, headers=HTML)
    assert asked.status_code == 401
    assert asked.headers["www-authenticate"].startswith("Basic ")
    shown = httpx.get(fleet.url + PATH, headers=HTML, auth=("anybody", fleet.keys["agent"]), timeout=60)
    assert (shown.status_code, shown.headers["content-type"]) == (200, "text/html; charset=utf-8")
    for password in ("wrong", ""):
        refused = httpx.get(fleet.url + PATH, headers=HTML, auth=("anybody", password))
        assert (refused.status_code, refused.headers["www-authenticate"][:5]) == (401, "Basic")
    garbled = httpx.get(fleet.url + PATH, headers={**HTML, "Authorization": "Basic ÿ%".encode("latin-1")})
    assert garbled.json()["type"] == "/problems/api-key-missing"


def test_a_login_of_a_browser_does_for_pages_only(fleet) -> None:
    """A browser would add it to requests that another site's page makes."""
    login = ("anybody", fleet.keys["admin"])
    as_json = httpx.get(fleet.url + PATH, auth=login)
    assert (as_json.status_code, as_json.headers["www-authenticate"]) == (401, "Bearer")
    assert httpx.post(fleet.url + "/v1/customers", headers=HTML, auth=login, json={"name": "x"}).status_code == 401
