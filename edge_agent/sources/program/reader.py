"""Starts a program and reads what it prints."""

import os
import selectors
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress

from edge_agent.sources.background import Background
from edge_agent.sources.payload.mapper import Mapper
from edge_agent.sources.payload.reader import MappedReader
from edge_agent.sources.payload.records import PayloadError, json_records, json_value, line_parser
from edge_agent.sources.program.config import ExecConfig
from edge_agent.sources.source import Clock, Harvest, Source, SourceError

CHUNK_BYTES = 64 * 1024
MOST_COMPLAINT_BYTES = 4096


class ExecReader(MappedReader):
    """One program.

    Args:
        config: The command and what its output means.
        clock: The clocks.
    """

    def __init__(self, config: ExecConfig, clock: Clock) -> None:
        self.name = config.name or config.kind
        self.interval_s = config.interval_s
        self._config = config
        self._clock = clock
        self._mapper = Mapper(config, self.name)
        self._parse = line_parser(config)
        self._running: subprocess.Popen[bytes] | None = None

    def read(self) -> Iterator[Harvest | SourceError]:
        """Run it once."""
        config = self._config
        printed, complaint, status = self._run()
        if status != 0:
            said = f": {complaint[-200:]}" if complaint else ""
            how = f"ended with status {status}" if status > 0 else f"was ended by signal {-status}"
            raise SourceError(f"{config.command[0]} {how}{said}")
        if config.output == "document":
            try:
                payloads = [list(json_records(json_value(printed), config.each))]
            except PayloadError as error:
                raise SourceError(f"{config.command[0]}: {error}") from error
            yield self._mapper.harvest(payloads, self._clock.now())
        else:
            lines = printed.decode(errors="replace").splitlines()
            yield self._mapper.harvest((self._parse(line, {}) for line in lines if line.strip()), self._clock.now())

    def interrupt(self) -> None:
        """Kill what runs."""
        if self._running is not None:
            _kill(self._running)

    def _run(self) -> tuple[bytes, str, int]:
        """What it printed, what it complained, and its exit status."""
        config = self._config
        # What the agent knows from its environment, e.g. the broker's password, is not for others.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("CARELOOP_")}
        try:
            process = subprocess.Popen(
                config.command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment,
                start_new_session=True,
            )
        except OSError as error:
            raise SourceError(f"{config.command[0]} cannot be started: {error.strerror}") from error
        self._running = process
        try:
            printed, complaint = self._listen(process)
            return printed, complaint.decode(errors="replace").strip(), process.wait(timeout=config.timeout_s)
        except subprocess.TimeoutExpired as error:
            raise SourceError(f"{config.command[0]} did not end within {config.timeout_s:g} s") from error
        finally:
            self._running = None
            _kill(process)
            for stream in (process.stdout, process.stderr):
                if stream is not None:
                    stream.close()

    def _listen(self, process: subprocess.Popen[bytes]) -> tuple[bytes, bytes]:
        """Read until it closes its output, within time and size."""
        config = self._config
        until_s = self._clock.monotonic() + config.timeout_s
        printed, complaint = bytearray(), bytearray()
        with selectors.DefaultSelector() as selector:
            for stream, into in ((process.stdout, printed), (process.stderr, complaint)):
                if stream is not None:
                    selector.register(stream, selectors.EVENT_READ, into)
            while selector.get_map():
                remaining_s = until_s - self._clock.monotonic()
                if remaining_s <= 0:
                    raise SourceError(f"{config.command[0]} did not end within {config.timeout_s:g} s")
                for key, _ in selector.select(remaining_s):
                    chunk = os.read(key.fd, CHUNK_BYTES)
                    if not chunk:
                        selector.unregister(key.fileobj)
                    key.data.extend(chunk)
                if len(printed) > config.max_bytes:
                    raise SourceError(f"{config.command[0]} printed more than {config.max_bytes} bytes (max_bytes)")
                del complaint[:-MOST_COMPLAINT_BYTES]
        return bytes(printed), bytes(complaint)


def exec_source(config: ExecConfig, clock: Clock) -> Source:
    """A program as a source."""
    return Background(ExecReader(config, clock), clock)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End it and all it has started; nothing when it has ended by itself and left nobody."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
