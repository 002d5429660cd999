"""Row-wise AdaGrad: one accumulator per table row, and only touched rows move.

``acc = acc * 2^(-delta / half_life) + mean(g^2)`` and
``row = row * exp(-delta * decay) - rate * g / (sqrt(acc) + 1e-10)``, where delta is 1 or, if lazy,
the number of steps since the row was last touched. These are the rules of the August 2026
release; the forgetting lets rows of old posts learn quickly again.
"""

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from xfeed.errors import ConfigError

ADAGRAD_EPS: Final = 1e-10


@dataclass(frozen=True, slots=True)
class RowRule:
    """How rows forget.

    Attributes:
        half_life_steps: steps after which an accumulator has halved; None for never.
        lazy: whether forgetting counts the steps since the row was last touched, not one.
        weight_decay: decay per step.
    """

    half_life_steps: float | None = None
    lazy: bool = False
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        if self.half_life_steps is not None and self.half_life_steps <= 0:
            raise ConfigError(
                f"`half_life_steps` must be above 0, got `{self.half_life_steps}`",
                code="out_of_bounds",
                hint="leave it out to never forget",
            )


class RowAdagrad:
    """State of the optimizer of one table.

    Args:
        table: (n, W) float32 or bfloat16, changed in place; row 0 is padding and never moves.
        rule: how rows forget.
    """

    def __init__(self, table: Tensor, rule: RowRule | None = None) -> None:
        self.table = table
        self.rule = rule or RowRule()
        self.accumulators = torch.zeros(len(table))
        self.touched_at = torch.zeros(len(table), dtype=torch.int32) if self.rule.lazy else None
        self.n_steps = 0

    @torch.no_grad()
    def step(self, rows: Tensor, gradient: Tensor, rate: float) -> None:
        """Moves some rows.

        Args:
            rows: (U,) distinct rows.
            gradient: (U, W) their gradients; rounded to the precision of the table.
            rate: step size.
        """
        dtype = self.table.dtype
        delta: Tensor | None = None
        if self.touched_at is not None:
            delta = (self.n_steps - self.touched_at[rows]).float()
            self.touched_at[rows] = self.n_steps
        self.n_steps += 1
        g = gradient.to(dtype).float().masked_fill((rows == 0)[:, None], 0)
        accumulators = self.accumulators[rows]
        if self.rule.half_life_steps is not None:
            kept = 0.5 ** (1 / self.rule.half_life_steps)
            accumulators = accumulators * (kept if delta is None else kept**delta)
        accumulators = accumulators + g.square().mean(-1)
        self.accumulators[rows] = accumulators
        update = g * (rate / (accumulators.sqrt() + ADAGRAD_EPS))[:, None]
        values = self.table[rows]
        if self.rule.weight_decay:
            decay = torch.exp(
                -self.rule.weight_decay * (delta if delta is not None else torch.ones(len(rows)))
            )
            decay = decay.masked_fill(rows == 0, 1)
            values = (values.float() * decay[:, None]).to(dtype)
        self.table[rows] = values - update.to(dtype)
