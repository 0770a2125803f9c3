"""Both sides of a world, and keys for everybody in it."""

import pytest

from api.access.login import Entrance
from api.access.passwords import Passwords
from careloop.database.engine import connect
from tests.api.access.desk import TODAYS, Desk
from tests.api.access.strangers import World, make_world


@pytest.fixture
def api(serve_api):
    with serve_api(entrance=Entrance(passwords=Passwords(TODAYS))) as running:
        yield running


@pytest.fixture
def desk(api) -> Desk:
    return Desk(api.url)


@pytest.fixture
def world(api) -> World:
    with connect(api.database_url) as connection:
        return make_world(connection)


@pytest.fixture
def keys(api, world) -> dict[str, str]:
    """A key per role; customer, partner manager and technician are ours and see a part only."""
    return {**api.keys, **world.keys}
