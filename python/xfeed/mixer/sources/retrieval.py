"""Posts by authors the viewer does not follow, found by the two towers."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, ClassVar, Final

import numpy as np

from xfeed import _core
from xfeed.columns import post_columns, viewer_history
from xfeed.phoenix.index import VectorIndex

if TYPE_CHECKING:
    from typing import Any

    import numpy.typing as npt

    from xfeed._core import Query, World
    from xfeed.config import RetrievalConfig
    from xfeed.mixer.stages import Model, Parts
    from xfeed.phoenix.index import Index

NEVER: Final = 2**64 - 1
"""A generation that no world reaches."""

DEEPER: Final = 4
"""So many times as many posts are asked for when some of those that were found are gone."""


class Retrieval:
    """Searches all live originals: the largest dot products with the viewer's vector.

    Before each search the index takes in which posts came, went or were edited since the last one,
    and only those get a vector: a new post is found by the next request. What was found is looked
    up in the world once more, so a post that went meanwhile is not in the answer, whatever the
    index knows.
    """

    name: ClassVar[str] = "retrieval"

    def __init__(self, parts: Parts) -> None:
        self._world = parts.world
        self._model = parts.model
        self._max_results = parts.config.retrieval.max_results
        self._max_age_ms = parts.config.filters.age.max_age_secs * 1_000
        self._posts: PostIndex | None = None
        if parts.model is not None:
            config = parts.config
            self._posts = PostIndex(
                parts.world, parts.model, config.retrieval, threads=config.threads
            )

    def find(self, query: Query) -> npt.NDArray[np.uint64]:
        """Posts within the age limit by authors who are not followed, best first."""
        if self._model is None or self._posts is None:
            return np.zeros(0, dtype=np.uint64)
        history, posts = viewer_history(self._world, query.viewer, query.now_ms)
        viewer = _core.model_key(query.viewer)
        user = self._model.user_vector(viewer, history, posts, query.now_ms)
        if not np.isfinite(user).all():
            return np.zeros(0, dtype=np.uint64)
        asked_for = self._max_results
        while True:
            index = self._posts.refreshed()
            hits = index.search(
                user[None],
                asked_for,
                since_ms=query.now_ms - self._max_age_ms,
                until_ms=query.now_ms,
                exclude_authors=[np.append(query.following, np.uint64(query.viewer))],
            )
            found: npt.NDArray[np.uint64] = hits.ids[0, : hits.counts[0]]
            live = np.isin(found, self._world.live_originals(found)["post_id"])
            if not live.all():
                self._posts.forget_dead(index, found[~live])
            if live.sum() >= self._max_results or len(found) < asked_for:
                return found[live][: self._max_results]
            asked_for *= DEEPER


class PostIndex:
    """The vectors of all live originals, in step with the world.

    Args:
        world: the state.
        model: what gives posts their vectors.
        config: which index.
        threads: most threads of one search; they change nothing but the time.
    """

    def __init__(
        self, world: World, model: Model, config: RetrievalConfig, *, threads: int = 1
    ) -> None:
        self._world = world
        self._model = model
        self._config = config
        self._threads = threads
        self._lock = threading.Lock()
        self._index: Index | None = None
        self._bundle_id = model.bundle_id
        self._generation = NEVER
        self._not_finite: set[int] = set()

    @property
    def n_not_finite(self) -> int:
        """Live originals that cannot be found, because their vectors are not finite."""
        return len(self._not_finite)

    def refreshed(self) -> Index:
        """The index after every change that the world knows now."""
        with self._lock:
            if self._bundle_id != self._model.bundle_id:
                self._bundle_id, self._index = self._model.bundle_id, None
            since = NEVER if self._index is None else self._generation
            generation, changed = self._world.changed_since(since)
            if self._index is None or changed is None:
                self._index, self._not_finite = None, set()
                self._index = self._embedded(self._live_originals())
            elif len(changed):
                columns = self._world.live_originals(changed)
                self._remove(self._index, np.setdiff1d(changed, columns["post_id"]))
                self._embed(self._index, columns)
            self._generation = generation
            return self._index

    def forget_dead(self, index: Index, posts: npt.NDArray[np.uint64]) -> None:
        """Removes those of the posts that are not live.

        The world tells what left by age, by a delete or by an edit; what made way for other posts,
        because its timeline or the memory was full, it tells only when it trims.
        """
        with self._lock:
            # Under the lock, because one that comes back meanwhile is added under it.
            live = self._world.live_originals(posts)["post_id"]
            self._remove(index, np.setdiff1d(posts, live))

    def _live_originals(self) -> dict[str, npt.NDArray[Any]]:
        columns = self._world.live_posts()
        original = columns["is_original"]
        return {name: np.ascontiguousarray(column[original]) for name, column in columns.items()}

    def _embedded(self, columns: dict[str, npt.NDArray[Any]]) -> Index:
        """A new index."""
        nothing = post_columns({name: column[:0] for name, column in columns.items()})
        index = self._empty(self._model.post_vectors(nothing).shape[1])
        self._embed(index, columns)
        return index

    def _empty(self, width: int) -> Index:
        if self._config.index == "exact":
            return VectorIndex(width, self._config.dtype, threads=self._threads)
        from xfeed.phoenix.index.ann import AnnIndex

        # One thread: with more, the order in which posts are added would be left to chance.
        return AnnIndex(width)

    def _embed(self, index: Index, columns: dict[str, npt.NDArray[Any]]) -> None:
        """Gives posts their vectors, and removes those whose vectors are not finite."""
        posts: npt.NDArray[np.uint64] = columns["post_id"]
        vectors = self._model.post_vectors(post_columns(columns))
        finite = np.isfinite(vectors).all(axis=1)
        self._remove(index, posts[~finite])
        self._not_finite.update(posts[~finite].tolist())
        self._not_finite.difference_update(posts[finite].tolist())
        index.insert(
            posts[finite],
            vectors[finite],
            columns["created_ms"][finite],
            columns["author_id"][finite],
        )

    def _remove(self, index: Index, posts: npt.NDArray[np.uint64]) -> None:
        index.delete(posts)
        self._not_finite.difference_update(posts.tolist())
