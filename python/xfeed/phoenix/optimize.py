"""Steps of training that both models share: initial values, schedule, one guarded step."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from xfeed.phoenix.config import TrainConfig
from xfeed.phoenix.tables import TrainingTables

FINAL_RATE = 0.1
"""Share of the step size left at the end of the linear decay."""

BETAS = (0.9, 0.98)
"""Memory of AdamW's two moments."""

ADAM_EPS = 1e-8

SMALL_TABLES = ("surface_table", "post_age_table", "hour_table", "media_table", "duration_table")
"""Parameters that are looked up rather than multiplied with."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a fit stands.

    Attributes:
        stage: "ranker", "retrieval", "ranker evaluation" or "retrieval evaluation"; the two
            models report side by side.
        step: steps done; samples while evaluating.
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


class FlatAdamW:
    """AdamW over all dense parameters at once.

    Parameters and gradients become views of two flat vectors, so a step is a handful of vector
    operations however many parameters there are. Update (Loshchilov & Hutter, 2019):
    ``m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g^2;
    p -= rate * (m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + eps) + decay * p)``.

    Args:
        model: its parameters are re-homed.
        weight_decay: decay of matrices; vectors do not decay.
    """

    def __init__(self, model: nn.Module, weight_decay: float) -> None:
        parameters = list(model.parameters())
        self.values = torch.cat([parameter.detach().reshape(-1) for parameter in parameters])
        self.gradient = torch.zeros_like(self.values)
        self.first = torch.zeros_like(self.values)
        self.second = torch.zeros_like(self.values)
        self.decay = torch.zeros_like(self.values)
        self.n_steps = 0
        start = 0
        for parameter in parameters:
            here = slice(start, start + parameter.numel())
            parameter.data = self.values[here].view(parameter.shape)
            parameter.grad = self.gradient[here].view(parameter.shape)
            if parameter.ndim >= 2:
                self.decay[here] = weight_decay
            start = here.stop

    def step(self, rate: float) -> None:
        """Takes one step with the gradients at hand."""
        self.n_steps += 1
        self.first.lerp_(self.gradient, 1 - BETAS[0])
        self.second.lerp_(self.gradient.square(), 1 - BETAS[1])
        first = self.first / (1 - BETAS[0] ** self.n_steps)
        second = self.second / (1 - BETAS[1] ** self.n_steps)
        self.values -= rate * (first / (second.sqrt() + ADAM_EPS) + self.decay * self.values)


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
        self.dense = FlatAdamW(model, config.weight_decay)

    def rate(self) -> float:
        """Share of the full step size: a linear rise, then a linear fall."""
        warmup = max(self.config.warmup_fraction * self.n_steps, 1.0)
        fall = 1 - (1 - FINAL_RATE) * self.n_done / self.n_steps
        return min(1.0, (self.n_done + 1) / warmup) * fall

    def step(self, loss: Tensor) -> None:
        """Takes one step, or skips and counts it if a gradient is not finite.

        The dense gradient is clipped to a global norm; that of the tables is not, since AdaGrad
        bounds its own steps.
        """
        gradient = self.dense.gradient.zero_()
        loss.backward()  # type: ignore[no-untyped-call]
        norm = float(gradient.norm())
        rate = self.rate()
        self.n_done += 1
        if not (math.isfinite(norm) and self.tables.gradients_are_finite()):
            self.n_skipped += 1
            self.tables.forget()
            return
        if norm > self.config.gradient_clip:
            gradient *= self.config.gradient_clip / norm
        self.dense.step(self.config.dense_lr * rate)
        self.tables.step(self.config.table_lr * rate)
