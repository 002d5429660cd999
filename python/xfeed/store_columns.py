"""Columns of the post store: what goes in, checked, and what comes out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

import numpy as np

from xfeed.errors import ConfigError, ShapeError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import numpy.typing as npt

Column: TypeAlias = "npt.NDArray[Any] | Sequence[int]"
"""Integers: an array of the dtype that is named where it is taken, or a sequence of ints."""

RELATED: Final = (
    "reply_to_id",
    "reply_to_author_id",
    "root_id",
    "root_author_id",
    "repost_of_id",
    "repost_of_author_id",
    "quote_of_id",
    "quote_of_author_id",
)
"""The columns of ids that not every post has."""


class InsertReport(NamedTuple):
    """What became of the rows or events of one call.

    Attributes:
        counts: number by outcome, such as `added`, `known` (it was there), `added_deleted` (its
            delete came first), `too_old`; docs/store.md lists them all.
        position: int64 `(k,)`, positions of those that were refused, ascending.
        reason: the outcome of each refused one, or the code of the event schema.
        message: what that means.
    """

    counts: dict[str, int]
    position: npt.NDArray[np.int64]
    reason: list[str]
    message: list[str]


class Newest(NamedTuple):
    """The answer to one read: columns, newest first, equal times by descending id.

    Attributes:
        post_id: uint64 `(n,)`.
        author_id: uint64 `(n,)`.
        created_ms: int64 `(n,)`, unix milliseconds.
        kind: uint8 `(n,)`, position in `xfeed._core.post_kinds()`: 0 original, 1 reply, 2 repost,
            3 quote.
        has_video: bool `(n,)`, whether the post itself has a video of 5 seconds or more.
        authors: followed accounts that have posts.
        authors_scanned: those that were read before the deadline.
    """

    post_id: npt.NDArray[np.uint64]
    author_id: npt.NDArray[np.uint64]
    created_ms: npt.NDArray[np.int64]
    kind: npt.NDArray[np.uint8]
    has_video: npt.NDArray[np.bool_]
    authors: int
    authors_scanned: int

    @property
    def partial(self) -> bool:
        """Whether the deadline cut the read short."""
        return self.authors_scanned < self.authors


def optional(values: Column | None, dtype: type[np.generic], name: str) -> Any:
    """As `column`, where there may be none."""
    return None if values is None else column(values, dtype, name)


def column(values: Column, dtype: type[np.generic], name: str) -> npt.NDArray[Any]:
    """The values as an array that the engine can borrow.

    Raises:
        ShapeError: saying what is wrong and how to mend it.
    """
    if not isinstance(values, np.ndarray):
        return _from_ints(values, dtype, name)
    if values.dtype != dtype:
        raise ShapeError(
            f"`{name}` has the dtype {values.dtype}, {np.dtype(dtype)} is needed",
            code="bad_shape",
            hint=f"pass {name}.astype(np.{np.dtype(dtype)}) if every value fits",
        )
    if values.ndim != 1:
        raise ShapeError(
            f"`{name}` has the shape {values.shape}, one dimension is needed",
            code="bad_shape",
            hint=f"pass {name}.reshape(-1)",
        )
    if isinstance(values, np.ma.MaskedArray):
        raise ShapeError(
            f"`{name}` is masked, and every post has one",
            code="bad_shape",
            hint=f"pass {name}.data, or leave those posts out",
        )
    return values


def _from_ints(values: Iterable[int], dtype: type[np.generic], name: str) -> npt.NDArray[Any]:
    found: list[object] = list(values)
    try:
        if all(isinstance(value, int) and not isinstance(value, bool) for value in found):
            return np.array(found, dtype=dtype)
    except OverflowError:
        pass
    raise ShapeError(
        f"`{name}` holds something else than integers of {np.dtype(dtype)}",
        code="bad_shape",
        hint=f"pass np.array({name}, dtype=np.{np.dtype(dtype)})",
    )


def related_columns(given: Mapping[str, Column]) -> dict[str, Any]:
    """Every column of `RELATED` as values and mask, None where it is not given."""
    unknown = [name for name in given if name not in RELATED]
    if unknown:
        raise TypeError(f"`{unknown[0]}` is no column of posts; those are {', '.join(RELATED)}")
    columns: dict[str, Any] = dict.fromkeys(RELATED)
    for name, values in given.items():
        if isinstance(values, np.ma.MaskedArray):
            mask = None if values.mask is np.ma.nomask else np.ascontiguousarray(values.mask)
            columns[name] = (column(values.data, np.uint64, name), mask)
        else:
            columns[name] = (column(values, np.uint64, name), None)
    return columns


def payloads(given: Sequence[bytes]) -> list[bytes]:
    """The events, each checked to be bytes."""
    found = list(given)  # Once: it may be a generator or an open file.
    for payload in found:
        if not isinstance(payload, bytes):
            raise TypeError(f"every event is given as bytes, got {type(payload).__name__}")
    return found


def whole(value: object, name: str) -> int | None:
    """An argument that is None or an integer of 64 bits, not negative.

    Raises:
        ConfigError: naming the argument, the value and what is allowed.
    """
    if value is None:
        return None
    if (
        isinstance(value, int | np.integer)
        and not isinstance(value, bool)
        and 0 <= int(value) < 2**64
    ):
        return int(value)
    raise ConfigError(
        f"`{name}` is `{value!r}`", code=f"bad_{name}", hint="give an integer 0 ..= 2^64 - 1"
    )


def check_lengths(columns: Mapping[str, Any]) -> None:
    """Refuses columns of different lengths, before anything of them is taken.

    Raises:
        ShapeError: naming the column and both lengths.
    """
    n = len(columns["post_id"])
    for name, values in columns.items():
        parts = values if isinstance(values, tuple) else (values,)
        for part in parts:
            if part is not None and len(part) != n:
                raise ShapeError(
                    f"`{name}` has {len(part)} entries, `post_id` has {n}",
                    code="bad_shape",
                    hint="give one entry per post",
                )
