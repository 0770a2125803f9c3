"""HTTP polling against a real server."""

import base64
import json
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from pydantic import ValidationError

from tests.edge_agent.conftest import needed


class Device:
    """Answers with JSON, or as the test wants."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.answer: object = {"hp": {"pressure": 985}, "errors": ["E7"]}
        self.status = 200
        self.delay_s = 0.0
        self.drip = False
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        device = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                headers = {name.title(): value for name, value in self.headers.items()}
                device.requests.append((self.command, self.path, headers, body))
                time.sleep(device.delay_s)
                answer = device.answer
                payload = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                self.send_response(device.status)
                self.send_header("Content-Length", str(len(payload)))
                self.end_headers()
                try:
                    for byte in payload if device.drip else ():
                        self.wfile.write(bytes([byte]))
                        self.wfile.flush()
                        time.sleep(0.1)
                    self.wfile.write(b"" if device.drip else payload)
                except OSError:
                    pass  # the client had enough

            do_POST = do_GET  # noqa: N815 - the standard library's name

            def log_message(self, *_: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        if context is not None:
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        scheme = "http" if context is None else "https"
        self.url = f"{scheme}://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def web() -> Iterator[Device]:
    device = Device()
    yield device
    device.close()


def test_a_json_answer_becomes_readings_and_events(web, opened):
    polled = opened(
        kind="http",
        url=f"{web.url}/status",
        serial="KW-1",
        interval_s=0.05,
        metrics={"pressure_bar": {"at": "/hp/pressure", "unit": "bar", "scale": 0.1}, "absent": "/none"},
        events=[{"at": "/errors/0", "severity": "error"}],
    )
    polled.until(lambda p: len(p.rows) >= 3)
    assert polled.values == {"KW-1": {"pressure_bar": pytest.approx(98.5)}}
    assert [(serial, event.code, event.severity) for serial, event in polled.events] == [("KW-1", "E7", "error")]
    assert polled.source.units_of("KW-1") == {"pressure_bar": "bar"}
    assert abs(polled.rows[0].time_s - time.time()) < 60


def test_secrets_come_from_the_environment_or_a_file(web, opened, monkeypatch, tmp_path):
    monkeypatch.setenv("DEVICE_TOKEN", "tok")
    (tmp_path / "secret").write_text("pw\n")
    common = {"kind": "http", "url": web.url, "serial": "KW-1", "headers": {"X-Site": "7"}}
    opened(**common, secret_env="DEVICE_TOKEN").until(lambda p: p.rows)
    opened(**common, user="me", secret_file=str(tmp_path / "secret")).until(lambda p: p.rows)
    opened(**common, secret_env="DEVICE_TOKEN", secret_header="X-Api-Key").until(lambda p: p.rows)
    sent = [request[2] for request in web.requests]
    assert sent[0]["Authorization"] == "Bearer tok"
    assert sent[1]["Authorization"] == "Basic " + base64.b64encode(b"me:pw").decode()
    assert sent[2]["X-Api-Key"] == "tok"
    assert all(headers["X-Site"] == "7" for headers in sent)
    missing = opened(**common, secret_env="NOT_SET_ANYWHERE")
    assert "NOT_SET_ANYWHERE is not set" in missing.until(lambda p: p.errors).errors[0]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"headers": {"Authorization": "Bearer x"}}, "Authorization is a secret"),
        ({"url": "http://me:pw@host/"}, "no user or password in the url"),
        ({"url": "ftp://host/"}, "must look like http://"),
        ({"secret_env": "A", "secret_file": "b"}, "not both"),
        ({"user": "me"}, "need secret_env or secret_file"),
        ({"body": "x"}, "POST"),
        ({"url": "http://host/{id}"}, "both name the asset"),
        ({"url": "http://host/{id}", "serial": None}, "needs serials"),
        ({"serial": None}, "which asset is it"),
    ],
)
def test_what_cannot_be_right_is_refused(make, change, text):
    with pytest.raises(ValidationError, match=text):
        make(**{"kind": "http", "url": "http://host/", "serial": "KW-1"} | change)


def test_one_url_for_each_id_makes_a_gateway_and_one_that_is_down_is_told(web, opened):
    polled = opened(
        kind="http",
        url=web.url.replace("127.0.0.1", "127.0.0.{id}"),
        serials={"1": "KW-1", "2": "KW-2"},
        interval_s=0.1,
    )
    web.answer = {"pressure_bar": 5}
    polled.until(lambda p: p.rows and p.errors)
    assert polled.values == {"KW-1": {"pressure_bar": 5.0}}
    assert "127.0.0.2" in polled.errors[0]
    assert "cannot be reached: [Errno 111] Connection refused" in polled.errors[0]


def test_a_list_of_devices_is_told_apart_by_a_field(web, opened):
    web.answer = {
        "time": "2026-03-01T12:00:00+01:00",
        "devices": [{"id": 1, "t": 20.5}, {"id": 2, "t": "21,5"}, {"id": 3, "t": 1}, {"t": 9}],
    }
    polled = opened(
        kind="http", url=web.url, each="/devices", serial_at="id", serials={"1": "KW-1", "2": "KW-2"},
        time_at="$/time", metrics={"temperature": "t"}, decimal_comma=True,
    )  # fmt: skip
    polled.until(lambda p: p.rows)
    assert polled.values == {"KW-1": {"temperature": 20.5}, "KW-2": {"temperature": 21.5}}
    assert {row.time_s for row in polled.rows} == {1772362800.0}
    assert polled.refused == 1


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"status": 503}, "it answered 503"),
        ({"status": 302}, "it answered 302"),
        ({"answer": b"<html>"}, "not JSON: '<html>'"),
        ({"answer": b"[" * 990}, "not JSON"),
        ({"answer": b'"' + b"x" * 3000 + b'"'}, "more than 1000 bytes"),
        ({"delay_s": 3.0}, "no answer within 0.3 s"),
        ({"drip": True, "answer": {"a": 5}}, "no answer within 0.3 s"),
    ],
)
def test_an_answer_that_is_none_is_told_and_the_next_one_taken(web, opened, change, text):
    for name, value in change.items():
        setattr(web, name, value)
    polled = opened(kind="http", url=web.url, serial="KW-1", timeout_s=0.3, max_bytes=1000, interval_s=0.1)
    polled.until(lambda p: p.errors)
    assert text in polled.errors[0]
    web.status, web.delay_s, web.drip, web.answer = 200, 0.0, False, {"a": 1}
    polled.until(lambda p: p.values.get("KW-1", {}).get("a"))


def test_https_is_checked_by_the_devices_ca(opened, tmp_path):
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        [needed("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", str(key), "-out", str(cert)],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    device = Device(context)
    device.answer = {"a": 1}
    try:
        opened(kind="http", url=device.url, serial="KW-1", ca_file=str(cert)).until(lambda p: p.rows)
        stranger = opened(kind="http", url=device.url, serial="KW-1").until(lambda p: p.errors)
        assert "CERTIFICATE_VERIFY_FAILED" in stranger.errors[0]
        nothing = opened(kind="http", url=device.url, serial="KW-1", ca_file=str(tmp_path / "none"))
        assert "is not there" in nothing.until(lambda p: p.errors).errors[0]
    finally:
        device.close()
