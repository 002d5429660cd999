"""Small deterministic worlds for the tests of the models."""

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from xfeed.actions import INDEX
from xfeed.phoenix.batch import InteractionColumns, PostColumns
from xfeed.phoenix.config import PhoenixConfig, TrainConfig
from xfeed.phoenix.hashes import author_hash, item_hash, language_hash, topic_hash, user_hash
from xfeed.phoenix.learning.optimize import Progress
from xfeed.phoenix.learning.train import FitReport, fit

START_MS = 1_700_000_000_000
HOUR_MS = 3_600_000


class World(NamedTuple):
    posts: PostColumns
    interactions: InteractionColumns


def small_config(**changes: Any) -> PhoenixConfig:
    """The trained profile, as small as it gets."""
    sizes: dict[str, Any] = {
        "emb_size": 16,
        "table_width": 8,
        "n_query_heads": 2,
        "n_kv_heads": 1,
        "key_size": 8,
        "history_len": 6,
        "dwell_hidden": 8,
        "user": user_hash(257),
        "item": item_hash(509),
        "author": author_hash(127),
        "language": language_hash(17),
        "topic": topic_hash(61),
    }
    return replace(PhoenixConfig.demo(), **(sizes | changes))


def make_posts(n_posts: int, rng: np.random.Generator) -> PostColumns:
    """Posts of 12 authors on 4 topics; an author keeps to one topic."""
    author = rng.integers(1, 13, n_posts)
    posts = PostColumns.zeros(n_posts)
    posts.post_key[:] = 2**63 + np.arange(n_posts, dtype=np.uint64)
    posts.author_key[:] = author
    posts.created_ms[:] = START_MS - rng.integers(0, 30 * HOUR_MS, n_posts)
    posts.media_kind[:] = rng.integers(0, 5, n_posts)
    posts.duration_ms[:] = np.where(posts.media_kind == 2, 9_000, 0)
    posts.language_key[:] = 5
    posts.topic_keys[:, 0] = author % 4 + 1
    return posts


def make_world(n_posts: int = 80, n_rows: int = 1_200, seed: int = 0) -> World:
    """Viewers 1..40 who like one topic each."""
    rng = np.random.default_rng(seed)
    posts = make_posts(n_posts, rng)
    viewer = rng.integers(1, 41, n_rows).astype(np.uint64)
    post = rng.integers(0, n_posts, n_rows).astype(np.int32)
    at_ms = START_MS + rng.integers(0, 100 * HOUR_MS, n_rows)
    liked = posts.topic_keys[post, 0] == viewer % np.uint64(4) + np.uint64(1)
    acted = rng.random(n_rows) < np.where(liked, 0.7, 0.1)
    order = np.lexsort((posts.post_key[post], at_ms, viewer))
    rows = InteractionColumns.zeros(n_rows)
    rows.viewer_key[:] = viewer[order]
    rows.post_row[:] = post[order]
    rows.at_ms[:] = at_ms[order]
    rows.surface[:] = rng.integers(0, 3, n_rows)
    rows.actions[:] = np.where(acted, np.uint64(1 << INDEX["favorite"]), np.uint64(0))[order]
    rows.dwell_secs[:] = np.where(acted, 12.0, 1.0)[order]
    rows.acted_ms[:] = np.where(rows.actions != 0, rows.at_ms + 5_000, 0)
    rows.is_impression[:] = rng.random(n_rows) < 0.95
    return World(posts, rows)


def small_fit(
    out_dir: Path,
    world: World,
    train: TrainConfig | None = None,
    config: PhoenixConfig | None = None,
) -> FitReport:
    """Fits the small world."""

    def ignore(_: Progress) -> None:
        pass

    train = train or TrainConfig(
        batch_size=32, retrieval_batch_size=32, retrieval_negatives=16, ranker_epochs=3
    )
    return fit(
        world.posts, world.interactions, config or small_config(), train, ignore, out_dir,
        log_offset=77,
    )  # fmt: skip
