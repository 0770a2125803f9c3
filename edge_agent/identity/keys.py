"""Private keys and certificate requests; only a device with a certificate needs the library for them."""

import base64
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from careloop.errors import CareloopError

RENEWAL_CONTEXT = b"careloop renewal v1\0"

Given = ParamSpec("Given")
Made = TypeVar("Made")


def _needs_library(make: Callable[Given, Made]) -> Callable[Given, Made]:
    @wraps(make)
    def tell(*given: Given.args, **named: Given.kwargs) -> Made:
        try:
            return make(*given, **named)
        except ModuleNotFoundError as error:
            raise CareloopError(
                "a certificate needs the library cryptography: pip install 'careloop[edge-identity]'; "
                "or claim a password, without --certificate"
            ) from error

    return tell


@_needs_library
def new_key() -> str:
    """A private key on P-256, in PEM."""
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - only with certificates
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415 - only with certificates

    return (
        ec.generate_private_key(ec.SECP256R1())
        .private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        .decode()
    )


@_needs_library
def request_for(agent_id: str, private_key: str) -> str:
    """A certificate request, in PEM."""
    from cryptography import x509  # noqa: PLC0415 - only with certificates
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415 - only with certificates
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415 - only with certificates

    key = serialization.load_pem_private_key(private_key.encode(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)  # noqa: S101 - new_key made it
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, agent_id)])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM).decode()


@_needs_library
def sign_renewal(device_pem: str, request: str) -> tuple[str, str]:
    """The present certificate, and the proof that its key asks for the next one.

    Args:
        device_pem: Present key and certificate.
        request: The next certificate's request.

    Returns:
        The certificate in PEM, and the signature in Base64.
    """
    from cryptography import x509  # noqa: PLC0415 - only with certificates
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415 - only with certificates
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415 - only with certificates

    try:
        key = serialization.load_pem_private_key(device_pem.encode(), None)
        certificate = x509.load_pem_x509_certificate(device_pem.encode())
    except ValueError as error:
        raise CareloopError(f"device.pem is damaged ({error}); release the device at the API and claim it") from error
    assert isinstance(key, ec.EllipticCurvePrivateKey)  # noqa: S101 - new_key made it
    signed = RENEWAL_CONTEXT + x509.load_pem_x509_csr(request.encode()).public_bytes(serialization.Encoding.DER)
    signature = key.sign(signed, ec.ECDSA(hashes.SHA256()))
    return certificate.public_bytes(serialization.Encoding.PEM).decode(), base64.b64encode(signature).decode()
