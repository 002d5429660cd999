"""Predictions times weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from xfeed.columns import VIDEO, is_secondary

if TYPE_CHECKING:
    from xfeed._core import CandidateBatch, Query
    from xfeed.mixer.board import ScoreBoard
    from xfeed.mixer.stages import Parts


class WeightedSum:
    """Sums weighted predictions and moves disliked posts below all others (Rust).

    The step from the sum to the score is kept as the part ``offset``. A candidate for which nothing
    was predicted is not scored.
    """

    name: ClassVar[str] = "weighted_sum"

    def __init__(self, parts: Parts) -> None:
        self._weighted = parts.preset.weighted_sum(parts.config.scoring.weights)

    def score(self, query: Query, candidates: CandidateBatch, board: ScoreBoard) -> None:
        """Fills `board.score` where there are predictions."""
        if not board.is_predicted:
            return
        rows = board.rows
        is_video = candidates.media_kind[rows] == VIDEO
        score, net, products, weights = self._weighted.score(
            board.predictions,
            np.ascontiguousarray(candidates.in_network[rows]),
            candidates.mutual_follow[rows] & ~is_secondary(candidates.kind[rows]),
            np.where(is_video, candidates.media_duration_ms[rows], -1),
            np.full(len(rows), -1, dtype=np.int64),
            query.follower_count,
        )
        predicted = np.isfinite(board.predictions).any(axis=1)
        board.score = np.where(predicted, score, np.nan)
        board.products = products
        board.weights = weights
        board.addends["offset"] = score - net
        board.by_model = True
