"""The world's columns as the models take them."""

from __future__ import annotations

from typing import Any

from xfeed.phoenix.batch import InteractionColumns, PostColumns

_ONLY_FOR_SERVING = frozenset({"post_id", "author_id", "is_original"})


def post_columns(columns: dict[str, Any]) -> PostColumns:
    """Posts without what only serving needs (plain ids, kinds)."""
    return PostColumns.checked(
        **{name: column for name, column in columns.items() if name not in _ONLY_FOR_SERVING}
    )


def interaction_columns(columns: dict[str, Any], posts: PostColumns) -> InteractionColumns:
    """Interactions whose `post_row` points into `posts`."""
    return InteractionColumns.checked(n_posts=len(posts), **columns)
