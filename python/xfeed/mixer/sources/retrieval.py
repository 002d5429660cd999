"""Posts by authors the viewer does not follow, found by the two towers."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np

from xfeed import _core
from xfeed.columns import post_columns, viewer_history

if TYPE_CHECKING:
    import numpy.typing as npt

    from xfeed._core import Query
    from xfeed.mixer.stages import Model, Parts


class _Index(NamedTuple):
    """Vectors of all live originals at one generation of the world."""

    generation: int
    post_id: npt.NDArray[np.uint64]
    author_id: npt.NDArray[np.uint64]
    created_ms: npt.NDArray[np.int64]
    vectors: npt.NDArray[np.float32]


class Retrieval:
    """Searches all live originals exactly: the largest dot products with the viewer's vector.

    The vectors are kept between requests and made anew when posts come, go or change, so a new post
    is found by the next request and a deleted one is not.
    """

    name: ClassVar[str] = "retrieval"

    def __init__(self, parts: Parts) -> None:
        self._world = parts.world
        self._model = parts.model
        self._max_results = parts.config.retrieval.max_results
        self._max_age_ms = parts.config.filters.age.max_age_secs * 1_000
        self._lock = threading.Lock()
        self._index: _Index | None = None

    def find(self, query: Query) -> npt.NDArray[np.uint64]:
        """Posts within the age limit by authors who are not followed, best first."""
        if self._model is None:
            return np.zeros(0, dtype=np.uint64)
        index = self._refreshed(self._model)
        history, posts = viewer_history(self._world, query.viewer, query.now_ms)
        viewer = _core.model_key(query.viewer)
        user = self._model.user_vector(viewer, history, posts, query.now_ms)
        eligible = (
            ~np.isin(index.author_id, query.following)
            & (index.author_id != np.uint64(query.viewer))
            & (index.created_ms >= query.now_ms - self._max_age_ms)
            & (index.created_ms <= query.now_ms)
        )
        rows = np.flatnonzero(eligible)
        scores = index.vectors[rows] @ user
        rows, scores = rows[np.isfinite(scores)], scores[np.isfinite(scores)]
        if len(rows) > self._max_results:
            # Everything that ties with the last place stays in until the ids decide.
            last_place = np.partition(scores, -self._max_results)[-self._max_results]
            near = scores >= last_place
            rows, scores = rows[near], scores[near]
        ids = index.post_id[rows]
        best: npt.NDArray[np.uint64] = ids[np.lexsort((~ids, -scores))[: self._max_results]]
        return best

    def _refreshed(self, model: Model) -> _Index:
        with self._lock:
            generation = self._world.generation
            known = self._index
            if known is not None and known.generation == generation:
                return known
            columns = self._world.live_posts()
            original = columns["is_original"]
            columns = {name: np.ascontiguousarray(c[original]) for name, c in columns.items()}
            # Edits may change topics, so vectors are computed anew: exact, and one matrix product.
            vectors = model.post_vectors(post_columns(columns))
            self._index = _Index(
                generation,
                columns["post_id"],
                columns["author_id"],
                columns["created_ms"],
                vectors,
            )
            return self._index
