"""What readers have in common whose payload a mapper understands."""

from abc import ABC
from collections.abc import Mapping, Sequence

from edge_agent.sources.background import Reader
from edge_agent.sources.payload.mapper import Mapper


class MappedReader(Reader, ABC):
    """Knows assets, units and standing events by its mapper."""

    _mapper: Mapper

    def units_of(self, serial: str) -> Mapping[str, str]:
        """The configured units."""
        return self._mapper.units_of(serial)

    def serials(self) -> Sequence[str]:
        """Those in the configuration."""
        return self._mapper.serials

    def restore(self, memory: str) -> None:
        """Take back which events stand."""
        self._mapper.restore(memory)

    def memory(self) -> str | None:
        """Which events stand."""
        return self._mapper.memory()
