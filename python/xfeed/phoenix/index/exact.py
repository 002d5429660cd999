"""Search among the vectors of posts.

    index = VectorIndex(width=128, dtype="int8")
    index.insert(post_ids, vectors, created_ms, author_ids)
    hits = index.search(queries, 200, since_ms=now_ms - 172_800_000, until_ms=now_ms)
    hits.ids[0, : hits.counts[0]]

`VectorIndex` is written in Rust and exact: it scans, which takes milliseconds for half a million
vectors, needs no training, takes a post at once and forgets it at once.
`xfeed.phoenix.index.ann.AnnIndex` follows the same protocol with an approximate graph, for many
millions of posts.
"""

from __future__ import annotations

import contextlib
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, Self, TypeAlias

import numpy as np

from xfeed import _core
from xfeed.errors import StoreError
from xfeed.phoenix.index.inputs import Asked, at_least_one, at_least_zero, column, columns

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Sequence

    import numpy.typing as npt

    from xfeed.phoenix.index.inputs import Column

Dtype: TypeAlias = Literal["float32", "bfloat16", "int8"]
"""How vectors are stored. `int8` finds exactly what `float32` finds, faster and with a quarter more
memory; `bfloat16` is exact for the vectors rounded to bfloat16 and takes half the
memory."""


class Hits(NamedTuple):
    """The answer to B queries; K is the smaller of `k` and the number of posts.

    Attributes:
        ids: uint64 `(B, K)`, best first, ties to the larger id; 0 behind the last one.
        scores: float32 `(B, K)`, the dot products; minus infinity behind the last one.
        counts: int64 `(B,)`, how many there are.
    """

    ids: npt.NDArray[np.uint64]
    scores: npt.NDArray[np.float32]
    counts: npt.NDArray[np.int64]


class Index(Protocol):
    """What an index of vectors can do; any number of threads may use one."""

    @property
    def width(self) -> int:
        """Numbers of one vector."""

    def __len__(self) -> int:
        """Number of posts."""

    def __contains__(self, post: int) -> bool:
        """Whether the post is in it."""

    def insert(
        self,
        ids: Column,
        vectors: npt.NDArray[np.float32],
        created_ms: Column,
        author_id: Column,
        kinds: Column | None = None,
    ) -> int:
        """Adds posts or replaces them; returns how many are new."""

    def delete(self, ids: Column) -> int:
        """Removes posts; returns how many were there."""

    def erase_author(self, author: int) -> int:
        """Removes all posts of an author; returns how many there were."""

    def delete_older(self, oldest_ms: int) -> int:
        """Removes the posts made before a moment; returns how many there were."""

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
        """The posts with the largest dot products."""


class VectorIndex:
    """Exact search.

    A search waits for at most 256 rows of a change or for all posts of an author who is erased, a
    change for the searches that run; no call holds the interpreter lock while it works.

    Args:
        width: numbers of one vector, 1 to 4,096.
        dtype: how vectors are stored.
        threads: most threads that one search uses; they change nothing but the time.

    Raises:
        ConfigError: the width, the dtype or the number of threads is not allowed.

    Example:
        >>> index = VectorIndex(2)
        >>> index.insert([7, 8], np.eye(2, dtype=np.float32), [1_000, 2_000], [1, 1])
        2
        >>> index.search(np.array([[1.0, 0.5]], dtype=np.float32), 5).ids
        array([[7, 8]], dtype=uint64)
    """

    def __init__(self, width: int, dtype: Dtype = "int8", *, threads: int = 1) -> None:
        self._index = _core.VectorIndex(width, dtype)
        self._threads = at_least_one(threads)

    @property
    def width(self) -> int:
        """Numbers of one vector."""
        return self._index.width

    @property
    def dtype(self) -> str:
        """How vectors are stored."""
        return self._index.dtype

    @property
    def used_bytes(self) -> int:
        """Bytes that the index has allocated."""
        return self._index.used_bytes

    def __len__(self) -> int:
        return len(self._index)

    def __contains__(self, post: int) -> bool:
        return 0 <= post < 2**64 and post in self._index

    def ids(self) -> npt.NDArray[np.uint64]:
        """Every post, ascending."""
        return self._index.ids()

    def vector(self, post: int) -> npt.NDArray[np.float32] | None:
        """The vector of a post as it is stored; None when the post is not there."""
        found = self._index.get(post)
        return None if found is None else found[3]

    def insert(
        self,
        ids: Column,
        vectors: npt.NDArray[np.float32],
        created_ms: Column,
        author_id: Column,
        kinds: Column | None = None,
    ) -> int:
        """Adds posts or replaces those that are there: all of them or, with an error, none.

        Args:
            ids: uint64 `(n,)`; of an id that is given twice the last one stands.
            vectors: float32 `(n, width)`. Do not write to them during the call.
            created_ms: int64 `(n,)`, unix milliseconds.
            author_id: uint64 `(n,)`.
            kinds: uint8 `(n,)`, 0 to 63, for instance the data set; 0 when None.

        Returns:
            How many are new.

        Raises:
            ShapeError: an array does not fit; a vector holds a number that is not finite
                (`not_finite`) or is longer than 1e18 (`too_long`), with the id.
        """
        return self._index.insert(*columns(ids, vectors, created_ms, author_id, kinds))

    def delete(self, ids: Column) -> int:
        """Removes posts; returns how many were there."""
        return self._index.delete(column(ids, np.uint64, "ids"))

    def erase_author(self, author: int) -> int:
        """Removes all posts of an author; returns how many there were.

        No search sees a part of them; searches wait until all are gone.
        """
        return self._index.erase_author(author)

    def delete_older(self, oldest_ms: int) -> int:
        """Removes the posts made before a moment; returns how many there were."""
        return self._index.delete_older(oldest_ms)

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
        """The `k` posts with the largest dot products for each of B queries.

        Args:
            queries: float32 `(B, width)`.
            k: most posts for each query.
            since_ms: the oldest posts that may be found, for all queries or int64 `(B,)`.
            until_ms: the newest posts that may be found, likewise.
            exclude_authors: B lists of authors (uint64) whose posts are left out.
            kinds: the kinds that may be found, 0 to 63; all when None.

        Returns:
            Posts and scores, best first.

        Raises:
            ShapeError: an array does not fit, or a query is not finite or too long.
        """
        asked = Asked.of(queries, since_ms, until_ms, exclude_authors, kinds)
        found = self._index.search(
            asked.queries,
            at_least_zero(k),
            since_ms=asked.since_ms,
            until_ms=asked.until_ms,
            exclude_authors=asked.exclude_authors,
            kinds=np.full(len(asked.queries), asked.kinds, dtype=np.uint64),
            threads=self._threads,
        )
        return Hits(*found)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes everything to a file, whole or not at all. Searches go on meanwhile.

        Raises:
            StoreError: the file cannot be written; what was there is untouched.
        """
        path = Path(path)
        temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
        try:
            self._index.save(temporary)
            temporary.replace(path)
        except OSError as error:
            raise StoreError(
                f"`{path}` cannot be written: {error}",
                code="io_failed",
                hint="free disk space or mend the disk and try again; what was there is untouched",
            ) from error
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, threads: int = 1) -> Self:
        """Reads what `save` wrote.

        Raises:
            StoreError: the file is damaged, of another format or cannot be read.
        """
        index = cls.__new__(cls)
        index._index = _core.VectorIndex.load(path)  # noqa: SLF001 - its own
        index._threads = at_least_one(threads)  # noqa: SLF001
        return index
