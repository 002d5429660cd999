"""Author, time, kind, texts and related posts."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from xfeed._core import CandidateBatch, Query
    from xfeed.mixer.stages import Parts


class CoreData:
    """Adds everything the filters need to know about each post."""

    name: ClassVar[str] = "core_data"

    def __init__(self, parts: Parts) -> None:
        self._world = parts.world

    def hydrate(self, query: Query, candidates: CandidateBatch) -> None:
        """Reads the store."""
        self._world.hydrate_core(query, candidates)
