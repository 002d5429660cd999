"""Columns that go into the models: posts, and what viewers saw or did.

Struct of arrays, exact 64-bit keys, one row per post or interaction. Whatever keeps the state
(the World while serving, a file while training) exports these columns; nothing in here knows
where they come from.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from xfeed.errors import ShapeError

MAX_TOPICS = 4
"""Topics of one post."""


def _check(name: str, values: Any, dtype: type[np.generic], shape: tuple[int, ...]) -> None:
    """Refuses an array of another dtype, shape or memory order."""
    if not isinstance(values, np.ndarray) or values.dtype != dtype or values.shape != shape:
        found = f"{values.dtype} {values.shape}" if isinstance(values, np.ndarray) else type(values)
        raise ShapeError(
            f"column `{name}` is `{found}`, expected `{np.dtype(dtype)} {shape}`",
            code="bad_column",
            hint=f"pass np.ascontiguousarray({name}, dtype=np.{np.dtype(dtype)})",
        )
    if not values.flags.c_contiguous:
        raise ShapeError(
            f"column `{name}` is not C-contiguous",
            code="bad_column",
            hint=f"pass np.ascontiguousarray({name})",
        )


@dataclass(frozen=True, slots=True)
class PostColumns:
    """What the models know about N posts.

    Attributes:
        post_key: (N,) id used for hashing; 0 for an absent post.
        author_key: (N,) id of the author; 0 for unknown.
        created_ms: (N,) time of creation in Unix milliseconds; 0 for unknown.
        media_kind: (N,) 0 none, 1 photo, 2 video, 3 animation, 4 audio.
        duration_ms: (N,) length of the video; 0 for unknown.
        language_key: (N,) hashed language; 0 for unknown.
        topic_keys: (N, 4) hashed topics; 0 for padding.
    """

    post_key: npt.NDArray[np.uint64]
    author_key: npt.NDArray[np.uint64]
    created_ms: npt.NDArray[np.int64]
    media_kind: npt.NDArray[np.uint8]
    duration_ms: npt.NDArray[np.int32]
    language_key: npt.NDArray[np.uint64]
    topic_keys: npt.NDArray[np.uint64]

    @classmethod
    def checked(cls, **columns: Any) -> Self:
        """Builds the columns after checking dtypes, shapes and memory order.

        Raises:
            ShapeError: a column does not fit.
        """
        made = cls(**columns)
        n_posts = len(made.post_key)
        for name, dtype in _POST_DTYPES.items():
            shape = (n_posts, MAX_TOPICS) if name == "topic_keys" else (n_posts,)
            _check(name, getattr(made, name), dtype, shape)
        return made

    @classmethod
    def zeros(cls, n_posts: int) -> Self:
        """Columns of absent posts, to be filled."""
        return cls(
            **{
                name: np.zeros(
                    (n_posts, MAX_TOPICS) if name == "topic_keys" else n_posts, dtype=dtype
                )
                for name, dtype in _POST_DTYPES.items()
            }
        )

    @classmethod
    def concat(cls, parts: Sequence[Self]) -> Self:
        """Puts tables under each other."""
        return cls(
            **{
                field.name: np.concatenate([getattr(part, field.name) for part in parts])
                for field in fields(cls)
            }
        )

    def __len__(self) -> int:
        return len(self.post_key)

    def take(self, rows: npt.NDArray[np.integer[Any]]) -> Self:
        """Picks rows; row -1 gives an absent post (all zero).

        Raises:
            ShapeError: a row is outside of the table.
        """
        _check_rows("rows", rows, len(self))
        absent = rows < 0
        taken = type(self).zeros(len(rows))
        if not len(self):
            return taken
        for field in fields(self):
            column = getattr(self, field.name)[rows]
            column[absent] = 0
            getattr(taken, field.name)[...] = column
        return taken


_POST_DTYPES: dict[str, type[np.generic]] = {
    "post_key": np.uint64,
    "author_key": np.uint64,
    "created_ms": np.int64,
    "media_kind": np.uint8,
    "duration_ms": np.int32,
    "language_key": np.uint64,
    "topic_keys": np.uint64,
}


@dataclass(frozen=True, slots=True)
class InteractionColumns:
    """Everything viewers saw or did, sorted by (viewer_key, at_ms, post_key).

    Attributes:
        viewer_key: (n,) who.
        post_row: (n,) row of the post in its `PostColumns`; -1 for an unknown post.
        at_ms: (n,) when the post was shown, in Unix milliseconds.
        surface: (n,) product surface.
        actions: (n,) bit i is row i of the action table (discrete ones only).
        dwell_secs: (n,) seconds spent; 0 for none.
        acted_ms: (n,) time of the last action; 0 for none.
        is_impression: (n,) False for an action without an impression, which is history only.
    """

    viewer_key: npt.NDArray[np.uint64]
    post_row: npt.NDArray[np.int32]
    at_ms: npt.NDArray[np.int64]
    surface: npt.NDArray[np.uint8]
    actions: npt.NDArray[np.uint64]
    dwell_secs: npt.NDArray[np.float32]
    acted_ms: npt.NDArray[np.int64]
    is_impression: npt.NDArray[np.bool_]

    @classmethod
    def checked(cls, *, n_posts: int, **columns: Any) -> Self:
        """Builds the columns after checking dtypes, shapes, order and post rows.

        Args:
            n_posts: length of the post table that `post_row` points into.
            **columns: the columns by name.

        Raises:
            ShapeError: a column does not fit, rows are not sorted, or a post row is outside.
        """
        made = cls(**columns)
        for name, dtype in _INTERACTION_DTYPES.items():
            _check(name, getattr(made, name), dtype, (len(made.viewer_key),))
        _check_rows("post_row", made.post_row, n_posts)
        viewer, at_ms = made.viewer_key, made.at_ms
        rises = (viewer[1:] > viewer[:-1]) | (
            (viewer[1:] == viewer[:-1]) & (at_ms[1:] >= at_ms[:-1])
        )
        if not rises.all():
            row = int(np.argmin(rises)) + 1
            raise ShapeError(
                f"interactions are not sorted: row `{row}` comes before row `{row - 1}`",
                code="not_sorted",
                hint="sort by (viewer_key, at_ms, post_key)",
            )
        return made

    @classmethod
    def zeros(cls, n_rows: int) -> Self:
        """Columns of zeros, to be filled."""
        return cls(
            **{name: np.zeros(n_rows, dtype=dtype) for name, dtype in _INTERACTION_DTYPES.items()}
        )

    def __len__(self) -> int:
        return len(self.viewer_key)

    def take(self, rows: Any) -> Self:
        """Picks rows by index, mask or slice."""
        return type(self)(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})


_INTERACTION_DTYPES: dict[str, type[np.generic]] = {
    "viewer_key": np.uint64,
    "post_row": np.int32,
    "at_ms": np.int64,
    "surface": np.uint8,
    "actions": np.uint64,
    "dwell_secs": np.float32,
    "acted_ms": np.int64,
    "is_impression": np.bool_,
}


def _check_rows(name: str, rows: npt.NDArray[np.integer[Any]], n_posts: int) -> None:
    """Refuses rows outside of a table of `n_posts`; -1 is allowed."""
    if len(rows) and not (int(rows.min()) >= -1 and int(rows.max()) < n_posts):
        raise ShapeError(
            f"`{name}` lies in [{rows.min()}, {rows.max()}], allowed is [-1, {n_posts - 1}]",
            code="bad_row",
        )
