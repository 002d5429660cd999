"""Row-wise AdaGrad: the optimizer of embedding tables, which touches only the rows in use.

The arithmetic is in Rust. Nothing here needs torch, so tables can be trained without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from xfeed import _core
from xfeed.embedding_inputs import row_column
from xfeed.errors import ShapeError

if TYPE_CHECKING:
    import numpy.typing as npt

    from xfeed.embeddings import EmbeddingTable


class RowAdagrad:
    """Row-wise AdaGrad for one table.

    ``a = a * 2^(-d / half_life_steps) + mean(g^2)`` and ``row = row * exp(-d * weight_decay) -
    rate * g / (sqrt(a) + 1e-10)``, with one accumulator ``a`` per row. ``d`` is 1, or with
    `lazy_decay` the number of steps since the row was last touched. Row 0 is never changed. A
    bfloat16 table rounds the gradient, the faded row, the update and their difference. These are
    the rules of the August 2026 release; the forgetting lets rows of old posts learn quickly again.

    Args:
        table: an owned table of float32 or bfloat16.
        half_life_steps: steps after which an accumulator counts half; None for never.
        weight_decay: rate at which touched rows fade.
        lazy_decay: whether a touched row catches up on the steps that did not touch it.

    Raises:
        ConfigError: when the half-life is not positive or the weight decay is negative.
    """

    def __init__(
        self,
        table: EmbeddingTable,
        *,
        half_life_steps: float | None = None,
        weight_decay: float = 0.0,
        lazy_decay: bool = False,
    ) -> None:
        self.table = table
        self.n_steps = 0
        self.core = _core.RowAdagrad(
            table.n_rows,
            half_life_steps=half_life_steps,
            weight_decay=weight_decay,
            lazy_decay=lazy_decay,
        )

    def step(
        self,
        rows: npt.NDArray[np.integer],
        gradients: npt.NDArray[np.float32],
        *,
        rate: float,
    ) -> None:
        """Takes one step. The result does not depend on the number of threads.

        Args:
            rows: ``(n,)`` rows in any order, fastest when they ascend; gradients of the same row
                are added up.
            gradients: ``(n, width)``.
            rate: size of the step.

        Raises:
            ShapeError: when a shape does not fit, a row is outside the table, or a gradient is not
                finite (`not_finite`); nothing has changed then.
            ConfigError: when the table is mapped or of another dtype, or the rate does not lie in
                -1e6 to 1e6.
        """
        numbers = row_column(rows, self.table.n_rows)
        floats = np.ascontiguousarray(gradients, dtype=np.float32)
        expected = (len(numbers), self.table.width)
        if floats.shape != expected:
            raise ShapeError(
                f"`gradients` has the shape {floats.shape}, {expected} is needed",
                code="bad_shape",
                hint="pass one gradient of the table's width for each row",
            )
        if not (numbers[1:] > numbers[:-1]).all():
            numbers, place = np.unique(numbers, return_inverse=True)
            summed = np.zeros((len(numbers), self.table.width), dtype=np.float32)
            np.add.at(summed, place, floats)
            floats = summed
        self.core.step(self.table.core, numbers, floats, self.n_steps, float(rate))
        self.n_steps += 1
