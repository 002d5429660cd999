"""Phoenix: the probability of every action, for every candidate alone."""

from __future__ import annotations

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

    A repost is predicted as the post it shows, which is what the viewer will act on.
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
        board.predictions[:] = self._model.predict(
            _core.model_key(query.viewer),
            history,
            posts,
            post_columns(self._world.posts_of(shown)),
            self._surface,
            query.now_ms,
        )
