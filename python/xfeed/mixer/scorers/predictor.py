"""Phoenix: the probability of every action, for every candidate alone."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from xfeed import _core
from xfeed.columns import post_columns, viewer_history

if TYPE_CHECKING:
    from xfeed._core import CandidateBatch, Query
    from xfeed.mixer.board import ScoreBoard
    from xfeed.mixer.stages import Parts


class Predictor:
    """Writes predictions; without a model it writes none.

    A repost is predicted as the post it shows, which is what the viewer will act on. When the
    request has a deadline, candidates are predicted in the order of their sources until it
    passes. The others are left off the page, because a guess without the model is no number that
    could stand between theirs, and the answer says how many; if the deadline leaves all of them,
    the page is made as without a model.
    """

    name: ClassVar[str] = "predictor"

    def __init__(self, parts: Parts) -> None:
        self._world = parts.world
        self._model = parts.model
        self._surface = parts.config.surface

    def score(self, query: Query, candidates: CandidateBatch, board: ScoreBoard) -> None:
        """Fills `board.predictions`."""
        if self._model is None or not len(board.rows):
            return
        history, posts = viewer_history(self._world, query.viewer, query.now_ms)
        shown = np.ascontiguousarray(candidates.shown_post_id[board.rows])
        # A model without a deadline parameter serves as long as no deadline is set.
        limits = {} if board.deadline is None else {"deadline": board.deadline}
        board.predictions[:] = self._model.predict(
            _core.model_key(query.viewer),
            history,
            posts,
            post_columns(self._world.posts_of(shown)),
            self._surface,
            query.now_ms,
            **limits,
        )
        if board.deadline is None or time.monotonic() < board.deadline:
            return
        n_left = int((~np.isfinite(board.predictions).any(axis=1)).sum())
        if n_left:
            n = len(board.rows)
            board.shortfalls[self.name] = f"the deadline left {n_left} of {n} candidates unscored"
