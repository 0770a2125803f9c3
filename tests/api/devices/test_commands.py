"""`careloop devices`: the CA, and Mosquitto's files for its first start."""

import argparse
from pathlib import Path
from typing import NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from api.command import DEVICES_COMMAND
from careloop.errors import CareloopError

SECRET = "made-by-the-device-0123456789abcdef"


class Done(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def run(database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """The command in this process: starting one imports everything that the API has, several times over."""

    def call(*words: str, **environment: str) -> Done:
        parser = argparse.ArgumentParser()
        DEVICES_COMMAND.configure(parser)
        with monkeypatch.context() as patched:
            for name, value in {"CARELOOP_DATABASE_URL": database_url, **environment}.items():
                patched.setenv(name, value)
            # It would write to this test's standard error for as long as the process lives.
            patched.setattr("api.main.configure_logging", lambda *_, **__: None)
            capsys.readouterr()
            try:
                code = DEVICES_COMMAND.run(parser.parse_args(words))
            except CareloopError as error:
                return Done(2, "", str(error))
            said = capsys.readouterr()
            return Done(code, said.out, said.err)

    return call


def test_it_says_what_to_do(run) -> None:
    done = run()
    assert done.returncode == 2
    assert "init-ca" in done.stderr


def test_a_ca_is_made_once_and_never_replaced(run, tmp_path: Path) -> None:
    into = tmp_path / "ca"
    made = run("init-ca", "--into", str(into), "--name", "my devices", "--years", "3")
    assert made.returncode == 0, made.stderr
    assert made.stdout.splitlines() == [
        f"CARELOOP_DEVICE_CA_CERTIFICATE={into}/ca.pem", f"CARELOOP_DEVICE_CA_KEY={into}/ca-key.pem",
    ]  # fmt: skip
    assert (into / "ca-key.pem").stat().st_mode & 0o777 == 0o600
    certificate = x509.load_pem_x509_certificate((into / "ca.pem").read_bytes())
    key = serialization.load_pem_private_key((into / "ca-key.pem").read_bytes(), None)
    assert certificate.public_key() == key.public_key()
    assert certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca is True
    assert certificate.subject == certificate.issuer
    before = (into / "ca-key.pem").read_bytes()
    again = run("init-ca", "--into", str(into))
    assert (again.returncode, len(again.stderr.splitlines())) == (2, 1)
    assert "is there already" in again.stderr
    assert (into / "ca-key.pem").read_bytes() == before


def test_mosquittos_files_are_written_when_something_changed(run, server, admin, make_key, tmp_path: Path) -> None:
    identity = server.claim({"claim_key": make_key(admin)["key"], "serial": "KW-0001", "device_secret": SECRET})
    assert run("init-ca", "--into", str(tmp_path / "ca")).returncode == 0
    (tmp_path / "accounts").write_text("platform:platform-pw\n")
    into = tmp_path / "broker"
    into.mkdir()
    environment = {
        "CARELOOP_MOSQUITTO_DIRECTORY": str(into),
        "CARELOOP_BROKER_ACCOUNTS": str(tmp_path / "accounts"),
        "CARELOOP_DEVICE_CA_CERTIFICATE": str(tmp_path / "ca/ca.pem"),
        "CARELOOP_DEVICE_CA_KEY": str(tmp_path / "ca/ca-key.pem"),
        "CARELOOP_BROKER_DEVICE_WRITES": "spBv1.0/plant/NDATA/{id}",
    }
    written = run("write-mosquitto", **environment)
    assert (written.returncode, written.stdout) == (0, f"{into}: written\n"), written.stderr
    assert {file.name: file.stat().st_mode & 0o777 for file in into.iterdir()} == dict.fromkeys(
        ("passwords", "acl", "revoked.pem", "devices-ca.pem"), 0o640
    )
    names = [line.split(":")[0] for line in (into / "passwords").read_text().splitlines()]
    assert names == ["platform", "KW-0001"]
    assert "pattern write spBv1.0/plant/NDATA/%u\n" in (into / "acl").read_text()
    texts = "".join(file.read_text() for file in into.iterdir())
    assert "platform-pw" not in texts
    assert identity["password"] not in texts
    crl = x509.load_pem_x509_crl((into / "revoked.pem").read_bytes())
    assert crl.is_signature_valid(x509.load_pem_x509_certificate((tmp_path / "ca/ca.pem").read_bytes()).public_key())


MISSING = [
    ({}, "CARELOOP_MOSQUITTO_DIRECTORY"),
    ({"CARELOOP_MOSQUITTO_DIRECTORY": "/nowhere/at/all"}, "cannot be written: /nowhere/at/all"),
    ({"CARELOOP_MOSQUITTO_DIRECTORY": "/", "CARELOOP_BROKER_ACCOUNTS": "/nowhere"}, "accounts /nowhere"),
    (
        {"CARELOOP_MOSQUITTO_DIRECTORY": "/", "CARELOOP_DEVICE_CA_CERTIFICATE": "/a", "CARELOOP_DEVICE_CA_KEY": "/b"},
        "init-ca",
    ),
]


def test_what_is_missing_is_said_in_one_line(run) -> None:
    for environment, said in MISSING:
        done = run("write-mosquitto", **environment)
        assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
        assert said in done.stderr
