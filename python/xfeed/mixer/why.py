"""Why a post has its score: parts that sum up, then factors."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from xfeed.actions import ACTIONS

if TYPE_CHECKING:
    from xfeed.mixer.board import ScoreBoard


@dataclass(frozen=True, slots=True)
class Part:
    """One summand of a score.

    Attributes:
        name: an action, or the name of another summand such as ``offset``.
        prediction: predicted probability (or seconds); None for summands that are not predicted.
        weight: what one unit of it counts; None likewise.
        product: what it adds to the score.
    """

    name: str
    prediction: float | None
    weight: float | None
    product: float


@dataclass(frozen=True, slots=True)
class Why:
    """The whole sum: ``score = sum(part.product) * product of multipliers``.

    Attributes:
        parts: summands, those of actions in the order of the action table.
        multipliers: factors by name, in the order in which they were applied.
        score: the result.
        missing: actions that have a weight but were not predicted; they add nothing.
    """

    parts: tuple[Part, ...]
    multipliers: dict[str, float]
    score: float
    missing: tuple[str, ...] = ()

    @classmethod
    def of(cls, board: ScoreBoard, line: int) -> Why:
        """Reads one line of a board."""
        parts = [
            Part(
                action.name,
                float(board.predictions[line, row]),
                float(board.weights[line, row]),
                float(board.products[line, row]),
            )
            for row, action in enumerate(ACTIONS)
            if math.isfinite(board.predictions[line, row])
        ]
        parts += [Part(name, None, None, float(v[line])) for name, v in board.addends.items()]
        multipliers = {name: float(v[line]) for name, v in board.multipliers.items()}
        missing = tuple(
            action.name
            for row, action in enumerate(ACTIONS)
            if board.by_model
            and board.weights[line, row] != 0
            and not math.isfinite(board.predictions[line, row])
        )
        return cls(tuple(parts), multipliers, float(board.score[line]), missing)

    @property
    def total(self) -> float:
        """The sum before the factors."""
        return math.fsum(part.product for part in self.parts)

    def main_parts(self, limit: int = 3) -> list[Part]:
        """The parts that moved the score most."""
        moved = [part for part in self.parts if part.product != 0]
        return sorted(moved, key=lambda part: (-abs(part.product), part.name))[:limit]

    def to_dict(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        return {
            "parts": [
                {
                    "name": part.name,
                    "prediction": part.prediction,
                    "weight": part.weight,
                    "product": part.product,
                }
                for part in self.parts
            ],
            "multipliers": self.multipliers,
            "score": self.score,
            "missing": list(self.missing),
        }

    def __str__(self) -> str:
        lines = [
            f"{part.name:<28} {part.prediction:>10.6f} x {part.weight:>9.4f} = "
            f"{part.product:>+11.6f}"
            if part.prediction is not None
            else f"{part.name:<28} {'':>10}   {'':>9}   {part.product:>+11.6f}"
            for part in self.parts
            if part.product != 0
        ]
        lines.append(f"{'sum':<28} {'':>10}   {'':>9} = {self.total:>+11.6f}")
        lines += [
            f"x {name:<26} {'':>10}   {'':>9}   {value:>11.6f}"
            for name, value in self.multipliers.items()
        ]
        lines.append(f"{'score':<28} {'':>10}   {'':>9} = {self.score:>+11.6f}")
        if self.missing:
            lines.append(f"not predicted: {', '.join(self.missing)}")
        return "\n".join(lines)
