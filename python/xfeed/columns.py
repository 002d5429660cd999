"""The world's columns as the models take them, and the numbers in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from xfeed import _core
from xfeed.phoenix.batch import InteractionColumns, PostColumns

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

KINDS: Final = tuple(_core.post_kinds())
"""Kinds of posts; the position is the number in columns."""

VIDEO: Final = _core.media_kinds().index("video")
"""Number of videos in columns of media kinds."""

MAX_HISTORY_LEN: Final = 1_024
"""Rows of history handed to the models, which read their own number of the newest; the largest
published model reads 1,023."""

_ONLY_FOR_SERVING = frozenset({"post_id", "author_id", "is_original"})


def is_secondary(kind: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Which posts are replies or reposts."""
    secondary: npt.NDArray[np.bool_] = (kind == KINDS.index("reply")) | (
        kind == KINDS.index("repost")
    )
    return secondary


def post_columns(columns: dict[str, Any]) -> PostColumns:
    """Posts without what only serving needs (plain ids, kinds)."""
    return PostColumns.checked(
        **{name: column for name, column in columns.items() if name not in _ONLY_FOR_SERVING}
    )


def interaction_columns(columns: dict[str, Any], posts: PostColumns) -> InteractionColumns:
    """Interactions whose `post_row` points into `posts`."""
    return InteractionColumns.checked(n_posts=len(posts), **columns)


def viewer_history(
    world: _core.World, viewer: int, now_ms: int
) -> tuple[InteractionColumns, PostColumns]:
    """What a viewer saw and did up to `now_ms`, with the posts that the rows point to."""
    post_dict, row_dict = world.history(viewer, now_ms, MAX_HISTORY_LEN)
    posts = post_columns(post_dict)
    return interaction_columns(row_dict, posts), posts
