"""What an index of vectors is given, checked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self, TypeAlias

import numpy as np

from xfeed.errors import ConfigError, ShapeError
from xfeed.phoenix.integers import I64_RANGE, checked_integer

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy.typing as npt

Column: TypeAlias = "npt.NDArray[Any] | Sequence[int]"
"""Integers: an array of the dtype that is named where it is taken, or a sequence of ints."""

N_KINDS: Final = 64
"""Kinds of posts that a search can tell apart."""

ALL_KINDS: Final = 2**64 - 1
"""The mask with the bit of every kind."""


class Asked(NamedTuple):
    """The checked arguments of a search, one entry of each list for every query."""

    queries: npt.NDArray[np.float32]
    since_ms: npt.NDArray[np.int64]
    until_ms: npt.NDArray[np.int64]
    exclude_authors: list[npt.NDArray[np.uint64]]
    kinds: int

    @classmethod
    def of(
        cls,
        queries: npt.NDArray[np.float32],
        since_ms: int | Column | None,
        until_ms: int | Column | None,
        exclude_authors: Sequence[Column] | None,
        kinds: Iterable[int] | None,
    ) -> Self:
        """Checks what an index is asked."""
        queries = matrix(queries, "queries")
        B = len(queries)
        moments = [
            _moments(B, limit if value is None else value, name)
            for value, limit, name in (
                (since_ms, I64_RANGE[0], "since_ms"),
                (until_ms, I64_RANGE[1], "until_ms"),
            )
        ]
        lists = [[]] * B if exclude_authors is None else exclude_authors
        excluded = [column(authors, np.uint64, "exclude_authors") for authors in lists]
        mask = ALL_KINDS if kinds is None else sum(1 << _kind(kind) for kind in set(kinds))
        return cls(queries, moments[0], moments[1], excluded, mask)


def _moments(n: int, moment: int | Column, name: str) -> npt.NDArray[np.int64]:
    """One moment for all queries, or one for each."""
    if isinstance(moment, (int, np.integer)):
        return np.full(n, checked_integer(name, moment, I64_RANGE), dtype=np.int64)
    return column(moment, np.int64, name)


def columns(
    ids: Column,
    vectors: npt.NDArray[np.float32],
    created_ms: Column,
    author_id: Column,
    kinds: Column | None,
) -> tuple[
    npt.NDArray[np.uint64],
    npt.NDArray[np.float32],
    npt.NDArray[np.int64],
    npt.NDArray[np.uint64],
    npt.NDArray[np.uint8],
]:
    """The checked columns of an insert."""
    posts = column(ids, np.uint64, "ids")
    return (
        posts,
        matrix(vectors, "vectors"),
        column(created_ms, np.int64, "created_ms"),
        column(author_id, np.uint64, "author_id"),
        np.zeros(len(posts), dtype=np.uint8) if kinds is None else column(kinds, np.uint8, "kinds"),
    )


def column(values: Column, dtype: type[np.integer[Any]], name: str) -> npt.NDArray[Any]:
    """Integers as an array; taken are arrays of that very dtype and sequences of ints."""
    if isinstance(values, np.ndarray):
        array = values
    elif all(_is_whole(it) for it in values):
        try:
            array = np.array(values, dtype)
        except OverflowError as error:
            raise ShapeError(
                f"`{name}` does not fit into {dtype.__name__}: {error}",
                code="bad_shape",
                hint=f"pass a NumPy array of {dtype.__name__}",
            ) from error
    else:
        array = np.asarray(values, dtype=object)
    if array.dtype != dtype or array.ndim != 1:
        raise ShapeError(
            f"`{name}` is {array.dtype} {array.shape}, {dtype.__name__} (n,) is needed",
            code="bad_shape",
            hint=f"pass np.ascontiguousarray({name}, dtype=np.{dtype.__name__})",
        )
    return np.ascontiguousarray(array)


def matrix(values: npt.NDArray[np.float32], name: str) -> npt.NDArray[np.float32]:
    """Float32 of two dimensions."""
    array = np.asarray(values)
    if array.dtype != np.float32 or array.ndim != 2:
        raise ShapeError(
            f"`{name}` is {array.dtype} {array.shape}, float32 (n, width) is needed",
            code="bad_shape",
            hint=f"pass np.ascontiguousarray({name}, dtype=np.float32)",
        )
    return np.ascontiguousarray(array)


def at_least_zero(k: int) -> int:
    """A number of posts."""
    if k < 0:
        raise ShapeError(
            f"`k` is `{k}`, it must be 0 or more", code="bad_k", hint="ask for 0 or more"
        )
    return min(k, 2**32)


def at_least_one(threads: int) -> int:
    """A number of threads."""
    if threads < 1:
        raise ConfigError(
            f"`threads` is `{threads}`, it must be 1 or more", code="bad_config", hint="use 1"
        )
    return threads


def _kind(kind: int) -> int:
    if not 0 <= kind < N_KINDS:
        raise ShapeError(
            f"kind `{kind}` is not from 0 to {N_KINDS - 1}",
            code="bad_shape",
            hint="number the kinds from 0",
        )
    return int(kind)


def _is_whole(value: object) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)
