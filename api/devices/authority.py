"""The platform's certificate authority: signs what devices prove to have the key of, and tells what is revoked.

Its private key is a file, read at the start of the process and kept nowhere else.
"""

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from careloop.errors import CareloopError

CA_CERTIFICATE, CA_KEY = "ca.pem", "ca-key.pem"
# Clocks of devices are not exact, and one that is behind must take its certificate all the same.
BACKDATED = timedelta(minutes=5)
SMALLEST_RSA_BITS = 2048
RENEWAL_CONTEXT = b"careloop renewal v1\0"

_PEM = serialization.Encoding.PEM
_DER = serialization.Encoding.DER

DeviceKey = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey


class RefusedRequestError(ValueError):
    """A certificate request or a proof that cannot be accepted; its text says why."""


@dataclass(frozen=True)
class Request:
    """A certificate request that proves the possession of its key."""

    csr: x509.CertificateSigningRequest
    public_key_hash: bytes


@dataclass(frozen=True)
class Issued:
    """A certificate as it is recorded."""

    serial_number: str
    certificate: str
    public_key_hash: bytes
    issued_at: datetime
    expires_at: datetime


def read_request(pem: str) -> Request:
    """Check a certificate request.

    Raises:
        RefusedRequestError: It is not one, its signature is wrong, or its key is of a kind we do not sign.
    """
    try:
        csr = x509.load_pem_x509_csr(pem.encode())
        key = csr.public_key()
        signed = csr.is_signature_valid
    except Exception as error:
        raise RefusedRequestError("is not a certificate request in PEM (PKCS #10)") from error
    if not signed:
        raise RefusedRequestError("is not signed with its own key")
    _require_strong(key)
    return Request(csr, key_hash(key))


def _require_strong(key: object) -> None:
    if isinstance(key, rsa.RSAPublicKey):
        if key.key_size < SMALLEST_RSA_BITS:
            raise RefusedRequestError(f"has an RSA key of {key.key_size} bits; at least {SMALLEST_RSA_BITS}")
    elif isinstance(key, ec.EllipticCurvePublicKey):
        if key.curve.name not in {"secp256r1", "secp384r1", "secp521r1"}:
            raise RefusedRequestError(f"has a key on {key.curve.name}; take P-256, P-384 or P-521")
    elif not isinstance(key, ed25519.Ed25519PublicKey):
        raise RefusedRequestError("must have an EC, Ed25519 or RSA key")


def key_hash(key: object) -> bytes:
    """SHA-256 of a public key in its standard form."""
    assert isinstance(key, DeviceKey)  # noqa: S101 - _require_strong has seen to it
    return hashlib.sha256(key.public_bytes(_DER, serialization.PublicFormat.SubjectPublicKeyInfo)).digest()


def hex_serial(certificate: x509.Certificate | x509.RevokedCertificate) -> str:
    """A certificate's serial number as it is recorded."""
    return f"{certificate.serial_number:x}"


class Authority:
    """Signs and revokes.

    Args:
        certificate: The CA's own, in PEM.
        key: Its private key, in PEM without a password.
    """

    def __init__(self, certificate: bytes, key: bytes) -> None:
        self._certificate = x509.load_pem_x509_certificate(certificate)
        private = serialization.load_pem_private_key(key, None)
        if not isinstance(private, ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey):
            raise TypeError("the CA's key must be EC, Ed25519 or RSA")
        if key_hash(private.public_key()) != key_hash(self._certificate.public_key()):
            raise ValueError("the CA's key is not that of its certificate")
        self._key = private
        self._hash = None if isinstance(private, ed25519.Ed25519PrivateKey) else hashes.SHA256()
        self.pem = certificate.decode()

    @classmethod
    def load(cls, certificate_file: Path, key_file: Path) -> "Authority":
        """Read the CA.

        Raises:
            CareloopError: A file is missing or not right.
        """
        try:
            return cls(certificate_file.read_bytes(), key_file.read_bytes())
        except OSError as error:
            raise CareloopError(
                f"the CA of devices cannot be read: {error.filename}: {error.strerror}; make one with "
                "`careloop devices init-ca` or leave CARELOOP_DEVICE_CA_CERTIFICATE and …_KEY out"
            ) from error
        except (ValueError, TypeError) as error:
            raise CareloopError(f"{certificate_file} and {key_file} are not a CA: {error}") from error

    def sign(self, agent_id: str, request: Request, life: timedelta, now: datetime) -> Issued:
        """A client certificate that names the device; whatever else the request asks for is left out."""
        ends_at = (now + life).replace(microsecond=0)
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, agent_id)]))
            .issuer_name(self._certificate.subject)
            .public_key(request.csr.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - BACKDATED)
            .not_valid_after(ends_at)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(sign_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
            .add_extension(
                x509.SubjectAlternativeName([x509.UniformResourceIdentifier(f"urn:careloop:device:{agent_id}")]),
                critical=False,
            )
            .add_extension(self._key_identifier(), critical=False)
        )
        certificate = builder.sign(self._key, self._hash)
        pem = certificate.public_bytes(_PEM).decode()
        return Issued(hex_serial(certificate), pem, request.public_key_hash, now, ends_at)

    def read_own(self, pem: str) -> x509.Certificate:
        """A certificate that this CA signed; whether it is still good is for the caller to see.

        Raises:
            RefusedRequestError: It is not one, or another's.
        """
        try:
            certificate = x509.load_pem_x509_certificate(pem.encode())
            certificate.verify_directly_issued_by(self._certificate)
        except Exception as error:
            raise RefusedRequestError("is not a certificate of this platform") from error
        return certificate

    def crl(self, revoked: Iterable[tuple[str, datetime]], now: datetime, good_for: timedelta) -> bytes:
        """The list of revoked certificates, in PEM.

        Args:
            revoked: Serial number and time of each.
            now: When it is made.
            good_for: A broker refuses everybody once its list is older than that.
        """
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self._certificate.subject)
            .last_update(now - BACKDATED)
            .next_update(now + good_for)
            .add_extension(x509.CRLNumber(int(now.timestamp() * 1000)), critical=False)
            .add_extension(self._key_identifier(), critical=False)
        )
        for serial_number, revoked_at in revoked:
            entry = x509.RevokedCertificateBuilder().serial_number(int(serial_number, 16)).revocation_date(revoked_at)
            builder = builder.add_revoked_certificate(entry.build())
        return builder.sign(self._key, self._hash).public_bytes(_PEM)

    def _key_identifier(self) -> x509.AuthorityKeyIdentifier:
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())


def is_signed_by(certificate: x509.Certificate, signature: bytes, request: Request) -> bool:
    """Whether who asks for the next certificate has the key of the present one: it signed the request with it."""
    key, signed = certificate.public_key(), RENEWAL_CONTEXT + request.csr.public_bytes(_DER)
    try:
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, signed, ec.ECDSA(hashes.SHA256()))
        elif isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(signature, signed)
        elif isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, signed, padding.PKCS1v15(), hashes.SHA256())
        else:
            return False
    except InvalidSignature:
        return False
    return True


def make_authority(directory: Path, name: str, life: timedelta, now: datetime) -> tuple[Path, Path]:
    """Make a CA: `ca.pem`, and `ca-key.pem` for its owner only.

    Raises:
        CareloopError: There is one already; it is never replaced, since every device's certificate hangs on it.
    """
    certificate_file, key_file = directory / CA_CERTIFICATE, directory / CA_KEY
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    public = key.public_key()
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + life)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(sign_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for file, text, mode in ((key_file, private, 0o600), (certificate_file, certificate.public_bytes(_PEM), 0o644)):
            handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
            with os.fdopen(handle, "wb") as stream:
                stream.write(text)
                stream.flush()
                os.fsync(stream.fileno())
    except FileExistsError as error:
        raise CareloopError(
            f"{error.filename} is there already; devices trust it, so it is not replaced: name another directory"
        ) from error
    except OSError as error:
        raise CareloopError(f"the CA cannot be written: {error.filename}: {error.strerror}") from error
    return certificate_file, key_file


def _usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not sign_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def expiry_of(certificate: x509.Certificate) -> datetime:
    """When a certificate ends."""
    return certificate.not_valid_after_utc.astimezone(UTC)
