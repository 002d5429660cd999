"""Steps of training that both models share: initial values, schedule, one guarded step."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from xfeed.phoenix.config import TrainConfig
from xfeed.phoenix.tables import TrainingTables

FINAL_RATE = 0.1
"""Share of the step size left at the end of the linear decay."""

SMALL_TABLES = ("surface_table", "post_age_table", "hour_table", "media_table", "duration_table")
"""Parameters that are looked up rather than multiplied with."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a fit stands.

    Attributes:
        stage: "ranker", "retrieval" or "evaluation".
        step: steps done.
        n_steps: steps in all.
        loss: loss of the last step; None outside of training.
    """

    stage: str
    step: int
    n_steps: int
    loss: float | None


ProgressCallback = Callable[[Progress], None]


def initialise(model: nn.Module, generator: torch.Generator) -> None:
    """Fills matrices with N(0, 1 / fan-in); norms stay at one and biases at zero.

    Heads start ten times smaller, so that a fresh ranker predicts its biases.
    """
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim < 2:
                continue
            std = parameter.shape[0] ** -0.5
            if name.endswith(SMALL_TABLES):
                std = parameter.shape[1] ** -0.5
            if name.endswith(("action_heads", "continuous_heads")):
                std *= 0.1
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * std)


class Optimizer:
    """AdamW for the dense parameters, row-wise AdaGrad for the tables.

    Args:
        model: the dense parameters.
        tables: the tables.
        config: step sizes.
        n_steps: steps that the schedule spans.
    """

    def __init__(
        self, model: nn.Module, tables: TrainingTables, config: TrainConfig, n_steps: int
    ) -> None:
        self.config = config
        self.tables = tables
        self.n_steps = max(n_steps, 1)
        self.n_done = 0
        self.n_skipped = 0
        self.parameters = list(model.parameters())
        matrices = [parameter for parameter in self.parameters if parameter.ndim >= 2]
        vectors = [parameter for parameter in self.parameters if parameter.ndim < 2]
        self.dense = torch.optim.AdamW(
            [
                {"params": matrices, "weight_decay": config.weight_decay},
                {"params": vectors, "weight_decay": 0.0},
            ],
            lr=config.dense_lr,
            betas=(0.9, 0.98),
            fused=True,
        )

    def rate(self) -> float:
        """Share of the full step size: a linear rise, then a linear fall."""
        warmup = max(self.config.warmup_fraction * self.n_steps, 1.0)
        fall = 1 - (1 - FINAL_RATE) * self.n_done / self.n_steps
        return min(1.0, (self.n_done + 1) / warmup) * fall

    def step(self, loss: Tensor) -> None:
        """Takes one step, or skips and counts it if a gradient is not finite."""
        for parameter in self.parameters:
            parameter.grad = None
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self.parameters, self.config.gradient_clip)
        rate = self.rate()
        self.n_done += 1
        if not (bool(norm.isfinite()) and self.tables.gradients_are_finite()):
            self.n_skipped += 1
            self.tables.forget()
            return
        for group in self.dense.param_groups:
            group["lr"] = self.config.dense_lr * rate
        self.dense.step()
        self.tables.step(self.config.table_lr * rate)
