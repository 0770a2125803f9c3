"""Asks a device, or several of a kind, over HTTP."""

from collections.abc import Iterator

import urllib3
from urllib3.exceptions import HTTPError

from edge_agent.sources.background import Background
from edge_agent.sources.http.config import HttpConfig
from edge_agent.sources.payload.mapper import Mapper
from edge_agent.sources.payload.reader import MappedReader
from edge_agent.sources.payload.records import PayloadError, json_records, json_value
from edge_agent.sources.secrets import secret_from
from edge_agent.sources.source import Clock, Harvest, Source, SourceError

CHUNK_BYTES = 64 * 1024


class HttpReader(MappedReader):
    """One url, or one for each id.

    Args:
        config: The url and what its answer means.
        clock: The clocks.
    """

    def __init__(self, config: HttpConfig, clock: Clock) -> None:
        self.name = config.name or config.kind
        self.interval_s = config.interval_s
        self._config = config
        self._clock = clock
        self._mapper = Mapper(config, self.name, default_serial_at="@id")
        self._pool: urllib3.PoolManager | None = None

    def read(self) -> Iterator[Harvest | SourceError]:
        """Ask every url once."""
        ids = list(self._config.serials) if "{id}" in self._config.url else [""]
        errors: list[SourceError] = []
        for device_id in ids:
            try:
                yield self._ask(device_id)
            except SourceError as error:
                errors.append(error)
        if len(errors) == len(ids):
            raise errors[0] if len(errors) == 1 else SourceError("; ".join(str(error) for error in errors))
        yield from errors

    def close(self) -> None:
        """Close the connections."""
        if self._pool is not None:
            self._pool.clear()
            self._pool = None

    def _ask(self, device_id: str) -> Harvest:
        config, url = self._config, self._config.url.replace("{id}", device_id)
        # What stands behind the question mark may be a key, and is nothing for a log.
        place = url.partition("?")[0]
        try:
            answer = self._connections().request(
                config.method,
                url,
                body=config.body,
                headers=self._headers(),
                timeout=urllib3.Timeout(total=config.timeout_s),
                retries=False,
                preload_content=False,
            )
            try:
                body = self._body(answer, place)
            finally:
                answer.close()
        except (HTTPError, OSError, ValueError) as error:
            raise SourceError(f"{place}: {_reason(error, config.timeout_s)}") from error
        if answer.status >= 300:
            raise SourceError(f"{place}: it answered {answer.status} {answer.reason or ''}".rstrip())
        if len(body) > config.max_bytes:
            raise SourceError(f"{place}: its answer has more than {config.max_bytes} bytes (max_bytes)")
        try:
            records = list(json_records(json_value(body), config.each, {"id": device_id}))
        except PayloadError as error:
            raise SourceError(f"{place}: {error}") from error
        return self._mapper.harvest([records], self._clock.now())

    def _body(self, answer: urllib3.BaseHTTPResponse, place: str) -> bytes:
        """What it says, within time and size; urllib3's own timeout begins anew with every byte."""
        until_s = self._clock.monotonic() + self._config.timeout_s
        body = bytearray()
        while len(body) <= self._config.max_bytes:
            chunk = answer.read1(CHUNK_BYTES, decode_content=True)
            if not chunk:
                break
            body += chunk
            if self._clock.monotonic() > until_s:
                raise SourceError(f"{place}: no answer within {self._config.timeout_s:g} s")
        return bytes(body)

    def _connections(self) -> urllib3.PoolManager:
        if self._pool is None:
            ca_file = self._config.ca_file
            if ca_file is not None and not ca_file.is_file():
                raise SourceError(f"ca_file {ca_file} is not there")
            self._pool = urllib3.PoolManager(num_pools=8, maxsize=1, ca_certs=str(ca_file) if ca_file else None)
        return self._pool

    def _headers(self) -> dict[str, str]:
        config = self._config
        headers = {"Accept": "application/json", **config.headers}
        secret = secret_from(config.secret_env, config.secret_file)
        if secret is None:
            return headers
        if config.user is not None:
            return headers | urllib3.make_headers(basic_auth=f"{config.user}:{secret}")
        if config.secret_header is not None:
            return headers | {config.secret_header: secret}
        return headers | {"Authorization": f"Bearer {secret}"}


def http_source(config: HttpConfig, clock: Clock) -> Source:
    """A url as a source."""
    return Background(HttpReader(config, clock), clock)


def _reason(error: Exception, timeout_s: float) -> str:
    """Why, without urllib3's object addresses."""
    if isinstance(error, urllib3.exceptions.NewConnectionError):
        return "it cannot be reached: " + str(error).rpartition(": ")[2]
    if isinstance(error, urllib3.exceptions.TimeoutError):
        return f"no answer within {timeout_s:g} s"
    return str(error)
