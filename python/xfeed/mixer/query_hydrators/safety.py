"""Blocks, mutes and muted words. Without them nothing is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from xfeed._core import Query
    from xfeed.mixer.stages import Parts


class Safety:
    """Adds blocks in both directions, mutes and muted words."""

    name: ClassVar[str] = "safety"

    def __init__(self, parts: Parts) -> None:
        self._world = parts.world

    def hydrate(self, query: Query) -> None:
        """Reads the graph and the muted words."""
        self._world.hydrate_safety(query)
