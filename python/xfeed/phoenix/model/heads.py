"""Heads with a number: how it becomes seconds depends on the surface.

In a full-screen gallery people stay long, elsewhere they scroll past, so the published model of
August 2026 reads the same head differently by surface. A head that no rule names is a plain
number; without any rules every head is a sigmoid, as in May 2026.
"""

from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from xfeed.phoenix.input_config import DwellHead

DWELL_HEAD: Final = 0
"""Place of the dwell seconds among the continuous heads of what is trained here."""


def for_surfaces(rule: DwellHead, surface: Tensor) -> Tensor:
    """Whether a rule is for each of the surfaces (...)."""

    def among(surfaces: tuple[int, ...]) -> Tensor:
        return torch.isin(surface, torch.tensor(surfaces, dtype=surface.dtype).to(surface.device))

    mine = among(rule.surfaces) if rule.surfaces else torch.ones_like(surface, dtype=torch.bool)
    return mine & ~among(rule.other_than)


def activate(values: Tensor, surface: Tensor, rules: tuple[DwellHead, ...]) -> Tensor:
    """Passes heads through their activations.

    Args:
        values: (..., n_continuous) as they leave the last product.
        surface: (...) where the candidate is shown.
        rules: of the configuration.

    Returns:
        (..., n_continuous): the sigmoid's share of `scale_secs`, or softplus in seconds up to
        its soft limit.
    """
    if not rules:
        return values.sigmoid()
    out = list(values.unbind(-1))
    for rule in rules:
        raw = values[..., rule.head]
        active = raw.sigmoid() if rule.activation == "sigmoid" else functional.softplus(raw)
        if rule.limit is not None:
            active = rule.limit * torch.tanh(active / rule.limit)
        out[rule.head] = torch.where(for_surfaces(rule, surface), active, out[rule.head])
    return torch.stack(out, dim=-1)


def seconds(
    active: Tensor, surface: Tensor, rules: tuple[DwellHead, ...], scale_secs: float
) -> Tensor:
    """Seconds that activated heads stand for.

    Args:
        active: (..., n_continuous) from `activate`.
        surface: (...).
        rules: of the configuration.
        scale_secs: seconds of the value 1 where there are no rules.
    """
    if not rules:
        return active * scale_secs
    out = list(active.unbind(-1))
    for rule in rules:
        if rule.activation == "sigmoid":
            share = active[..., rule.head] * rule.scale_secs
            out[rule.head] = torch.where(for_surfaces(rule, surface), share, out[rule.head])
    return torch.stack(out, dim=-1)
