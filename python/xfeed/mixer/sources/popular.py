"""Popular posts, where nothing more personal is known."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from xfeed._core import Query
    from xfeed.mixer.stages import Parts


class Popular:
    """Finds the posts with most engagements; idle where a model knows the viewer's history."""

    name: ClassVar[str] = "popular"

    def __init__(self, parts: Parts) -> None:
        self._world = parts.world
        self._has_model = parts.model is not None
        self._max_results = parts.config.popular.max_results
        self._max_age_ms = parts.config.filters.age.max_age_secs * 1_000

    def find(self, query: Query) -> npt.NDArray[np.uint64]:
        """Posts within the age limit, most engaged first."""
        _, rows = self._world.history(query.viewer, query.now_ms, 1)
        if self._has_model and len(rows["at_ms"]):
            return np.zeros(0, dtype=np.uint64)
        return self._world.popular(
            query,
            oldest_ms=query.now_ms - self._max_age_ms,
            max_results=self._max_results,
        )
