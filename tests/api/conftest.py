"""What tests of several capabilities share."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from careloop.client import ProblemError


def refusal(call, *given, **named) -> ProblemError:
    """The problem that a call ends with."""
    with pytest.raises(ProblemError) as refused:
        call(*given, **named)
    return refused.value


@pytest.fixture(name="refusal")
def _refusal():
    return refusal


@pytest.fixture
def at_once(api):
    """Does a piece of work for each argument in a thread of its own, all let go at the same moment.

    Returns the answers in order; a refusal stands among them as its ProblemError.
    """

    def run_all(work, arguments):
        gate = Barrier(len(arguments))

        def run(argument):
            gate.wait(30)
            try:
                return work(client, argument)
            except ProblemError as problem:
                return problem

        # One client for all: it gives each thread a connection of its own.
        with api.client("service") as client, ThreadPoolExecutor(len(arguments)) as threads:
            return list(threads.map(run, arguments))

    return run_all
