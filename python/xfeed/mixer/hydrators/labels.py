"""Moderation labels that hold at the time of the request."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from xfeed._core import CandidateBatch, Query
    from xfeed.mixer.stages import Parts


class Labels:
    """Adds the labels of each post, of its author and of what it shows."""

    name: ClassVar[str] = "labels"

    def __init__(self, parts: Parts) -> None:
        self._world = parts.world

    def hydrate(self, query: Query, candidates: CandidateBatch) -> None:
        """Reads the labels; needs `core_data` before it."""
        self._world.hydrate_labels(query, candidates)
