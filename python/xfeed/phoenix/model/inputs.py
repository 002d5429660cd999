"""What the models read, and how it becomes tokens.

Posts are looked up once however often they appear: `PostInputs` holds U distinct posts, and
history and candidates point into it. The models take looked-up embedding rows, never tables, so
training (torch tables) and serving (rows gathered by the Rust core) share one forward pass.

Every profile reads the same columns. Most may be None: that means unknown everywhere and is the
same as a column of zeros. What a profile does not read is ignored.
"""

import math
from dataclasses import dataclass, fields
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from xfeed.phoenix.batch import PostColumns


@dataclass(frozen=True, slots=True)
class PostKeys:
    """Keys of posts, for comparing; 0 is unknown and equals nothing.

    Attributes:
        post: (...) keys as signed integers.
        author: (...).
        topics: (..., 4).
    """

    post: Tensor
    author: Tensor
    topics: Tensor

    def take(self, rows: Tensor) -> "PostKeys":
        """Picks posts."""
        return PostKeys(self.post[rows], self.author[rows], self.topics[rows])


@dataclass(frozen=True, slots=True)
class PostInputs:
    """U distinct posts; Hi, Ha, Hl and Ht are the hash functions of each kind of id.

    Attributes:
        item_rows: (U, Hi * W), or (U, 0) where posts have no rows.
        author_rows: (U, Ha * W).
        media_kind: (U,) or None.
        duration: (U,) bucket, or None.
        language_rows: (U, Hl * W) or None.
        topic_rows: (U, Ht * W) sum over the topics, or None.
        keys: keys of the posts, or None.
        semantic_ids: (U, L) codes plus one, 0 for missing, or None.
        item_hash: (U,) table row of the first hash of the post's id, for the hash level of
            semantic ids, or None.
    """

    item_rows: Tensor
    author_rows: Tensor
    media_kind: Tensor | None = None
    duration: Tensor | None = None
    language_rows: Tensor | None = None
    topic_rows: Tensor | None = None
    keys: PostKeys | None = None
    semantic_ids: Tensor | None = None
    item_hash: Tensor | None = None

    def take(self, rows: Tensor) -> "PostInputs":
        """Picks posts."""
        columns = {field.name: getattr(self, field.name) for field in fields(self)}
        return PostInputs(**{name: _pick(column, rows) for name, column in columns.items()})


@dataclass(frozen=True, slots=True)
class ViewerColumns:
    """Facts about B viewers; None and 0 mean unknown.

    Attributes:
        country: (B,) number of the country.
        language: (B,) number of the language.
        latitude: (B,) degrees.
        longitude: (B,) degrees.
        apps: (B, n_apps) multi-hot.
        gender: (B,) as stated in the profile.
        inferred_gender: (B,).
        inferred_gender_score: (B,) how sure that is.
        age_bracket: (B,).
        age_years: (B,).
    """

    country: Tensor | None = None
    language: Tensor | None = None
    latitude: Tensor | None = None
    longitude: Tensor | None = None
    apps: Tensor | None = None
    gender: Tensor | None = None
    inferred_gender: Tensor | None = None
    inferred_gender_score: Tensor | None = None
    age_bracket: Tensor | None = None
    age_years: Tensor | None = None


@dataclass(frozen=True, slots=True)
class HistoryInputs:
    """Viewers and what they did, oldest first, padding last.

    Attributes:
        user_rows: (B, Hu * W), or (B, 0) where viewers have no rows.
        user_valid: (B,).
        post: (B, S) rows of `PostInputs`.
        valid: (B, S).
        actions: (B, S, A) multi-hot.
        surface: (B, S).
        dwell_secs: (B, S) or None.
        address_rows: (B, Hip, W) or None.
        post_age: (B, S) bucket of the post's age when it was shown, or None.
        hour: (B, S) hour of the day plus one when it was shown, 0 unknown, or None.
        weekday: (B, S) day of the week plus one, Monday first, 0 unknown, or None.
        timezone: (B, S) number of the viewer's time zone, 0 unknown, or None.
        author_followed: (B, S) whether the viewer followed the author, or None.
        author_follows: (B, S) whether the author followed the viewer, or None.
        counts: (B, S, 5) favorites, replies, reposts, quotes and views of the post, or None.
        viewer: facts about the viewers, or None.
    """

    user_rows: Tensor
    user_valid: Tensor
    post: Tensor
    valid: Tensor
    actions: Tensor
    surface: Tensor
    dwell_secs: Tensor | None = None
    address_rows: Tensor | None = None
    post_age: Tensor | None = None
    hour: Tensor | None = None
    weekday: Tensor | None = None
    timezone: Tensor | None = None
    author_followed: Tensor | None = None
    author_follows: Tensor | None = None
    counts: Tensor | None = None
    viewer: ViewerColumns | None = None

    @property
    def context_valid(self) -> Tensor:
        """(B, 1 + S) valid positions where the viewer's token is the whole prefix."""
        return torch.cat((self.user_valid[:, None], self.valid), dim=1)


@dataclass(frozen=True, slots=True)
class CandidateInputs:
    """C candidates for each of B viewers.

    Attributes:
        post: (B, C) rows of `PostInputs`.
        surface: (B, C).
        post_age: (B, C) bucket, or None.
        hour: (B, C) hour of the day plus one, or None.
        weekday: (B, C) day of the week plus one, Monday first, 0 unknown, or None.
        timezone: (B, C) number of the viewer's time zone, 0 unknown, or None.
        author_followed: (B, C) whether the viewer follows the author, or None.
        author_follows: (B, C) whether the author follows the viewer, or None.
        counts: (B, C, 5) favorites, replies, reposts, quotes and views of the post, or None.
        stale: (B, C) whether the post is older than 14 days, or None.
    """

    post: Tensor
    surface: Tensor
    post_age: Tensor | None = None
    hour: Tensor | None = None
    weekday: Tensor | None = None
    timezone: Tensor | None = None
    author_followed: Tensor | None = None
    author_follows: Tensor | None = None
    counts: Tensor | None = None
    stale: Tensor | None = None

    def part(self, here: Any) -> "CandidateInputs":
        """Some of the candidates of every viewer: a slice or an index along C."""
        columns: dict[str, Any] = {}
        for field in fields(self):
            column = getattr(self, field.name)
            columns[field.name] = None if column is None else column[:, here]
        return CandidateInputs(**columns)


class Shown(Protocol):
    """What history and candidates have in common, for looking columns up by name."""

    @property
    def post(self) -> Tensor:
        """(B, n) rows of `PostInputs`."""

    @property
    def counts(self) -> Tensor | None:
        """(B, n, 5) or None."""


def _pick(column: Any, rows: Tensor) -> Any:
    """Rows of a column that may be missing."""
    if column is None:
        return None
    return column.take(rows) if isinstance(column, PostKeys) else column[rows]


def normalised_dwell(secs: Tensor, scale_secs: float, *, log: bool) -> Tensor:
    """Seconds clipped to [0, scale] and brought to [0, 1], evenly or logarithmically."""
    clipped = secs.clamp(0, scale_secs)
    if log:
        return clipped.log1p() / math.log1p(scale_secs)
    return clipped / scale_secs


def post_keys(posts: PostColumns) -> PostKeys:
    """Keys of posts as torch integers; the same bits, read as signed."""
    columns = (posts.post_key, posts.author_key, posts.topic_keys)
    return PostKeys(*(torch.from_numpy(column.view(np.int64)) for column in columns))


def lookup(table: Tensor, index: Tensor) -> Tensor:
    """Rows of a small table; an index outside gives the zero vector."""
    n = table.shape[0]
    # one more row, of zeros, costs less than going over the result again
    place = torch.where((index >= 0) & (index < n), index, n)
    return functional.embedding(place, functional.pad(table, (0, 0, 0, 1)))


def spread(part: Tensor, post: Tensor) -> Tensor:
    """What each place takes from its post.

    Args:
        part: (U, D) by post.
        post: (B, n) rows of `part`.

    Returns:
        (B, n, D); on a CPU nothing is copied where places are the posts in their order.
    """
    may_skip = part.device.type == "cpu" and post.numel() == part.shape[0]
    if may_skip and torch.equal(post.reshape(-1), torch.arange(post.numel())):
        return part.view(*post.shape, part.shape[1])
    return functional.embedding(post, part)


def clipped_lookup(table: Tensor, index: Tensor | None, shape: torch.Size) -> Tensor:
    """Rows of a small table; an index outside is moved to the nearest end, None is row 0.

    Args:
        table: (n, width).
        index: `shape`, whole numbers or booleans, or None.
        shape: leading shape of the result.
    """
    if index is None:
        return table[0].expand(*shape, -1)
    return functional.embedding(index.long().clamp(0, table.shape[0] - 1), table)
