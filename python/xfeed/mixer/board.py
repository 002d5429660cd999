"""Where scorers write: one line per kept candidate, with every part of its score."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from xfeed.actions import ACTIONS

if TYPE_CHECKING:
    import numpy.typing as npt


@dataclass(slots=True)
class ScoreBoard:
    """Scores of ``n`` kept candidates and the parts they are made of.

    ``score = (sum of parts) * product of multipliers``; the parts are the products of predictions
    and weights plus everything in `addends`.

    Attributes:
        rows: their rows in the candidate batch, shape ``(n,)``.
        predictions: per action, shape ``(n, A)``; NaN where nothing was predicted.
        weights: weights that were used, shape ``(n, A)``.
        products: predictions times weights, shape ``(n, A)``.
        addends: further parts by name, each of shape ``(n,)``.
        multipliers: factors by name, in order, each of shape ``(n,)``.
        by_model: whether the scores come from predictions.
        score: what is sorted by, shape ``(n,)``; NaN for "not scored".
        deadline: moment of `time.monotonic` from which scorers leave off; None for none.
        shortfalls: scorers that left candidates out, by name, and why; named in the answer.
    """

    rows: npt.NDArray[np.int64]
    predictions: npt.NDArray[np.float64]
    weights: npt.NDArray[np.float64]
    products: npt.NDArray[np.float64]
    score: npt.NDArray[np.float64]
    by_model: bool = False
    addends: dict[str, npt.NDArray[np.float64]] = field(default_factory=dict)
    multipliers: dict[str, npt.NDArray[np.float64]] = field(default_factory=dict)
    deadline: float | None = None
    shortfalls: dict[str, str] = field(default_factory=dict)

    @classmethod
    def blank(cls, rows: npt.NDArray[np.int64], deadline: float | None = None) -> ScoreBoard:
        """A board on which nothing is predicted and nothing is scored."""
        shape = (len(rows), len(ACTIONS))
        return cls(
            rows=rows,
            predictions=np.full(shape, np.nan),
            weights=np.zeros(shape),
            products=np.zeros(shape),
            score=np.full(len(rows), np.nan),
            deadline=deadline,
        )

    @property
    def is_predicted(self) -> bool:
        """Whether a model has predicted anything."""
        return bool(np.isfinite(self.predictions).any())

    def multiply(self, name: str, factor: npt.NDArray[np.float64]) -> None:
        """Multiplies the scores and remembers the factor."""
        self.multipliers[name] = factor
        self.score = self.score * factor
