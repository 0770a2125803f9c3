"""What this process provisions devices with: the CA, where they connect to, which names are taken."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType

from api.conventions.limits import Limiter
from api.devices.authority import Authority
from api.devices.passwords import ITERATIONS_BY_HAND, hash_password
from api.devices.rules import OtherTopics
from careloop.errors import CareloopError

_ACCOUNT = re.compile(r"(?P<name>[A-Za-z0-9._-]{1,64}):(?P<password>.+)")


@dataclass(frozen=True)
class Provisioning:
    """How devices get their identities.

    Attributes:
        authority: Signs certificates; None: this platform gives passwords only.
        certificate_life: How long a certificate is valid.
        renewal_grace: How long after its end it still proves enough to be renewed.
        crl_good_for: How long brokers may use a list of revoked certificates.
        broker_url: Where devices with a password connect to; None: they know it from elsewhere.
        broker_certificate_url: Where devices with a certificate connect to; None: as above.
        broker_ca: PEM of the CA of the broker's own certificate; None: a public one.
        services: Accounts of the platform's own services.
        accounts: Password hash by name, of the accounts made by hand.
        other_topics: Topics beyond the contract's.
        hook_secret: What EMQX shows in each request; empty: EMQX is not answered.
        claims: Limits how often an address may claim.
        failures: Limits how often an address may fail.
    """

    authority: Authority | None = None
    certificate_life: timedelta = timedelta(days=90)
    renewal_grace: timedelta = timedelta(days=30)
    crl_good_for: timedelta = timedelta(days=30)
    broker_url: str | None = None
    broker_certificate_url: str | None = None
    broker_ca: str | None = None
    services: frozenset[str] = frozenset({"platform"})
    accounts: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), repr=False)
    other_topics: OtherTopics = field(default_factory=OtherTopics)
    hook_secret: str = field(default="", repr=False)
    claims: Limiter = field(default_factory=lambda: Limiter(600), repr=False)
    failures: Limiter = field(default_factory=lambda: Limiter(20), repr=False)

    def is_taken(self, name: str) -> bool:
        """Whether a name is no device's to have."""
        return name in self.services or name in self.accounts


def read_accounts(file: Path) -> dict[str, str]:
    """The accounts made by hand: a line NAME:PASSWORD each; the passwords are kept only as hashes.

    Raises:
        CareloopError: The file cannot be read, or a line is not of that form.
    """
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise CareloopError(f"the broker's accounts {file} cannot be read: {error}") from error
    accounts: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        found = _ACCOUNT.fullmatch(line)
        if found is None:
            raise CareloopError(f"{file}:{number}: must be NAME:PASSWORD, the name of letters, digits, dots, _ and -")
        if found["name"] in accounts:
            raise CareloopError(f"{file}:{number}: the account {found['name']} stands twice")
        accounts[found["name"]] = hash_password(found["password"], ITERATIONS_BY_HAND)
    return accounts
