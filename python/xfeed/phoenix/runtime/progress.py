"""How far one request has been scored."""

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from xfeed.actions import ACTIONS
from xfeed.phoenix.runtime.requests import Candidates, RankRequest
from xfeed.phoenix.runtime.scores import ScoreCache

if TYPE_CHECKING:
    from xfeed.phoenix.model.ranker import RankerContext


class Progress:
    """A request, what is scored of it and what is left.

    Args:
        request: the request.
        purpose: what the context is for, see `KnownHistory.digest`.
        scores: kept predictions; None where none are kept.
    """

    def __init__(self, request: RankRequest, purpose: bytes, scores: ScoreCache | None) -> None:
        self.request = request
        self.key = request.history.digest(purpose)
        self.context: RankerContext | None = None
        self.out = np.full((len(request.candidates), len(ACTIONS)), np.nan, dtype=np.float32)
        self._scores = scores
        self._rows: npt.NDArray[np.int64] = np.arange(len(request.candidates))
        self._n_done = self._n_taken = 0
        if scores is not None:
            self._facts = request.candidates.facts()
            self._shared = request.candidates.shared_key(self.key)

    def look_up(self) -> None:
        """Takes what is known already."""
        if self._scores is not None:
            self._rows = self._scores.fill(self._shared, self._facts, self.out)

    @property
    def n_left(self) -> int:
        """Candidates that are not scored."""
        return len(self._rows) - self._n_done

    @property
    def goes_on(self) -> bool:
        """Whether there is something to score and time to do it."""
        return self.n_left > 0 and not self.request.is_late

    def part(self, length: int) -> Candidates:
        """The next candidates, at most `length`."""
        candidates = self.request.candidates
        self._n_taken = min(length, self.n_left)
        if self._n_taken == len(candidates):
            return candidates
        return candidates.take(self._rows[self._n_done : self._n_done + self._n_taken])

    def write(self, values: npt.NDArray[np.float32]) -> None:
        """Takes the predictions of the last part."""
        rows = self._rows[self._n_done : self._n_done + self._n_taken]
        self.out[rows] = values
        self._n_done += self._n_taken

    def keep(self) -> None:
        """Keeps what was scored for the next request."""
        if self._scores is not None and self._n_done:
            rows = self._rows[: self._n_done]
            self._scores.put(self._shared, self._facts[rows], self.out[rows])
