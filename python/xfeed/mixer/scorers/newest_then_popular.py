"""A feed without a model: the newest posts of followed accounts, then popular ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

if TYPE_CHECKING:
    from xfeed._core import CandidateBatch, Query
    from xfeed.mixer.board import ScoreBoard
    from xfeed.mixer.stages import Parts

MS_PER_HOUR = 3_600_000


class NewestThenPopular:
    """Scores only what no model has scored.

    In network: ``1 + 1 / (1 + age in hours)``, between 1 and 2, newest first. Others:
    ``e / (1 + e)`` for ``e`` positive actions, each viewer counted once per action: below 1, most
    popular first.
    """

    name: ClassVar[str] = "newest_then_popular"

    def __init__(self, parts: Parts) -> None:
        self._world = parts.world

    def score(self, query: Query, candidates: CandidateBatch, board: ScoreBoard) -> None:
        """Fills `board.score` when the model's scorers did not."""
        if board.by_model:
            return
        board.predictions[:] = np.nan  # Predictions that nothing could be made of explain nothing.
        in_network = candidates.in_network[board.rows] == 1
        age_ms = np.maximum(query.now_ms - candidates.created_ms[board.rows], 0)
        posts = np.ascontiguousarray(candidates.shown_post_id[board.rows])
        engagements = self._world.engagements(posts).astype(np.float64)
        freshness = 1 / (1 + age_ms / MS_PER_HOUR)
        popularity = engagements / (1 + engagements)
        board.addends["in_network"] = in_network.astype(np.float64)
        board.addends["freshness"] = np.where(in_network, freshness, 0.0)
        board.addends["popularity"] = np.where(in_network, 0.0, popularity)
        board.score = sum(board.addends.values(), start=np.zeros(len(board.rows)))
