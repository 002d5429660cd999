"""The best posts in one total order."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from xfeed import _core

if TYPE_CHECKING:
    from xfeed._core import CandidateBatch
    from xfeed.mixer.board import ScoreBoard


class TopK:
    """Sorts by score descending, then id descending; what is not scored is never selected."""

    name: ClassVar[str] = "top_k"

    def select(
        self, candidates: CandidateBatch, board: ScoreBoard, limit: int
    ) -> tuple[list[int], list[int]]:
        """Positions on the board: the best `limit`, then all others."""
        posts = np.ascontiguousarray(candidates.post_id[board.rows])
        return _core.top_k(board.score, posts, limit)
