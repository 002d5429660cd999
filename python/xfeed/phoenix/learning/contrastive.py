"""What the two towers are trained on: a viewer's own positive before everything else.

Each positive stands against candidates of the other viewers in the batch, posts drawn at random
for everybody (global negatives), and the viewer's own candidates with negative feedback. A post
that turns up often is a negative often, so every score is corrected by the logarithm of how often
its post is in the batch (log-q). The formulas are those of the August 2026 release.

Shapes: B viewers, N = own candidates + global negatives per viewer, D width.
"""

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

PADDED: Final = -1e12
"""Score of a padded candidate."""

POSITIVE: Final = (1,)
"""Published numbers of the actions that make a positive."""

HARD_NEGATIVE: Final = (16, 17, 19, 22, 23, 25, 42)
"""Published numbers of the actions that speak against a post."""

SOFT_NEGATIVE: Final = (12,)
"""Published number of the action that says that the viewer passed by."""


@dataclass(frozen=True, slots=True)
class ContrastiveSettings:
    """Choices of the loss.

    Attributes:
        n_own: own candidates of each viewer; what follows them are global negatives.
        in_batch: whether the other viewers' candidates are negatives.
        log_q_scale: factor of the correction; 0 switches it off.
        positive: action columns that make a positive.
        hard_negative: action columns that make an own negative.
        soft_negative: likewise, for feedback that may mean nothing.
        self_terms: adds scores between viewers and between candidates, as the released option
            does: the former where a positive's own score is above zero, the latter towards
            padded candidates. No released configuration uses it.
        fake_positives: a viewer without a positive gets its first valid candidate as one.
    """

    n_own: int
    in_batch: bool = True
    log_q_scale: float = 2.0
    positive: tuple[int, ...] = POSITIVE
    hard_negative: tuple[int, ...] = HARD_NEGATIVE
    soft_negative: tuple[int, ...] = SOFT_NEGATIVE
    self_terms: bool = False
    fake_positives: bool = False


@dataclass(frozen=True, slots=True)
class ContrastiveLoss:
    """The loss and what it was computed from.

    Attributes:
        loss: mean over viewers with a positive of the mean over their positives; 0 without any.
        n_positives: positives in the batch.
    """

    loss: Tensor
    n_positives: int


def contrastive_loss(
    viewers: Tensor,
    candidates: Tensor,
    post: Tensor,
    actions: Tensor,
    temperature: Tensor | float,
    settings: ContrastiveSettings,
) -> ContrastiveLoss:
    """Sampled softmax of every positive.

    ``logsumexp([own, negatives]) - own`` with ``score = u . c / temperature - scale * log(count)``.

    Args:
        viewers: (B, D) unit vectors.
        candidates: (B, N, D) unit vectors.
        post: (B, N) what identifies a post, such as its first hash; 0 for padding.
        actions: (B, N, A) what the viewer did.
        temperature: divisor of the scores.
        settings: choices.
    """
    B = len(post)
    valid = post != 0
    positive, own_negative = feedback(valid, actions, settings)
    correction = -settings.log_q_scale * log_counts(post).to(viewers.dtype)  # (B, N)
    scores = torch.einsum("bd,cnd->bcn", viewers, candidates) / temperature + correction
    scores = scores.masked_fill(~valid, PADDED)
    viewer, slot = positive.nonzero(as_tuple=True)  # (P,)
    if not len(viewer):
        return ContrastiveLoss((viewers.sum() + candidates.sum()) * 0, 0)
    own = scores[viewer, viewer, slot]  # (P,)
    is_negative = _negatives(own_negative, settings)[viewer]  # (P, B, N)
    against = scores[viewer].masked_fill(~is_negative, -torch.inf).flatten(1)  # (P, B * N)
    columns = [own[:, None], against]
    if settings.self_terms:
        items = torch.einsum("pd,cnd->pcn", candidates[viewer, slot], candidates) / temperature
        columns.append(items.masked_fill(valid, -torch.inf).flatten(1))
        people = (viewers @ viewers.T / temperature)[viewer]  # (P, B)
        left_out = torch.eye(B, dtype=torch.bool, device=post.device)[viewer] | (own <= 0)[:, None]
        columns.append(people.masked_fill(left_out, -torch.inf))
    losses = torch.cat(columns, dim=1).logsumexp(1) - own
    n_own = positive.sum(1)  # (B,)
    weights = 1 / (n_own[viewer] * (n_own > 0).sum())
    return ContrastiveLoss((losses * weights).sum(), len(viewer))


def feedback(
    valid: Tensor, actions: Tensor, settings: ContrastiveSettings
) -> tuple[Tensor, Tensor]:
    """Which candidates are positives, and which are own negatives.

    Args:
        valid: (B, N).
        actions: (B, N, A).
        settings: the sets of actions.

    Returns:
        Two masks (B, N). A candidate with negative feedback is never a positive.
    """

    def did(columns: tuple[int, ...]) -> Tensor:
        return actions[..., list(columns)].to(torch.bool).any(-1)

    own = torch.arange(valid.shape[1], device=valid.device) < settings.n_own
    negative = (did(settings.hard_negative) | did(settings.soft_negative)) & own
    positive = did(settings.positive) & valid & own & ~negative
    if settings.fake_positives:
        offered = valid & own & ~positive.any(1, keepdim=True)
        positive = positive | (offered & (offered.cumsum(1) == 1))
    return positive, negative


def log_counts(post: Tensor) -> Tensor:
    """Logarithm of how often each post is in the batch (B, N), padding among them."""
    _, place, counts = torch.unique(post, return_inverse=True, return_counts=True)
    logarithm: Tensor = counts[place].double().log()
    return logarithm


def _negatives(own_negative: Tensor, settings: ContrastiveSettings) -> Tensor:
    """(B, B, N) whether candidate n of viewer c is a negative for viewer b."""
    B, N = own_negative.shape
    is_global = torch.arange(N, device=own_negative.device) >= settings.n_own
    others = is_global | torch.tensor(settings.in_batch, device=own_negative.device)
    own = is_global | own_negative  # (B, N)
    same = torch.eye(B, dtype=torch.bool, device=own_negative.device)[..., None]
    negatives: Tensor = torch.where(same, own[:, None], others.expand(B, B, N))
    return negatives
