"""The newest posts of the accounts the viewer follows."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from xfeed._core import Query
    from xfeed.mixer.stages import Parts


class InNetwork:
    """Asks Thunder, the post store."""

    name: ClassVar[str] = "in_network"

    def __init__(self, parts: Parts) -> None:
        self._world = parts.world
        self._limits = parts.config.thunder

    def find(self, query: Query) -> npt.NDArray[np.uint64]:
        """Posts within the retention, newest first."""
        limits = self._limits
        return self._world.in_network(
            query,
            oldest_ms=query.now_ms - limits.retention_secs * 1_000,
            max_results=limits.max_results,
            max_originals_per_author=limits.max_originals_per_author,
            max_secondary_per_author=limits.max_secondary_per_author,
            max_scan_per_author=limits.max_scan_per_author,
        )
