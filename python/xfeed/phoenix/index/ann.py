"""Approximate search among vectors, for more posts than can be scanned.

A graph of neighbours (HNSW, by `usearch`) looks at some thousand vectors instead of all. The price:
a share of the best posts is missed, adding a post costs some hundred microseconds instead of one,
and a search that leaves out most posts has to look at many more. Up to some millions of posts
`xfeed.phoenix.index.exact.VectorIndex` is as fast and exact.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from xfeed.errors import ConfigError, ShapeError
from xfeed.phoenix.index import Hits
from xfeed.phoenix.index.inputs import Asked, at_least_one, at_least_zero, column, columns

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy.typing as npt

    from xfeed.phoenix.index.inputs import Column

MORE: Final = 4
"""How many times as many neighbours are asked for when too few of them may be found."""

MAX_LENGTH: Final = 1e18
"""Longest vector, as in the exact index."""


def _usearch() -> Any:
    """The module `usearch.index`.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        from usearch import index
    except ImportError as error:
        raise ConfigError(
            f"usearch cannot be loaded: {error}",
            code="no_usearch",
            hint="pip install 'xfeed[ann]', or use the exact index",
        ) from error
    return index


class AnnIndex:
    """Approximate search behind the protocol of `xfeed.phoenix.index.exact.Index`.

    Masks are exact: more neighbours than wanted are looked up and those that may not be found are
    left out, again and again until there are enough; when a mask leaves too few, everything is
    scanned. Scores are computed anew from the stored vectors. One lock covers every call.

    Args:
        width: numbers of one vector.
        connectivity: neighbours of each vector in the graph.
        expansion_add: candidates looked at when a vector is added.
        expansion_search: candidates looked at in a search; more find more and take longer.
        threads: threads that adding and searching use.

    Raises:
        ConfigError: `usearch` is not installed, or a number is not allowed.
    """

    def __init__(
        self,
        width: int,
        *,
        connectivity: int = 32,
        expansion_add: int = 128,
        expansion_search: int = 512,
        threads: int = 1,
    ) -> None:
        if width < 1:
            raise ConfigError(
                f"vectors cannot be `{width}` wide", code="bad_config", hint="use 1 or more"
            )
        self._width = width
        self._threads = at_least_one(threads)
        self._graph: Any = _usearch().Index(
            ndim=width,
            metric="ip",
            dtype="f32",
            connectivity=connectivity,
            expansion_add=expansion_add,
            expansion_search=expansion_search,
        )
        self._lock = threading.Lock()
        self._key_of: dict[int, int] = {}
        self._rows = _Rows()

    @property
    def width(self) -> int:
        """Numbers of one vector."""
        return self._width

    def __len__(self) -> int:
        return len(self._key_of)

    def __contains__(self, post: int) -> bool:
        return post in self._key_of

    def insert(
        self,
        ids: Column,
        vectors: npt.NDArray[np.float32],
        created_ms: Column,
        author_id: Column,
        kinds: Column | None = None,
    ) -> int:
        """Adds posts or replaces them; arguments, result and errors as in the exact index."""
        posts, numbers, times, authors, all_kinds = columns(
            ids, vectors, created_ms, author_id, kinds
        )
        if not len(posts) == len(numbers) == len(times) == len(authors) == len(all_kinds):
            raise ShapeError("the columns differ in length", hint="one entry for each vector")
        self._check(numbers, lambda row: f"the vector of post `{posts[row]}`")
        # Of an id that is given twice the last one stands.
        last = np.sort(len(posts) - 1 - np.unique(posts[::-1], return_index=True)[1])
        posts, numbers = posts[last], numbers[last]
        with self._lock:
            n_known = self._delete(posts)
            keys = self._rows.add(posts, times[last], authors[last], all_kinds[last])
            self._graph.add(keys, numbers, threads=self._threads)
            self._key_of.update(zip(posts.tolist(), keys.tolist(), strict=True))
        return len(posts) - n_known

    def delete(self, ids: Column) -> int:
        """Removes posts; returns how many were there."""
        posts = column(ids, np.uint64, "ids")
        with self._lock:
            return self._delete(posts)

    def erase_author(self, author: int) -> int:
        """Removes all posts of an author in one piece; returns how many there were."""
        with self._lock:
            return self._delete(self._rows.posts(self._rows.author_id == np.uint64(author)))

    def delete_older(self, oldest_ms: int) -> int:
        """Removes the posts made before a moment; returns how many there were."""
        with self._lock:
            return self._delete(self._rows.posts(self._rows.created_ms < oldest_ms))

    def search(
        self,
        queries: npt.NDArray[np.float32],
        k: int,
        *,
        since_ms: int | Column | None = None,
        until_ms: int | Column | None = None,
        exclude_authors: Sequence[Column] | None = None,
        kinds: Iterable[int] | None = None,
    ) -> Hits:
        """Posts with large dot products, most of them the largest; as in the exact index."""
        asked = Asked.of(queries, since_ms, until_ms, exclude_authors, kinds)
        self._check(asked.queries, lambda row: f"query `{row}`")
        with self._lock:
            K = min(at_least_zero(k), len(self))
            found = [self._search(asked, i, K) for i in range(len(asked.queries))]
        ids = np.zeros((len(found), K), dtype=np.uint64)
        scores = np.full((len(found), K), -np.inf, dtype=np.float32)
        for row, (posts, products) in enumerate(found):
            ids[row, : len(posts)], scores[row, : len(posts)] = posts, products
        return Hits(ids, scores, np.array([len(posts) for posts, _ in found], dtype=np.int64))

    def _search(
        self, asked: Asked, i: int, k: int
    ) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.float32]]:
        """Posts and scores of one query, best first."""
        query, n_wanted = asked.queries[i], k
        while k:
            is_all = n_wanted >= len(self)
            n_wanted = min(n_wanted, len(self))
            # A graph may not reach every vector, so the last try does without it.
            matches = self._graph.search(query, n_wanted, threads=self._threads, exact=is_all)
            keys = np.asarray(matches.keys, dtype=np.int64)
            keys = keys[self._rows.eligible(keys, asked, i)]
            if len(keys) >= k or is_all:
                vectors = np.asarray(self._graph.get(keys), dtype=np.float32)
                scores = vectors.reshape(len(keys), self._width) @ query
                posts = self._rows.post_id[keys]
                best = np.lexsort((~posts, -scores))[:k]
                return posts[best], scores[best]
            n_wanted *= MORE
        return np.zeros(0, dtype=np.uint64), np.zeros(0, dtype=np.float32)

    def _delete(self, posts: npt.NDArray[np.uint64]) -> int:
        keys = [key for post in posts.tolist() if (key := self._key_of.pop(post, None)) is not None]
        if keys:
            self._graph.remove(np.array(keys, dtype=np.uint64))
            self._rows.forget(np.array(keys, dtype=np.int64))
        return len(keys)

    def _check(self, numbers: npt.NDArray[np.float32], name: Any) -> None:
        """Refuses what the exact index refuses."""
        if numbers.shape[1] != self._width:
            raise ShapeError(
                f"vectors are {numbers.shape[1]} wide, the index holds vectors of {self._width}",
                code="bad_shape",
                hint="use vectors of the model that filled the index",
            )
        lengths = np.sqrt(np.square(numbers.astype(np.float64)).sum(axis=1))
        for bad, code, what in (
            (~np.isfinite(numbers).all(axis=1), "not_finite", "holds a number that is not finite"),
            (lengths > MAX_LENGTH, "too_long", f"is longer than {MAX_LENGTH:.0e}"),
        ):
            if bad.any():
                raise ShapeError(
                    f"{name(int(np.argmax(bad)))} {what}",
                    code=code,
                    hint="leave it out; nothing of this call was taken",
                )


class _Rows:
    """What is known of each key of the graph: a key is a row, and a free row is used again."""

    def __init__(self) -> None:
        self._free: list[int] = []
        self.post_id = np.zeros(0, dtype=np.uint64)
        self.created_ms = np.zeros(0, dtype=np.int64)
        self.author_id = np.zeros(0, dtype=np.uint64)
        self.kind = np.zeros(0, dtype=np.uint64)
        self.is_there = np.zeros(0, dtype=np.bool_)

    def add(
        self,
        posts: npt.NDArray[np.uint64],
        created_ms: npt.NDArray[np.int64],
        author_id: npt.NDArray[np.uint64],
        kinds: npt.NDArray[np.uint8],
    ) -> npt.NDArray[np.int64]:
        """Finds room; returns the keys."""
        n_rows = len(self.post_id)
        n_missing = len(posts) - len(self._free)
        if n_missing > 0:
            n_more = max(n_missing, n_rows)
            self._free.extend(range(n_rows + n_more - 1, n_rows - 1, -1))
            for name in ("post_id", "created_ms", "author_id", "kind", "is_there"):
                setattr(self, name, np.pad(getattr(self, name), (0, n_more)))
        keys = np.array([self._free.pop() for _ in range(len(posts))], dtype=np.int64)
        self.post_id[keys], self.created_ms[keys] = posts, created_ms
        self.author_id[keys], self.kind[keys] = author_id, kinds
        self.is_there[keys] = True
        return keys

    def forget(self, keys: npt.NDArray[np.int64]) -> None:
        """Gives rows back."""
        self.is_there[keys] = False
        self._free.extend(keys.tolist())

    def posts(self, which: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint64]:
        """Posts of the rows that are used and for which `which` is true."""
        posts: npt.NDArray[np.uint64] = self.post_id[which & self.is_there]
        return posts

    def eligible(self, keys: npt.NDArray[np.int64], asked: Asked, i: int) -> npt.NDArray[np.bool_]:
        """Which of the keys query `i` may have."""
        times = self.created_ms[keys]
        wanted = (np.uint64(asked.kinds) >> self.kind[keys]) & np.uint64(1)
        eligible: npt.NDArray[np.bool_] = (
            (times >= asked.since_ms[i])
            & (times <= asked.until_ms[i])
            & (wanted == 1)
            & ~np.isin(self.author_id[keys], asked.exclude_authors[i])
        )
        return eligible
