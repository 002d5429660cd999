"""Posts from outside the viewer's network count less."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from xfeed import _core
from xfeed.columns import is_secondary

if TYPE_CHECKING:
    from xfeed._core import CandidateBatch, Query
    from xfeed.mixer.board import ScoreBoard
    from xfeed.mixer.stages import Parts


class OutOfNetwork:
    """Multiplies by the preset's factor; replies and reposts in network may count so too."""

    name: ClassVar[str] = "out_of_network"

    def __init__(self, parts: Parts) -> None:
        self._factor = parts.preset.out_of_network_factor
        self._rescore_secondary = parts.preset.rescore_secondary

    def score(self, query: Query, candidates: CandidateBatch, board: ScoreBoard) -> None:  # noqa: ARG002
        """Multiplies the scores."""
        if not board.by_model:
            return
        board.multiply(
            self.name,
            _core.out_of_network(
                np.ascontiguousarray(candidates.in_network[board.rows]),
                is_secondary(candidates.kind[board.rows]),
                self._factor,
                self._rescore_secondary,
            ),
        )
