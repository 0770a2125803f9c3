"""Renews a certificate while the agent runs: in a thread of its own, so that a slow API holds up no reading."""

import logging
import random
import threading
from collections.abc import Callable
from datetime import datetime

from careloop.errors import CareloopError
from edge_agent.identity.claim import renew
from edge_agent.identity.directory import Identity, IdentityDirectory

# Renewed when so much of its life is over, so that a third is left for a platform that is away.
DUE_AT = 2 / 3
# Spread over so much of the life, so that machines of one batch do not all come at once.
SPREAD = 0.05
FIRST_RETRY = 1 / 100
LONGEST_RETRY = 1 / 12
SHORTEST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 3600.0

log = logging.getLogger(__name__)


class Renewer:
    """Keeps an identity valid.

    Args:
        directory: Where the identity is.
        identity: The present one, with a certificate.
        now: The device's clock.
        wake: Called from the renewer's thread when there is a new certificate.
    """

    def __init__(
        self, directory: IdentityDirectory, identity: Identity, now: Callable[[], datetime], wake: Callable[[], None]
    ) -> None:
        self._directory = directory
        self._identity = identity
        self._now = now
        self._wake = wake
        self._dice = random.Random()  # noqa: S311 - spreads renewals, guards nothing
        self._stopping = threading.Event()
        self._renewed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="renewal", daemon=True)

    def start(self) -> None:
        """Begin to watch the certificate."""
        self._thread.start()

    def stop(self) -> None:
        """End; an exchange with the API under way is not waited for, it can be repeated."""
        self._stopping.set()

    def take_renewed(self) -> bool:
        """Whether there is a new certificate since the last time this was asked."""
        if self._renewed.is_set():
            self._renewed.clear()
            return True
        return False

    def _run(self) -> None:
        failures = 0
        due_s = self._due_s()
        while not self._stopping.wait(min(due_s, LONGEST_PAUSE_S)):
            due_s -= LONGEST_PAUSE_S
            if due_s > 0:
                continue
            try:
                self._identity = renew(self._directory, self._identity)
            except CareloopError as error:
                failures += 1
                due_s = self._pause_s(failures)
                log.warning("the certificate was not renewed: %s; next try in %.0f s", error, due_s)
                continue
            except Exception:
                # A defect must not end the watch: the certificate would run out without a word.
                failures += 1
                due_s = self._pause_s(failures)
                log.exception("renewing the certificate failed; next try in %.0f s", due_s)
                continue
            failures = 0
            due_s = self._due_s()
            log.info("renewed the certificate of %s until %s", self._identity.agent_id, self._identity.expires_at)
            self._renewed.set()
            self._wake()

    def _life_s(self) -> float:
        issued_at, expires_at = self._identity.issued_at, self._identity.expires_at
        if issued_at is None or expires_at is None:
            return LONGEST_PAUSE_S
        return max(1.0, (expires_at - issued_at).total_seconds())

    def _due_s(self) -> float:
        """Seconds until the certificate should be renewed.

        By the device's clock, which may be wrong; so no longer than the whole wait of a new certificate.
        """
        wait_s = self._life_s() * (DUE_AT + SPREAD * self._dice.random())
        if self._identity.issued_at is None:
            return wait_s
        passed_s = (self._now() - self._identity.issued_at).total_seconds()
        return max(0.0, min(wait_s, wait_s - passed_s))

    def _pause_s(self, failures: int) -> float:
        """Doubled after each failure, the lower half random; never so long that the end is missed."""
        life_s = self._life_s()
        longest_s = min(life_s * FIRST_RETRY * 2.0 ** min(failures - 1, 30), life_s * LONGEST_RETRY, LONGEST_PAUSE_S)
        return max(SHORTEST_PAUSE_S, longest_s) * (1 - 0.5 * self._dice.random())
