"""The scorers once more, in plain float64 numpy and Python, to compare the engine with.

Written from the formulas alone: the offset step, the exceptions of single weights, and the
multipliers of author diversity and of the network.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from xfeed.actions import ACTIONS, INDEX
from xfeed.presets import Preset

Floats = npt.NDArray[np.float64]


class Post(NamedTuple):
    """What the exceptions depend on; durations are -1 where there is no video."""

    in_network: int
    mutual_original: bool
    video_ms: int
    quoted_video_ms: int


def weights_of(preset: Preset, post: Post, followers: int | None, favorite: float) -> Floats:
    """Weights that hold for one post."""
    weights = preset.weight_array()
    if post.mutual_original:
        weights[INDEX["reply"]] += preset.mutual_reply_boost
        weights[INDEX["dwell"]] += preset.mutual_dwell_boost
    few = followers is None or followers < preset.max_video_viewer_followers
    if not (few and post.video_ms > preset.min_video_ms):
        weights[INDEX["video_quality_view"]] = 0.0
    if preset.check_quoted_duration and post.quoted_video_ms <= preset.min_video_ms:
        weights[INDEX["quoted_video_quality_view"]] = 0.0
    if post.in_network != 1:
        weights[INDEX["post_unexplored"]] = 0.0
    if preset.low_favorite_penalty and not np.isnan(favorite):
        weights[INDEX["click_dwell_time"]] *= min(max((favorite / 0.01) ** 0.5, 0.01), 1.0)
    return weights


def weighted_sum(
    preset: Preset, predictions: Floats, posts: Sequence[Post], followers: int | None
) -> tuple[Floats, Floats]:
    """Scores and nets of predictions of shape `(n, actions)`; NaN = not predicted."""
    discrete = np.array([action.kind == "discrete" for action in ACTIONS])
    positive = np.array([action.sign == "positive" for action in ACTIONS])
    base = preset.weight_array()
    above, below = base[discrete & positive].sum(), -base[discrete & ~positive].sum()
    nets = np.zeros(len(posts))
    for row, post in enumerate(posts):
        weights = weights_of(preset, post, followers, predictions[row, INDEX["favorite"]])
        known = np.where(np.isfinite(predictions[row]), predictions[row], 0.0)
        nets[row] = float(known @ weights)
    total = above + below
    if total == 0.0:
        return np.maximum(nets, 0.0), nets
    low = (nets + below) / total * preset.offset
    return np.where(nets < 0.0, low, nets + preset.offset), nets


def best_first(scores: Floats, posts: npt.NDArray[np.uint64]) -> list[int]:
    """Rows by score, then by id, both descending; what is not finite last."""
    keys = [
        (float(score) if np.isfinite(score) else -np.inf, int(post))
        for score, post in zip(scores, posts, strict=True)
    ]
    return sorted(range(len(keys)), key=keys.__getitem__, reverse=True)


def author_diversity(
    scores: Floats,
    posts: npt.NDArray[np.uint64],
    authors: Sequence[int | None],
    decay: float,
    floor: float,
) -> Floats:
    """Multiplier per row: `(1 - floor) * decay^k + floor`, k = better rows of the author."""
    rank = {row: place for place, row in enumerate(best_first(scores, posts))}
    multipliers = np.ones(len(scores))
    for row, author in enumerate(authors):
        if author is None or not np.isfinite(scores[row]):
            continue
        k = sum(
            other_author == author and np.isfinite(scores[other]) and rank[other] < rank[row]
            for other, other_author in enumerate(authors)
        )
        multipliers[row] = (1.0 - floor) * decay**k + floor
    return multipliers
