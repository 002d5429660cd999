"""Whether the viewer follows the author."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from xfeed._core import CandidateBatch, Query
    from xfeed.mixer.stages import Parts


class InNetworkFlag:
    """Adds whether each author is followed by the viewer or is the viewer."""

    name: ClassVar[str] = "in_network"

    def __init__(self, parts: Parts) -> None:
        self._world = parts.world

    def hydrate(self, query: Query, candidates: CandidateBatch) -> None:
        """Compares authors with the query; needs `core_data` before it."""
        self._world.hydrate_in_network(query, candidates)
