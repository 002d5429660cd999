"""Optimizers of the dense parameters: AdamW over flat vectors, and Muon for the matrices.

AdamW scales each number by its own history. Muon (Jordan, 2024) instead turns the momentum of a
whole matrix into the nearest orthogonal one, so that all directions move alike. Vectors and
looked-up tables have no directions to even out; they stay with AdamW.

Torch has a Muon too, but not this one: the released models correct the momentum's bias before
the Nesterov mix, scale by the larger side of a block and not of the fused matrix, and choose the
precision of the iteration. Momentum, decay and multipliers are ours here, so that the numbers of
the released optimizer come out.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn

BETAS: Final = (0.9, 0.98)
"""Memory of AdamW's two moments in our profile."""

PUBLISHED_BETAS: Final = (0.95, 0.98)
"""The same in the release of August 2026."""

ADAM_EPS: Final = 1e-8

NEWTON_SCHULZ: Final = (3.4445, -4.7750, 2.0315)
"""Coefficients of the quintic iteration (Jordan, 2024)."""

N_ITERATIONS: Final = 5

NORM_EPS: Final = 1e-8

MUON_SCALE: Final = 0.2
"""Root mean square of a Muon update, about that of an AdamW update (Liu et al., 2025)."""

NOT_MATRICES: Final = ("embed", "_emb", "logits", "vocab", "norm", "table", "heads", "bias")
"""Parts of names of what is no matrix to Muon: looked up, or read by the loss directly."""


class FlatAdamW:
    """AdamW over many parameters at once.

    Parameters and gradients become views of two flat vectors, so a step is a handful of vector
    operations however many parameters there are. Update (Loshchilov & Hutter, 2019):
    ``m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g^2;
    p -= rate * multiplier * (m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + eps) + decay * p)``.

    Args:
        parameters: by name; they are re-homed.
        weight_decay: decay of the parameters that `decays` chooses.
        decays: says by name and value whether a parameter decays; matrices do if it is left out.
        betas: memory of the two moments.
        multipliers: factor of the step size by name; 1 for the others.
        first_moment: precision in which the first moment is kept.
    """

    def __init__(
        self,
        parameters: Mapping[str, nn.Parameter],
        weight_decay: float,
        *,
        decays: Callable[[str, Tensor], bool] | None = None,
        betas: tuple[float, float] = BETAS,
        multipliers: Mapping[str, float] | None = None,
        first_moment: torch.dtype = torch.float32,
    ) -> None:
        flat = [one.detach().reshape(-1) for one in parameters.values()]
        self.values = torch.cat(flat) if flat else torch.zeros(0)
        self.gradient = torch.zeros_like(self.values)
        self.first = torch.zeros_like(self.values, dtype=first_moment)
        self.second = torch.zeros_like(self.values)
        self.decay = torch.zeros_like(self.values)
        self.multiplier: Tensor | None = None
        if multipliers:
            self.multiplier = torch.ones_like(self.values)
        self.betas = betas
        self.n_steps = 0
        start = 0
        for name, parameter in parameters.items():
            here = slice(start, start + parameter.numel())
            parameter.data = self.values[here].view(parameter.shape)
            parameter.grad = self.gradient[here].view(parameter.shape)
            if parameter.ndim >= 2 if decays is None else decays(name, parameter):
                self.decay[here] = weight_decay
            if self.multiplier is not None and multipliers is not None:
                self.multiplier[here] = multipliers.get(name, 1.0)
            start = here.stop

    def step(self, rate: float) -> None:
        """Takes one step with the gradients at hand."""
        self.n_steps += 1
        b1, b2 = self.betas
        first = self.first.to(self.values.dtype).lerp_(self.gradient, 1 - b1)
        self.first.copy_(first)
        self.second.lerp_(self.gradient.square(), 1 - b2)
        second = self.second / (1 - b2**self.n_steps)
        update = first / (1 - b1**self.n_steps) / (second.sqrt() + ADAM_EPS)
        update += self.decay * self.values
        if self.multiplier is not None:
            update *= self.multiplier
        self.values -= rate * update


@dataclass(frozen=True, slots=True)
class MuonSettings:
    """Choices of Muon.

    Attributes:
        momentum: memory of the momentum.
        weight_decay: decay of the matrices.
        scale: root mean square of an update.
        dtype: precision of the iteration; bfloat16 also keeps the momentum so.
    """

    momentum: float = 0.95
    weight_decay: float = 0.01
    scale: float = MUON_SCALE
    dtype: torch.dtype = torch.float32


class Muon:
    """Orthogonal momentum steps of matrices.

    ``m = b m + (1 - b) g``, the Nesterov mix ``b m / (1 - b^(t+1)) + (1 - b) g / (1 - b^t)``, made
    orthogonal block by block, times ``scale * sqrt(max(rows, columns))`` of the block, plus
    ``decay * p``.

    Args:
        parameters: matrices by name.
        settings: choices.
        columns: says by name how many columns a block has; None or 0 for the whole matrix. A
            projection to several heads is one block per head.
        multipliers: factor of the step size by name; 1 for the others.
    """

    def __init__(
        self,
        parameters: Mapping[str, nn.Parameter],
        settings: MuonSettings,
        *,
        columns: Callable[[str], int | None] | None = None,
        multipliers: Mapping[str, float] | None = None,
    ) -> None:
        self.parameters = dict(parameters)
        self.settings = settings
        self.columns = {name: (columns(name) if columns else None) for name in self.parameters}
        self.multipliers = dict(multipliers or {})
        self.momentum = {
            name: torch.zeros_like(one, dtype=settings.dtype)
            for name, one in self.parameters.items()
        }
        self.n_steps = 0
        for one in self.parameters.values():
            one.grad = torch.zeros_like(one)

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """Takes one step with the gradients at hand."""
        self.n_steps += 1
        b = self.settings.momentum
        before, now = 1 - b ** (self.n_steps + 1), 1 - b**self.n_steps
        for name, parameter in self.parameters.items():
            gradient = parameter.grad
            assert gradient is not None
            kept = self.momentum[name]
            momentum = kept.to(gradient.dtype).lerp_(gradient, 1 - b)
            kept.copy_(momentum)
            mixed = momentum * (b / before) + gradient * ((1 - b) / now)
            update = self._orthogonal(mixed, self.columns[name] or mixed.shape[1])
            update += self.settings.weight_decay * parameter
            parameter.sub_(update, alpha=rate * self.multipliers.get(name, 1.0))

    def _orthogonal(self, mixed: Tensor, columns: int) -> Tensor:
        """Scaled orthogonal update (rows, n * columns), block by block."""
        rows = mixed.shape[0]
        blocks = mixed.view(rows, -1, columns).transpose(0, 1)  # (n, rows, columns)
        scale = self.settings.scale * max(rows, columns) ** 0.5
        turned = orthogonal(blocks, self.settings.dtype) * scale
        update: Tensor = turned.transpose(0, 1).reshape(mixed.shape).to(mixed.dtype)
        return update


def orthogonal(blocks: Tensor, dtype: torch.dtype) -> Tensor:
    """Nearest orthogonal matrices, roughly: five steps of a Newton-Schulz iteration.

    ``x = a x + (b x x' + c (x x')^2) x`` from ``x / |x|``; singular values end between about 0.7
    and 1.2, which is near enough for a step.

    Args:
        blocks: (..., m, n).
        dtype: precision of the iteration; bfloat16 moves single numbers by a few hundredths.
    """
    a, b, c = NEWTON_SCHULZ
    x: Tensor = blocks.to(dtype)
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + NORM_EPS)
    is_tall = x.shape[-2] > x.shape[-1]
    x = x.mT if is_tall else x
    for _ in range(N_ITERATIONS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * (gram @ gram)) @ x
    return x.mT if is_tall else x


def is_matrix(name: str, parameter: Tensor) -> bool:
    """Whether Muon takes a parameter (published rule, with our names of tables and heads)."""
    return parameter.ndim == 2 and not any(part in name for part in NOT_MATRICES)


def decays_beside_muon(name: str, _: Tensor) -> bool:
    """Which of AdamW's parameters decay when Muon has the matrices: looked-up ones."""
    return any(part in name for part in ("embed", "_emb", "_table", "heads"))


@torch.no_grad()
def clip_global_norm(gradients: list[Tensor], limit: float) -> float:
    """Scales gradients down so that all together have at most a norm of `limit`.

    Returns:
        The norm before; not finite if a gradient is not, and then nothing is scaled.
    """
    norm = float(torch.stack([one.norm() for one in gradients]).norm()) if gradients else 0.0
    if limit < norm < float("inf"):
        for one in gradients:
            one.mul_(limit / norm)
    return norm
