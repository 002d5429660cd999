"""Seeded workloads. Counter-based numbers, so that any language can make the same ones.

Number `i` of a stream is the SplitMix64 mix of `seed + (i + 1) * GAMMA`, all modulo 2^64.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.uint64]

GAMMA: Final = np.uint64(0x9E3779B97F4A7C15)
FIRST_FACTOR: Final = np.uint64(0xBF58476D1CE4E5B9)
SECOND_FACTOR: Final = np.uint64(0x94D049BB133111EB)

DAY_MS: Final = 86_400_000
NOW_MS: Final = 1_790_000_000_000

REPOST_EVERY: Final = 5
"""The last of every so many posts is a repost."""

AUTHOR_DRAWS: Final = 8
"""With eight draws the busiest of 20,000 authors write 80 of 200,000 posts: the caps matter."""


def draws(seed: int, n: int, start: int = 0) -> Ids:
    """Numbers `start .. start + n` of the stream of `seed`, uniform on 64 bits."""
    i = np.arange(start + 1, start + n + 1, dtype=np.uint64)
    with np.errstate(over="ignore"):
        z = np.uint64(seed) + i * GAMMA
        z = (z ^ (z >> np.uint64(30))) * FIRST_FACTOR
        z = (z ^ (z >> np.uint64(27))) * SECOND_FACTOR
    mixed: Ids = z ^ (z >> np.uint64(31))
    return mixed


def below(seed: int, n: int, limit: int, start: int = 0) -> Ids:
    """Like `draws`, each modulo `limit`."""
    limited: Ids = draws(seed, n, start) % np.uint64(limit)
    return limited


@dataclass(frozen=True)
class Posts:
    """Posts of the last 48 hours, by id 1, 2, ...; a repost repeats an original of `n_authors`.

    Attributes:
        author: author of each post; some have many more posts than others.
        created_ms: time of each post.
        repost_of: the post it repeats, 0 for an original.
    """

    author: Ids
    created_ms: npt.NDArray[np.int64]
    repost_of: Ids

    @property
    def post(self) -> Ids:
        return np.arange(1, len(self.author) + 1, dtype=np.uint64)

    @property
    def secondary(self) -> npt.NDArray[np.bool_]:
        is_repost: npt.NDArray[np.bool_] = self.repost_of != 0
        return is_repost

    def events(self) -> list[bytes]:
        """The same as JSON events, in the order of time."""
        lines: list[bytes] = []
        for row in np.lexsort((self.post, self.created_ms)).tolist():
            event: dict[str, object] = {
                "type": "post",
                "at_ms": int(self.created_ms[row]),
                "post_id": row + 1,
                "author_id": int(self.author[row]),
            }
            if source := int(self.repost_of[row]):
                event["repost_of_id"] = source
                event["repost_of_author_id"] = int(self.author[source - 1])
            lines.append(json.dumps(event).encode())
        return lines

    def digest(self) -> str:
        """Hash of all columns as little-endian bytes: both languages must make the same posts."""
        digest = hashlib.sha256()
        for column in (self.author, self.created_ms, self.repost_of):
            digest.update(column.astype(column.dtype.newbyteorder("<")).tobytes())
        return digest.hexdigest()


def posts(seed: int, n_authors: int, n_posts: int) -> Posts:
    """Makes posts; the smallest of several draws is the author, so small ids write more."""
    author = below(seed, n_posts, n_authors)
    for other in range(1, AUTHOR_DRAWS):
        author = np.minimum(author, below(seed + other, n_posts, n_authors))
    age = below(seed + AUTHOR_DRAWS, n_posts, 2 * DAY_MS).astype(np.int64)
    row = np.arange(n_posts, dtype=np.uint64)
    is_repost = row % np.uint64(REPOST_EVERY) == REPOST_EVERY - 1
    # The first row of every group is an original, and rounding down finds it.
    drawn = below(seed + AUTHOR_DRAWS + 1, n_posts, n_posts)
    source = drawn - drawn % np.uint64(REPOST_EVERY)
    repost_of = np.where(is_repost, source + np.uint64(1), np.uint64(0))
    return Posts(author, NOW_MS - 1 - age, repost_of)


def followings(seed: int, n_viewers: int, n_followed: int, n_authors: int) -> list[Ids]:
    """Whom each viewer follows: distinct authors in ascending order."""
    found: list[Ids] = []
    for viewer in range(n_viewers):
        chosen: dict[int, None] = {}
        start = 0
        while len(chosen) < n_followed:
            chosen |= dict.fromkeys(below(seed + viewer, n_followed, n_authors, start).tolist())
            start += n_followed
        found.append(np.array(sorted(list(chosen)[:n_followed]), dtype=np.uint64))
    return found


def id_batches(seed: int, n_batches: int, n_ids: int) -> Sequence[Ids]:
    """Batches of ids below 2^63, none of them 0."""
    batches = [draws(seed + batch, n_ids) >> np.uint64(1) for batch in range(n_batches)]
    return [np.maximum(batch, np.uint64(1)) for batch in batches]
