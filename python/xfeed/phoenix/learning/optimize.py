"""Steps of training that both models share: initial values, schedule, one guarded step."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from xfeed.phoenix.config import PhoenixConfig, TrainConfig
from xfeed.phoenix.learning.dense_steps import (
    FlatAdamW,
    Muon,
    MuonSettings,
    clip_global_norm,
    decays_beside_muon,
    is_matrix,
)
from xfeed.phoenix.learning.tables import TrainingTables

FINAL_RATE = 0.1
"""Share of the step size left at the end of the linear decay."""

LOOKED_UP = "_table"
"""How the names of parameters end that are looked up rather than multiplied with."""


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
        # by name, so that the order in which a model declares them does not change anything
        for name, parameter in sorted(model.named_parameters()):
            if parameter.ndim < 2:
                continue
            std = parameter.shape[0] ** -0.5
            if name.endswith(LOOKED_UP):
                std = parameter.shape[1] ** -0.5
            if name.endswith(("action_heads", "continuous_heads")):
                std *= 0.1
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * std)


class Optimizer:
    """The dense parameters by AdamW or Muon, the tables by row-wise AdaGrad.

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
        parameters = dict(model.named_parameters())
        matrices: dict[str, nn.Parameter] = {}
        self.muon: Muon | None = None
        if config.optimizer == "muon":
            matrices = {name: one for name, one in parameters.items() if is_matrix(name, one)}
            settings = MuonSettings(weight_decay=config.weight_decay)
            self.muon = Muon(matrices, settings, columns=lambda name: _head_columns(model, name))
        rest = {name: one for name, one in parameters.items() if name not in matrices}
        self.dense = FlatAdamW(
            rest, config.weight_decay, decays=decays_beside_muon if self.muon else None
        )
        self.gradients = [self.dense.gradient]
        self.gradients += [one.grad for one in matrices.values() if one.grad is not None]

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
        for gradient in self.gradients:
            gradient.zero_()
        loss.backward()  # type: ignore[no-untyped-call]
        norm = clip_global_norm(self.gradients, self.config.gradient_clip)
        rate = self.rate()
        self.n_done += 1
        if not (math.isfinite(norm) and self.tables.gradients_are_usable()):
            self.n_skipped += 1
            self.tables.forget()
            return
        self.dense.step(self.config.dense_lr * rate)
        if self.muon is not None:
            self.muon.step(self.config.dense_lr * rate)
        self.tables.step(self.config.table_lr * rate)


def _head_columns(model: nn.Module, name: str) -> int | None:
    """Columns of one head in a projection to several heads; None for other matrices."""
    owner, _, last = name.rpartition(".")
    if last not in ("query", "key", "value"):
        return None
    config = getattr(model.get_submodule(owner), "config", None)
    return config.key_size if isinstance(config, PhoenixConfig) else None
