"""What the viewer has seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from xfeed._core import Query
    from xfeed.mixer.stages import Parts


class Seen:
    """Adds the posts that the viewer has seen."""

    name: ClassVar[str] = "seen"

    def __init__(self, parts: Parts) -> None:
        self._world = parts.world

    def hydrate(self, query: Query) -> None:
        """Reads the histories."""
        self._world.hydrate_seen(query)
