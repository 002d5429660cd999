"""Whom the viewer follows."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from xfeed._core import Query
    from xfeed.mixer.stages import Parts


class Following:
    """Adds whom the viewer follows and how many follow the viewer."""

    name: ClassVar[str] = "following"

    def __init__(self, parts: Parts) -> None:
        self._world = parts.world

    def hydrate(self, query: Query) -> None:
        """Reads the graph."""
        self._world.hydrate_following(query)
