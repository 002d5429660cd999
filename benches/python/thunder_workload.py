"""The posts and viewers of `benches/src/workload.rs`, number for number, as NumPy columns.

What they are like, and why, is written there; `Posts.digest` proves that both are the same.
"""

import hashlib
from dataclasses import dataclass, fields
from typing import Final

import numpy as np
import numpy.typing as npt

from benches.python.workload import DAY_MS, NOW_MS, Ids, below, draws

Times = npt.NDArray[np.int64]
Rows = npt.NDArray[np.int64]

SPAN_MS: Final = 2 * DAY_MS
START_MS: Final = NOW_MS - SPAN_MS

SEED: Final = 20_260_821
HEAD: Final = 250
DISORDER_MS: Final = 2_000
ID_EPOCH_MS: Final = 1_288_834_974_657
GROUP: Final = 20
ORIGINALS: Final = 13
REPLIES: Final = 4
OLDEST_LOG2: Final = 18
VIDEO_MS: Final = 30_000
BY_ACTIVITY: Final = 8

ORIGINAL: Final = 0
REPLY: Final = 1
REPOST: Final = 2

AUTHOR: Final = SEED + 1
AUTHOR_ID: Final = SEED + 2
DISORDER: Final = SEED + 3
DISTANCE: Final = SEED + 4
REACH: Final = SEED + 5
TARGET: Final = SEED + 6
MISSING: Final = SEED + 7
STRANGER: Final = SEED + 8
VIDEO: Final = SEED + 9
FOLLOWED: Final = 1_000


@dataclass(frozen=True)
class Posts:
    """Columns of posts in the order in which they come, shape `(n,)` each.

    Attributes:
        post: id.
        author: id of who wrote it.
        created_ms: time.
        kind: 0 original, 1 reply, 2 repost.
        has_video: whether it has a video of half a minute.
        target: the post it answers or repeats, 0 for an original.
        target_author: who wrote that, 0 for an original.
        root: first post of the conversation of a reply, else 0.
        root_author: who wrote that, else 0.
    """

    post: Ids
    author: Ids
    created_ms: Times
    kind: npt.NDArray[np.uint8]
    has_video: npt.NDArray[np.bool_]
    target: Ids
    target_author: Ids
    root: Ids
    root_author: Ids

    def digest(self) -> str:
        """Hash of the columns as little-endian 64-bit numbers."""
        columns = (self.post, self.author, self.created_ms, self.kind, self.has_video)
        digest = hashlib.sha256()
        for column in (*columns, self.target, self.root):
            digest.update(hashlib.sha256(column.astype("<u8").tobytes()).digest())
        return digest.hexdigest()

    def where(self, rows: npt.NDArray[np.bool_] | slice) -> "Posts":
        """The chosen rows."""
        return Posts(*(getattr(self, field.name)[rows] for field in fields(self)))


class Workload:
    """The recipe of all posts and viewers of one size."""

    def __init__(self, n_authors: int, n_posts: int) -> None:
        self.n_authors = n_authors
        self.n_posts = n_posts
        ranks = np.arange(n_authors, dtype=np.uint64)
        self._sums = np.cumsum(np.uint64(1 << 40) // (ranks + np.uint64(HEAD)))
        self._ids: Ids = draws(AUTHOR_ID, n_authors) >> np.uint64(1)

    def _by_activity(self, numbers: Ids) -> Rows:
        ranks: Rows = np.searchsorted(self._sums, numbers % self._sums[-1], side="right")
        return ranks

    def posts(self) -> Posts:
        """All posts of the 48 hours."""
        n = self.n_posts
        row = np.arange(n, dtype=np.int64)
        author = self._ids[self._by_activity(draws(AUTHOR, n))]
        late = below(DISORDER, n, DISORDER_MS).astype(np.int64)
        created_ms = START_MS + row * SPAN_MS // n + late
        post = ((created_ms - ID_EPOCH_MS) << 22 | (row & 0x3F_FFFF)).astype(np.uint64)
        place = row % GROUP
        kind = np.where(place < ORIGINALS, ORIGINAL, REPOST).astype(np.uint8)
        kind[(place >= ORIGINALS) & (place < ORIGINALS + REPLIES)] = REPLY
        target = _targets(row, kind)
        root = target.copy()
        while True:
            # A repost is answered by nobody, so every step leads from a reply to what it answers.
            (above,) = np.nonzero((kind == REPLY) & (root >= 0) & (kind[root] == REPLY))
            if not len(above):
                break
            root[above] = target[root[above]]
        strangers = (draws(MISSING, n) >> np.uint64(1), draws(STRANGER, n) >> np.uint64(1))

        def named(rows: Rows) -> tuple[Ids, Ids]:
            missing = -rows - 1
            is_there = rows >= 0
            return (
                np.where(is_there, post[rows], strangers[0][missing]),
                np.where(is_there, author[rows], strangers[1][missing]),
            )

        # Kinds that refer to nothing have 0.
        is_reply = (kind == REPLY).astype(np.uint64)
        refers = (kind != ORIGINAL).astype(np.uint64)
        target_id, target_author = named(target)
        root_id, root_author = named(root)
        return Posts(
            post=post,
            author=author,
            created_ms=created_ms,
            kind=kind,
            has_video=(kind != REPOST) & (draws(VIDEO, n) % np.uint64(10) == 0),
            target=target_id * refers,
            target_author=target_author * refers,
            root=root_id * is_reply,
            root_author=root_author * is_reply,
        )

    def following(self, viewer: int, n_followed: int) -> Ids:
        """Whom viewer number `viewer` of those with `n_followed` follows, in no order."""
        seed = SEED + FOLLOWED * n_followed + viewer
        found: dict[int, None] = {}
        start = 0
        while len(found) < n_followed:
            numbers = draws(seed, n_followed, start)
            anybody = (numbers % np.uint64(self.n_authors)).astype(np.int64)
            active = np.arange(start, start + n_followed) % BY_ACTIVITY == 0
            ranks = np.where(active, self._by_activity(numbers), anybody)
            found |= dict.fromkeys(ranks.tolist())
            start += n_followed
        following: Ids = self._ids[np.array(list(found)[:n_followed])]
        return following


def _targets(row: Rows, kind: npt.NDArray[np.uint8]) -> Rows:
    """Row that each row refers to; `-(row + 1)` for a post that is not there, 0 for originals."""
    n = len(row)
    group = row // GROUP
    reach = np.left_shift(1, (draws(REACH, n) % np.uint64(OLDEST_LOG2)).astype(np.int64))
    reach = np.minimum(np.maximum(group, 1), reach).astype(np.uint64)
    distance = np.where(group == 0, 0, 1 + (draws(DISTANCE, n) % reach).astype(np.int64))
    first = (group - distance) * GROUP
    number = draws(TARGET, n)
    case = (number % np.uint64(20)).astype(np.int64)
    rest = number // np.uint64(20)
    original = first + (rest % np.uint64(ORIGINALS)).astype(np.int64)
    reply = first + ORIGINALS + (rest % np.uint64(REPLIES)).astype(np.int64)
    answered = np.where((case >= 1) & (case < 5) & (group > 0), reply, original)
    answered[case == 0] = -(row[case == 0] + 1)
    repeated = first + (number % np.uint64(ORIGINALS)).astype(np.int64)
    targets = np.where(kind == REPLY, answered, repeated)
    targets[kind == ORIGINAL] = 0
    return targets
