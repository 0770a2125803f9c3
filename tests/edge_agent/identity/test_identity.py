"""Where the identity is kept, what is sent for it, and when it is renewed; against a real HTTP server."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from careloop.errors import CareloopError
from edge_agent.identity.claim import claim, renew
from edge_agent.identity.directory import PENDING_KEY, PENDING_SECRET, Identity, IdentityDirectory
from edge_agent.identity.exchange import RefusedError, UnreachableError, post, require_safe
from edge_agent.identity.renewal import Renewer
from edge_agent.joining import Joined
from edge_agent.wire.link import Link

NOW = datetime(2026, 7, 1, tzinfo=UTC)


class Api:
    """Answers what the test says, one answer after the other, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict]] = []
        self.answers: list[tuple[int, dict[str, str], bytes]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.asked.append((self.path, json.loads(body)))
                status, headers, answer = outer.answers.pop(0)
                if not status:
                    # The answer is lost.
                    self.connection.close()
                    return
                self.send_response(status)
                for name, value in {"Content-Length": str(len(answer)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(answer)

            do_GET = do_POST  # noqa: N815 - the base class names it

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def will_answer(self, status: int, body: object = None, **headers: str) -> None:
        self.answers.append((status, headers, json.dumps(body).encode() if not isinstance(body, bytes) else body))

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def platform_api() -> Iterator[Api]:
    api = Api()
    yield api
    api.close()


@pytest.fixture
def directory(tmp_path: Path) -> IdentityDirectory:
    return IdentityDirectory(tmp_path / "identity")


def password_answer(**fields: object) -> dict:
    broker = {"url": "mqtts://broker.example.com:8883", "ca": None}
    return {"agent_id": "KW-1", "kind": "password", "password": "s3cret", "issued_at": NOW.isoformat(),
            "expires_at": None, "broker": broker} | fields  # fmt: skip


def certificate_answer(life: timedelta = timedelta(days=90), issued_at: datetime = NOW) -> dict:
    return {"agent_id": "KW-1", "kind": "certificate", "certificate": CERTIFICATE, "issued_at": issued_at.isoformat(),
            "expires_at": (issued_at + life).isoformat(),
            "broker": {"url": "mqtts://broker.example.com:8884", "ca": "a CA"}}  # fmt: skip


def self_signed() -> str:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "KW-1")])
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
        .not_valid_before(NOW).not_valid_after(NOW + timedelta(days=1)).sign(key, hashes.SHA256())
    )  # fmt: skip
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


CERTIFICATE = self_signed()


def claimed(directory: IdentityDirectory, api: Api, *, certificate: bool, **fields: object) -> Identity:
    given = {"claim_key": "clk_x", "serial": "KW-1", "assets": None, "ca_file": None} | fields
    return claim(directory, api.url, certificate=certificate, **given)


def test_a_lost_answer_is_asked_for_again_with_the_same_secret(platform_api, directory) -> None:
    platform_api.will_answer(0)
    with pytest.raises(UnreachableError, match="cannot be reached"):
        claimed(directory, platform_api, certificate=False)
    assert directory.load() is None
    platform_api.will_answer(200, password_answer())
    identity = claimed(directory, platform_api, certificate=False)
    (first, one), (second, two) = platform_api.asked
    assert first == second == "/v1/devices/claim"
    assert one == two
    assert len(one["device_secret"]) >= 32
    assert directory.load() == identity
    assert "s3cret" not in repr(identity)
    assert directory.read(PENDING_SECRET) is None


def test_a_lost_answer_is_asked_for_again_with_the_same_key(platform_api, directory) -> None:
    from cryptography import x509

    platform_api.will_answer(503, {"detail": "the database does not answer; try again"})
    with pytest.raises(UnreachableError, match="the database does not answer"):
        claimed(directory, platform_api, certificate=True)
    platform_api.will_answer(200, certificate_answer())
    claimed(directory, platform_api, certificate=True)
    one, two = (x509.load_pem_x509_csr(body["csr"].encode()).public_key() for _, body in platform_api.asked)
    assert one == two
    text = directory.device_file.read_text()
    assert text.count("PRIVATE KEY") == 2
    assert CERTIFICATE.strip() in text
    assert directory.read(PENDING_KEY) is None
    # The next one is for another key, asked for with the present one.
    platform_api.will_answer(200, certificate_answer())
    renew(directory, directory.load())
    path, body = platform_api.asked[-1]
    assert path == "/v1/devices/renew"
    assert x509.load_pem_x509_csr(body["csr"].encode()).public_key() != one
    assert body["certificate"] == CERTIFICATE


def test_a_refusal_is_one_line_that_says_why(platform_api, directory) -> None:
    platform_api.will_answer(409, {"type": "/problems/device-claimed", "detail": "KW-1 is claimed already"})
    with pytest.raises(RefusedError, match=r"refused \(409\): KW-1 is claimed already$") as refused:
        claimed(directory, platform_api, certificate=False)
    assert refused.value.status == 409
    platform_api.will_answer(404, b"<html>")
    with pytest.raises(RefusedError, match=r"refused \(404\): Not Found$"):
        claimed(directory, platform_api, certificate=False)


def test_a_secret_goes_nowhere_else(platform_api, directory) -> None:
    platform_api.will_answer(307, {}, Location=f"{platform_api.url}/elsewhere")
    with pytest.raises(RefusedError, match="307"):
        claimed(directory, platform_api, certificate=False)
    assert len(platform_api.asked) == 1
    for bad in ("http://careloop.example.com", "ftp://careloop.example.com", "careloop.example.com"):
        with pytest.raises(CareloopError, match=bad):
            require_safe(bad)
    require_safe("https://careloop.example.com")


@pytest.mark.parametrize(
    "answer",
    [
        b"not json",
        b"[]",
        b"{}",
        password_answer(password=None),
        password_answer(broker="x"),
        password_answer(agent_id=7),
    ],
)
def test_an_answer_that_is_none_leaves_nothing_behind(platform_api, directory, answer) -> None:
    platform_api.will_answer(200, answer)
    with pytest.raises(CareloopError, match="is it careloop's API"):
        claimed(directory, platform_api, certificate=False)
    assert directory.load() is None


def test_nobody_there_is_said_in_one_line(tmp_path) -> None:
    with pytest.raises(UnreachableError, match="cannot be reached"):
        post("http://127.0.0.1:9", "/", {}, None)
    with pytest.raises(CareloopError, match="cannot be read"):
        post("https://127.0.0.1:9", "/", {}, tmp_path / "none.pem")


def test_a_damaged_identity_is_said(directory) -> None:
    for text in ("{", "[]", '{"agent_id": "x"}', '{"issued_at": 7, "expires_at": null}'):
        directory.put("identity.json", text)
        with pytest.raises(CareloopError, match="damaged"):
            directory.load()


def test_an_identity_stands_in_for_the_configuration(platform_api, directory) -> None:
    with pytest.raises(CareloopError, match="holds no identity"):
        Joined.load(directory.path)
    platform_api.will_answer(200, password_answer(password="p/@:w"))
    claimed(directory, platform_api, certificate=False)
    joined = Joined.load(directory.path)
    link = Link("mqtt://127.0.0.1:1883")
    assert joined.join(link, names_broker=False).url == "mqtts://KW-1:p%2F%40%3Aw@broker.example.com:8883"
    assert joined.join(link, names_broker=True).url == "mqtt://KW-1:p%2F%40%3Aw@127.0.0.1:1883"
    assert joined.agent_id_instead_of(None) == joined.agent_id_instead_of("KW-1") == "KW-1"
    with pytest.raises(CareloopError, match=r"called GW-9 .* and KW-1"):
        joined.agent_id_instead_of("GW-9")


def test_a_certificate_goes_out_encrypted_only(platform_api, directory) -> None:
    platform_api.will_answer(200, certificate_answer())
    claimed(directory, platform_api, certificate=True)
    joined = Joined.load(directory.path)
    link = joined.join(Link("mqtt://user:pw@127.0.0.1:1883"), names_broker=False)
    assert (link.cert_file, link.key_file) == (directory.device_file, None)
    assert link.ca_file == directory.broker_ca_file
    assert link.ca_file.read_text() == "a CA"
    with pytest.raises(CareloopError, match="not encrypted") as refused:
        joined.join(Link("mqtt://user:pw@127.0.0.1:1883"), names_broker=True)
    assert "pw" not in str(refused.value)


def wait_until(true) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_renewal_that_is_overdue_is_tried_until_it_succeeds(platform_api, directory) -> None:
    platform_api.will_answer(200, certificate_answer(timedelta(seconds=60)))
    identity = claimed(directory, platform_api, certificate=True)
    platform_api.will_answer(503, {"detail": "not now"})
    platform_api.will_answer(0)
    platform_api.will_answer(200, certificate_answer(timedelta(days=90), NOW + timedelta(minutes=5)))
    woken = threading.Event()
    renewer = Renewer(directory, identity, lambda: NOW + timedelta(minutes=5), woken.set)
    renewer.start()
    assert woken.wait(20)
    assert renewer.take_renewed()
    assert not renewer.take_renewed()
    renewer.stop()
    assert len(platform_api.asked) == 4
    assert directory.load().expires_at == NOW + timedelta(days=90, minutes=5)


def test_a_renewal_is_not_due_before_its_time_even_if_the_clock_is_wrong(platform_api, directory) -> None:
    platform_api.will_answer(200, certificate_answer())
    identity = claimed(directory, platform_api, certificate=True)
    due_s = [
        Renewer(directory, identity, lambda now=now: now, lambda: None)._due_s()
        for now in (NOW, NOW + timedelta(days=59), NOW + timedelta(days=80), NOW - timedelta(days=10_000))
    ]
    day = 86400
    assert 60 * day <= due_s[0] <= 64.6 * day
    assert 1 * day <= due_s[1] <= 5.6 * day
    assert due_s[2] == 0
    assert 60 * day <= due_s[3] <= 64.6 * day


def test_a_password_needs_no_library_and_a_certificate_says_which(tmp_path) -> None:
    program = (
        "import sys; sys.modules['cryptography'] = None\n"
        "from careloop.errors import CareloopError\n"
        "import edge_agent.main\n"
        "from edge_agent.identity.keys import new_key\n"
        "try: new_key()\n"
        "except CareloopError as error: print(error)\n"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert "pip install 'careloop[edge-identity]'" in said
