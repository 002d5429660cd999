"""What the ranker is trained on: errors of every head, weighed per candidate.

Formulas are those of the August 2026 release. Shapes: B samples, C candidates, A discrete heads.
A candidate counts with its weight; a padded one does not count. Negatives are candidates that
were taken from another viewer's sample: nobody knows what this viewer would have done, so only
"did not dwell" is claimed of them, and what is bad about a post is not learned from them.
"""

from dataclasses import dataclass
from typing import Final, Literal

import torch
from torch import Tensor
from torch.nn import functional

from xfeed.phoenix.input_config import DwellHead
from xfeed.phoenix.model.heads import for_surfaces

WEIGHT_EPS: Final = 1e-10
"""Added to the sum of the weights that the discrete loss is divided by."""

TWEEDIE_FLOOR: Final = 1e-6
"""Least prediction in a Tweedie deviance."""

ACTIVATION_WEIGHT: Final = 5e-7
"""Published weight of the activation penalty."""

NEGATIVE_FEEDBACK: Final = (16, 17, 19, 23, 25, 27, 42, 52)
"""Published numbers of the actions that sampled negatives do not train (those below 64)."""

LossKind = Literal["mae", "mse", "huber", "tweedie"]


@dataclass(frozen=True, slots=True)
class DwellLoss:
    """How the seconds of one head are learned.

    Attributes:
        kind: absolute, squared or Huber (bend at 1) error of the share of the scale, or Tweedie
            deviance of the seconds.
        weight: factor in the sum of all losses.
        tweedie_power: p of the deviance; 1 is Poisson's, 2 is Gamma's.
        keep_negatives: whether sampled negatives count.
    """

    kind: LossKind = "mae"
    weight: float = 0.1
    tweedie_power: float = 1.5
    keep_negatives: bool = False


def log_q_weights(first_row: Tensor, negative: Tensor, n_bins: int) -> Tensor:
    """Weights that undo how often a post is drawn as a negative: ``1 / count``.

    Counted are the sampled negatives of the batch that share ``first_row mod n_bins``.

    Args:
        first_row: (B, C) table row of the post's first hash, 0 for padding.
        negative: (B, C) sampled negatives.
        n_bins: bins of the count.

    Returns:
        (B, C) in (0, 1]; candidates that were really shown weigh 1.
    """
    bins = (first_row % n_bins).reshape(-1)
    _, place = torch.unique(bins, return_inverse=True)
    counted = negative.reshape(-1).to(torch.float32)
    counts = torch.zeros_like(counted).scatter_add_(0, place, counted)[place]
    weights = 1 / counts.clamp_min(1)
    return torch.where(negative.reshape(-1), weights, 1.0).view(first_row.shape)


def feedback_mask(negative: Tensor, heads: tuple[int, ...], n_heads: int) -> Tensor:
    """Loss mask (B, C, A) that leaves some heads out on sampled negatives.

    Args:
        negative: (B, C).
        heads: what is left out.
        n_heads: A.
    """
    left_out = torch.zeros(n_heads, dtype=torch.bool, device=negative.device)
    left_out[list(heads)] = True
    return (~(negative[..., None] & left_out)).float()


def discrete_loss(
    logits: Tensor,
    labels: Tensor,
    valid: Tensor,
    *,
    loss_mask: Tensor | None = None,
    weights: Tensor | None = None,
) -> Tensor:
    """Binary cross-entropy summed over heads, averaged over candidates by weight.

    ``sum(valid * weight * sum_a(mask * bce)) / (sum(valid * weight) + 1e-10)``

    Args:
        logits: (B, C, A).
        labels: (B, C, A) of the same dtype.
        valid: (B, C).
        loss_mask: (B, C, A) factor of each error, or None.
        weights: (B, C), or None for 1.
    """
    errors = functional.binary_cross_entropy_with_logits(logits, labels, reduction="none")
    if loss_mask is not None:
        errors = errors * loss_mask
    counted = _counted(valid, weights, logits.dtype)
    return (errors.sum(-1) * counted).sum() / (counted.sum() + WEIGHT_EPS)


def dwell_errors(prediction: Tensor, secs: Tensor, loss: DwellLoss, head: DwellHead) -> Tensor:
    """Error of each candidate's seconds, before anything is masked or weighed.

    Args:
        prediction: (B, C) activated head: a share of the scale, or seconds for Tweedie.
        secs: (B, C) seconds that were spent; clipped to [0, scale].
        loss: how to measure.
        head: the scale.
    """
    clipped = secs.clamp(0, head.scale_secs)
    if loss.kind == "tweedie":
        return tweedie_deviance(prediction, clipped, loss.tweedie_power)
    error = prediction - clipped / head.scale_secs
    if loss.kind == "mae":
        return error.abs()
    if loss.kind == "mse":
        return error.square()
    return functional.huber_loss(error, torch.zeros_like(error), reduction="none")


def tweedie_deviance(prediction: Tensor, target: Tensor, power: float) -> Tensor:
    """Half the Tweedie deviance without the part that the prediction does not change.

    ``-y p^(1 - q) / (1 - q) + p^(2 - q) / (2 - q)``; ``p - y log p`` at q = 1 and
    ``y / p + log p`` at q = 2. Predictions are kept above 1e-6.
    """
    p = prediction.clamp_min(TWEEDIE_FLOOR)
    if power == 1:
        return p - target * p.log()
    if power == 2:
        return target / p + p.log()
    return p ** (2 - power) / (2 - power) - target * p ** (1 - power) / (1 - power)


def dwell_loss(
    prediction: Tensor,
    secs: Tensor,
    valid: Tensor,
    loss: DwellLoss,
    head: DwellHead,
    *,
    negative: Tensor | None = None,
    surface: Tensor | None = None,
    weights: Tensor | None = None,
) -> Tensor:
    """Mean error of the seconds over the candidates that the loss is for; not yet weighed.

    ``sum(counted * error) / max(sum(counted), 1)``

    Args:
        prediction: (B, C) activated head.
        secs: (B, C) seconds that were spent.
        valid: (B, C).
        loss: how to measure.
        head: the scale, and the surfaces that the loss is for.
        negative: (B, C) sampled negatives, or None for none.
        surface: (B, C), or None to count every surface.
        weights: (B, C), or None for 1.
    """
    counted = _counted(valid, weights, prediction.dtype)
    if negative is not None and not loss.keep_negatives:
        counted = counted.masked_fill(negative, 0)
    if surface is not None:
        counted = counted.masked_fill(~for_surfaces(head, surface), 0)
    errors = dwell_errors(prediction, secs, loss, head)
    # a masked error may be infinite, and 0 times infinity is not 0
    errors = errors.masked_fill(counted == 0, 0)
    return (errors * counted).sum() / counted.sum().clamp_min(1)


def activation_penalty(hidden: Tensor, valid: Tensor, n_positions: int | None = None) -> Tensor:
    """Mean square of the last layer's output, 0 at invalid positions; not yet weighed.

    Args:
        hidden: (B, T, D) before the final norm.
        valid: (B, T).
        n_positions: positions of each sample that the mean is over, if more than T: the released
            code pads sequences to a multiple of 128 and counts the padding.
    """
    B, T = valid.shape
    return (hidden.square().mean(-1) * valid).sum() / max(B * (n_positions or T), 1)


def _counted(valid: Tensor, weights: Tensor | None, dtype: torch.dtype) -> Tensor:
    """(B, C) what each candidate counts."""
    counted = valid.to(dtype)
    return counted if weights is None else counted * weights.to(dtype)
