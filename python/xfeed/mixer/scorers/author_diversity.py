"""Each further post of one author counts less."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from xfeed import _core

if TYPE_CHECKING:
    from xfeed._core import CandidateBatch, Query
    from xfeed.mixer.board import ScoreBoard
    from xfeed.mixer.stages import Parts


class AuthorDiversity:
    """Multiplies by ``(1 - floor) * decay^k + floor`` for the k-th further post of an author.

    Counts the author of what is shown: the original author of a repost. The order without a model
    is by time and stays as it is.
    """

    name: ClassVar[str] = "author_diversity"

    def __init__(self, parts: Parts) -> None:
        self._decay = parts.preset.author_diversity_decay
        self._floor = parts.preset.author_diversity_floor

    def score(self, query: Query, candidates: CandidateBatch, board: ScoreBoard) -> None:  # noqa: ARG002
        """Multiplies the scores."""
        if not board.by_model:
            return
        authors = [candidates.shown_author(int(row)) for row in board.rows]
        board.multiply(
            self.name,
            _core.author_diversity(
                board.score,
                np.ascontiguousarray(candidates.post_id[board.rows]),
                np.array([author or 0 for author in authors], dtype=np.uint64),
                np.array([author is not None for author in authors], dtype=np.bool_),
                self._decay,
                self._floor,
            ),
        )
