"""A lean HTTP/1.1 client: kept connections, no more parsing than an answer's length: it takes little processor."""

import asyncio
from dataclasses import dataclass


@dataclass(frozen=True)
class Asked:
    """A request as its bytes, and the status that it is to get."""

    wire: bytes
    status: int


def request(method: str, path: str, host: str, *, status: int, body: bytes = b"", key: str | None = None) -> Asked:
    """Put a request together.

    Args:
        method: GET or POST.
        path: With its query, escaped.
        host: Of the server, with port.
        status: What is expected.
        body: JSON.
        key: API key.
    """
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", f"Content-Length: {len(body)}"]
    if body:
        lines.append("Content-Type: application/json")
    if key is not None:
        lines.append(f"Authorization: Bearer {key}")
    return Asked("\r\n".join([*lines, "", ""]).encode() + body, status)


class Connection:
    """One kept connection."""

    def __init__(self, host: str) -> None:
        self._host, _, self._port = host.partition(":")
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, asked: Asked) -> bytes:
        """Send a request and return the answer's body.

        Raises:
            RuntimeError: The answer has another status than expected.
        """
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._host, int(self._port), limit=2**22)
        reader, writer = self._streams
        writer.write(asked.wire)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        status = int(head[9:12])
        length = 0
        for line in head.split("\r\n"):
            name, _, value = line.partition(":")
            if name.lower() == "content-length":
                length = int(value)
        body = await reader.readexactly(length)
        if status != asked.status:
            first_line = asked.wire.partition(b"\r\n")[0].decode()
            raise RuntimeError(f"{first_line}: {status} instead of {asked.status}: {body[:500].decode()}")
        return body

    async def close(self) -> None:
        """Close it."""
        if self._streams is not None:
            self._streams[1].close()
            await self._streams[1].wait_closed()
