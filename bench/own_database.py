"""A database of a benchmark's own: on a given server, or on an embedded one that is started for it."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from careloop.database.engine import connect
from careloop.errors import CareloopError
from careloop.stack.postgres import EmbeddedPostgres

# Durable as in production; only room to work in.
EMBEDDED_SETTINGS = {"shared_buffers": "1GB", "max_wal_size": "8GB", "wal_compression": "on"}


@contextmanager
def own_database(server_url: str | None, name: str, *, keep: bool, reuse: bool) -> Iterator[str]:
    """The URL of a database for the length of a benchmark.

    Args:
        server_url: A server on which this login may make one; None starts an embedded one.
        name: Of the database.
        keep: Leave it in place.
        reuse: Take the one that was left in place.

    Raises:
        CareloopError: It is there already, or an embedded one is to be kept.
    """
    with ExitStack() as stack:
        if server_url is None:
            if keep:
                raise CareloopError(
                    "--keep and --reuse need --database-url: the embedded server goes away with its data"
                )
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="careloop-bench-")))
            directory.chmod(0o711)
            server = EmbeddedPostgres(directory / "postgres")
            stack.callback(server.stop)
            server.start(settings=EMBEDDED_SETTINGS)
            server_url = server.url
        url = urlunsplit(urlsplit(server_url)._replace(path=f"/{name}"))
        if not reuse:
            with connect(server_url) as connection:
                try:
                    connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
                except psycopg.errors.DuplicateDatabase as error:
                    raise CareloopError(f"there is a database {name}: --reuse it, or drop it") from error
        try:
            yield url
        finally:
            if not keep:
                with connect(server_url) as connection:
                    connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
