"""TLS, mutual TLS and passwords against a real Mosquitto, with certificates made here."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from careloop.errors import CareloopError
from edge_agent.sources.feed import Feed, FeedConfig
from edge_agent.wire.link import Link
from tests.edge_agent.conftest import needed, offer, running_mosquitto, take

QUICK = {"reconnect_min_s": 0.05, "reconnect_max_s": 0.1, "wait_for_subscriber": False, "confirm": "broker"}


class Authority:
    """A CA of this test's own, which signs for servers and clients."""

    def __init__(self, directory: Path, name: str) -> None:
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.certificate = self._write(f"{name}.pem", self._sign(self._name, self._key, is_ca=True))

    def issue(self, name: str) -> tuple[Path, Path]:
        """Certificate and key of a server or client, good for 127.0.0.1."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._sign(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), key)
        secret = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return self._write(f"{name}.pem", certificate), self._write(f"{name}.key", secret)

    def _sign(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, *, is_ca: bool = False) -> bytes:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        )
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def _write(self, name: str, content: bytes) -> Path:
        path = self._directory / name
        path.write_bytes(content)
        path.chmod(0o644)
        return path


@pytest.fixture
def authority(open_directory: Path) -> Authority:
    return Authority(open_directory, "ca")


@pytest.fixture
def start(open_directory: Path, authority: Authority) -> Iterator[Callable[..., str]]:
    """Start a Mosquitto with TLS and further lines; gives its address."""
    with ExitStack() as stack:

        def make(*lines: str) -> str:
            certificate, key = authority.issue("server")
            tls = (f"cafile {authority.certificate}", f"certfile {certificate}", f"keyfile {key}")
            return f"mqtts://127.0.0.1:{stack.enter_context(running_mosquitto(open_directory, *tls, *lines))}"

        yield make


@pytest.fixture
def gets_through(make_agent) -> Callable[[Link], bool]:
    """Whether two messages arrive at the broker."""

    def attempt(link: Link) -> bool:
        feed = Feed(FeedConfig(kind="feed"))
        agent = make_agent(link, "tls-gw", feed)
        agent.start(None)
        offer(feed, "TLS", 40)
        take(agent)
        waiting = agent.buffer.depth.messages
        agent.drain(2.0)
        arrived = agent.tally.published_messages
        assert agent.buffer.depth.messages == waiting - arrived, "what did not arrive is kept"
        agent.stop(0.2)
        return arrived == waiting

    return attempt


def test_tls(start, authority, gets_through):
    assert gets_through(Link(start(), ca_file=authority.certificate, **QUICK))


def test_a_broker_that_another_authority_vouches_for_gets_nothing(start, open_directory, gets_through):
    stranger = Authority(open_directory, "stranger")
    url = start()
    assert not gets_through(Link(url, ca_file=stranger.certificate, **QUICK))
    assert not gets_through(Link(url, **QUICK)), "nor does one that the system does not know"


def test_a_broker_of_another_name_gets_nothing(start, authority, gets_through):
    url = start().replace("127.0.0.1", "localhost")
    assert not gets_through(Link(url, ca_file=authority.certificate, **QUICK))


def test_mutual_tls(start, authority, open_directory, gets_through):
    url = start("require_certificate true", "use_identity_as_username true")
    certificate, key = authority.issue("gateway-7")
    stranger = Authority(open_directory, "stranger").issue("gateway-8")
    trusting = {"ca_file": authority.certificate, **QUICK}
    assert gets_through(Link(url, cert_file=certificate, key_file=key, **trusting))
    assert not gets_through(Link(url, **trusting)), "without a certificate"
    assert not gets_through(Link(url, cert_file=stranger[0], key_file=stranger[1], **trusting))


def test_user_name_and_password(start, authority, open_directory, gets_through):
    passwords = open_directory / "passwords"
    subprocess.run([needed("mosquitto_passwd"), "-b", "-c", str(passwords), "gw", "p@ss:word"], check=True)
    passwords.chmod(0o644)
    url = start("allow_anonymous false", f"password_file {passwords}")
    trusting = {"ca_file": authority.certificate, **QUICK}
    assert gets_through(Link(url.replace("//", "//gw:p%40ss%3Aword@"), **trusting))
    assert not gets_through(Link(url.replace("//", "//gw:wrong@"), **trusting))
    assert not gets_through(Link(url, **trusting))


def test_files_that_cannot_be_read_are_named(make_agent, tmp_path):
    with pytest.raises(CareloopError, match="ca_file"):
        make_agent(Link("mqtts://127.0.0.1:8883", ca_file=tmp_path / "none.pem"), "tls-gw")
