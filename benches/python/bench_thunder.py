"""Thunder: the newest posts of the accounts a viewer follows, beside what one would use instead.

The native half compares the store with the published layout and with Redis; this half compares
`xfeed.PostStore` with what one would write in Python, and measures its ways in. The workload is
described in `benches/src/workload.rs`.
"""

import json
import time
from collections.abc import Callable
from statistics import median
from typing import Any, Final

import numpy as np
import xfeed
from xfeed import _core

from benches.python.thunder_native import (
    fill_rows,
    native,
    read_rows,
    redis_rows,
    targets,
)
from benches.python.thunder_peers import peers
from benches.python.thunder_workload import ORIGINAL, REPLY, REPOST, SPAN_MS, Posts, Workload
from benches.python.timing import QUICK, Findings, Row, Target, reads
from benches.python.workload import NOW_MS, Ids

N_AUTHORS: Final = 20_000 if QUICK else 1_000_000
FEW_POSTS: Final = 20_000 if QUICK else 1_000_000
MANY_POSTS: Final = 200_000 if QUICK else 10_000_000

FOLLOWED: Final = (100, 1_000, 5_000)
N_VIEWERS: Final = 3 if QUICK else 20
ROUNDS: Final = 1 if QUICK else 3
OUR_ROUNDS: Final = 2 if QUICK else 30

BATCH: Final = 100_000
N_MESSAGES: Final = 5_000 if QUICK else 300_000
VIDEO_KIND: Final = 2
VIDEO_MS: Final = 30_000
LONG_MS: Final = 4 * SPAN_MS
"""No post of the workload is older."""


def run() -> Findings:
    found: dict[str, Any] = {}
    check_workload()
    few, many = (native("reads", N_AUTHORS, n_posts) for n_posts in (FEW_POSTS, MANY_POSTS))
    redis = native("redis", N_AUTHORS, MANY_POSTS)
    ours, published = (native(side, N_AUTHORS, MANY_POSTS) for side in ("ours", "published"))
    found |= {"few": few, "many": many, "redis": redis, "ours": ours, "published": published}
    workload = Workload(N_AUTHORS, MANY_POSTS)
    posts = workload.posts()
    store, columns_per_s = filled(posts)
    protobuf_per_s = protobuf_speed(posts)
    found |= {"columns_per_s": columns_per_s, "protobuf_per_s": protobuf_per_s}
    rows = [
        *read_rows(few, FEW_POSTS),
        *read_rows(many, MANY_POSTS),
        *redis_rows(redis, MANY_POSTS),
        *python_rows(store, workload, posts),
        *fill_rows(ours, published, MANY_POSTS),
    ]
    wanted = targets({FEW_POSTS: few, MANY_POSTS: many}, redis, ours, published)
    wanted += [
        Target("posts/s from columns, one thread", columns_per_s, 1.5e6),
        Target("events/s from protobuf bytes, one thread", protobuf_per_s, 5e5),
    ]
    # The targets are about ten million posts; a small run says nothing about them.
    return Findings(rows, [] if QUICK else wanted, found)


def check_workload() -> None:
    """Both languages must make the same posts."""
    ours = Workload(N_AUTHORS, FEW_POSTS).posts().digest()
    theirs = native("digest", N_AUTHORS, FEW_POSTS)["digest"]
    assert ours == theirs, f"the workloads differ: {ours} here, {theirs} there"


def columns_of(posts: Posts) -> dict[str, Any]:
    """The arguments of `insert_many`."""

    def some(ids: Ids, kind: int) -> np.ma.MaskedArray[Any, Any]:
        return np.ma.MaskedArray(ids, mask=posts.kind != kind)

    return {
        "post_id": posts.post,
        "author_id": posts.author,
        "created_ms": posts.created_ms,
        "media_kind": np.where(posts.has_video, np.uint8(VIDEO_KIND), np.uint8(0)),
        "media_duration_ms": np.where(posts.has_video, np.uint32(VIDEO_MS), np.uint32(0)),
        "reply_to_id": some(posts.target, REPLY),
        "reply_to_author_id": some(posts.target_author, REPLY),
        "root_id": some(posts.root, REPLY),
        "root_author_id": some(posts.root_author, REPLY),
        "repost_of_id": some(posts.target, REPOST),
        "repost_of_author_id": some(posts.target_author, REPOST),
    }


def filled(posts: Posts) -> tuple[xfeed.PostStore, float]:
    """A store with all posts, and how many a second it took."""
    store = xfeed.PostStore(retention_ms=LONG_MS)
    took = 0.0
    for first in range(0, len(posts.post), BATCH):
        columns = columns_of(posts.where(slice(first, first + BATCH)))
        start = time.perf_counter()
        report = store.insert_many(**columns)
        took += time.perf_counter() - start
        assert report.counts == {"added": len(columns["post_id"])}, report
    return store, len(posts.post) / took


def protobuf_speed(posts: Posts) -> float:
    """Events a second from one buffer of protobuf messages."""
    parts: list[bytes] = []
    for row in range(min(N_MESSAGES, len(posts.post))):
        message = _core.encode_protobuf(json.dumps(event(posts, row)).encode())
        # The length is a varint; every message has less than 2^14 bytes.
        length = len(message)
        prefix = bytes([length]) if length < 128 else bytes([length & 127 | 128, length >> 7])
        parts += [prefix, message]
    buffer = b"".join(parts)
    speeds: list[float] = []
    for _ in range(ROUNDS):
        store = xfeed.PostStore(retention_ms=LONG_MS)
        start = time.perf_counter()
        report = store.insert_protobuf(buffer)
        speeds.append(len(parts) / 2 / (time.perf_counter() - start))
        assert report.counts == {"added": len(parts) // 2}, report
    return median(speeds)


def event(posts: Posts, row: int) -> dict[str, Any]:
    """One post as an event."""
    found: dict[str, Any] = {
        "type": "post",
        "at_ms": int(posts.created_ms[row]),
        "post_id": int(posts.post[row]),
        "author_id": int(posts.author[row]),
    }
    if posts.has_video[row]:
        found |= {"media_kind": "video", "media_duration_ms": VIDEO_MS}
    if posts.kind[row] == REPOST:
        found["repost_of_id"] = int(posts.target[row])
        found["repost_of_author_id"] = int(posts.target_author[row])
    elif posts.kind[row] == REPLY:
        found["reply_to_id"] = int(posts.target[row])
        found["reply_to_author_id"] = int(posts.target_author[row])
        found["root_id"] = int(posts.root[row])
        found["root_author_id"] = int(posts.root_author[row])
    return found


def python_rows(store: xfeed.PostStore, workload: Workload, posts: Posts) -> list[Row]:
    """Originals alone, so that all sides give the same answer."""
    others = peers(posts.where(posts.kind == ORIGINAL))
    rows: list[Row] = []
    for n_followed in FOLLOWED:
        viewers = [workload.following(viewer, n_followed) for viewer in range(N_VIEWERS)]
        ours = reads(originals_of(store), viewers, rounds=OUR_ROUNDS)
        for name, peer in others:
            for following in viewers:
                np.testing.assert_array_equal(originals_of(store)(following), peer(following))
            theirs = reads(peer, viewers, rounds=ROUNDS)
            what = f"read in Python, {n_followed:,} follows, {len(posts.post):,} posts, originals"
            rows.append(Row("thunder", what, ours, theirs, "µs", name))
    return rows


def originals_of(store: xfeed.PostStore) -> Callable[[Ids], Ids]:
    def read(following: Ids) -> Ids:
        return store.newest(following, now_ms=NOW_MS + SPAN_MS, max_secondary_per_author=0).post_id

    return read
