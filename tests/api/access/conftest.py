"""Both sides of a world, and keys for everybody in it."""

import pytest

from careloop.database.engine import connect
from tests.api.access.strangers import World, make_world


@pytest.fixture
def world(api) -> World:
    with connect(api.database_url) as connection:
        return make_world(connection)


@pytest.fixture
def keys(api, world) -> dict[str, str]:
    """A key per role; customer, partner manager and technician are ours and see a part only."""
    return {**api.keys, **world.keys}
