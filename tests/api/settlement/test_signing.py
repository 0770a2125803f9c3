"""Keys that sign what finance gets: which are taken, which are refused, and that anybody can check a signature."""

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from joserfc import jws
from joserfc.jwk import KeySet

from api.settlement.signing import SigningKey
from careloop.errors import CareloopError

PEM = serialization.Encoding.PEM
KINDS = {
    "Ed25519": ed25519.Ed25519PrivateKey.generate,
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ES384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "RS256": lambda: rsa.generate_private_key(65537, 2048),
}


def pem_of(key) -> bytes:
    return key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


@pytest.mark.parametrize("algorithm", KINDS)
def test_what_a_key_signs_its_public_part_proves(tmp_path, algorithm):
    file = tmp_path / "key.pem"
    file.write_bytes(pem_of(KINDS[algorithm]()))
    key = SigningKey.load(file)
    assert key.algorithm == algorithm
    assert "d" not in key.public()
    signed = key.sign(b'{"total": 1}')
    keys = KeySet.import_key_set({"keys": [key.public()]})
    assert jws.deserialize_json(signed, keys, algorithms=[algorithm]).payload == b'{"total": 1}'


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no key",
        pem_of(rsa.generate_private_key(65537, 1024)),
        pem_of(ec.generate_private_key(ec.SECP256K1())),
        ed25519.Ed25519PrivateKey.generate()
        .public_key()
        .public_bytes(PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
    ],
    ids=["empty", "text", "short", "curve", "public"],
)
def test_anything_else_is_refused_in_one_line(tmp_path, content):
    file = tmp_path / "key.pem"
    file.write_bytes(content)
    with pytest.raises(CareloopError, match="openssl genpkey -algorithm ed25519"):
        SigningKey.load(file)
    with pytest.raises(CareloopError, match="cannot be read: No such file"):
        SigningKey.load(tmp_path / "none.pem")
