"""What the viewer did before with the same post, the same author and the same topics.

Attention could learn to compare a candidate with the history, but from a small log it does not
learn it soon. So the comparison of ids is made exactly, and the model only learns what it means:
for each kind of match, how many history positions match and how often they have each action.
A fourth kind matches every position and tells the viewer's own habits. Nothing here looks at
another candidate.
"""

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn

from xfeed.phoenix.config import PhoenixConfig
from xfeed.phoenix.model.inputs import HistoryInputs, PostKeys

KINDS: Final = 4
"""Same post, same author, a common topic, any position."""

MADE_UP: Final = 10.0
"""Matches at the usual rate that are added to the real ones."""


@dataclass(frozen=True, slots=True)
class History:
    """The history as far as matching needs it.

    Attributes:
        keys: keys of the posts, each (B, S) or (B, S, 4).
        facts: (B, S, 1 + A) a one and the actions of each position; all zero where invalid.
    """

    keys: PostKeys
    facts: Tensor

    @classmethod
    def of(cls, keys: PostKeys, history: HistoryInputs) -> "History":
        """Spreads keys over the positions and blanks invalid ones."""
        facts = torch.cat((torch.ones_like(history.actions[..., :1]), history.actions), dim=-1)
        return cls(keys.take(history.post), facts * history.valid[..., None])


class Affinity(nn.Module):
    """Turns matches with the history into a part of the candidate's token and of its logits.

    For every kind and action it takes the logarithm of how much more often than usual the
    viewer acted so on what matches: ``log((acted + k p) / ((matches + k) p))`` with the usual
    rate p and k made-up matches at that rate. Log-odds add up, so this is the natural scale for
    frequent and rare actions alike; each head also reads its own action's values directly.

    Args:
        config: sizes.
    """

    def __init__(self, config: PhoenixConfig) -> None:
        super().__init__()
        width = KINDS * (1 + config.n_actions)
        self.affinity_projection = nn.Parameter(torch.empty(width, config.emb_size))
        self.own_action = nn.Parameter(torch.zeros(KINDS, config.n_actions))
        self.register_buffer("usual_rates", torch.full((config.n_actions,), 0.5))
        self.usual_rates: Tensor

    def forward(self, history: History, keys: PostKeys) -> tuple[Tensor, Tensor]:
        """Parts of tokens (B, C, D) and logits (B, C, A) for keys (B, C) and (B, C, 4)."""
        found = matches(history.keys, keys)  # (B, C, kinds, S)
        facts = history.facts  # (B, S, 1 + A)
        counts = found.flatten(1, 2).to(facts.dtype) @ facts
        counts = counts.view(*found.shape[:3], facts.shape[-1])
        n_matches, acted = counts[..., :1], counts[..., 1:]  # (B, C, kinds, 1 and A)
        usual = self.usual_rates
        lift = (acted + MADE_UP * usual).log() - ((n_matches + MADE_UP) * usual).log()
        told = torch.cat((n_matches.log1p(), lift), dim=-1).flatten(2)
        return told @ self.affinity_projection, (lift * self.own_action).sum(2)


def matches(seen: PostKeys, keys: PostKeys) -> Tensor:
    """(B, C, kinds, S) one where a history position matches a candidate, else zero."""
    topics = keys.topics[:, :, None, :, None]
    common = (topics == seen.topics[:, None, :, None, :]) & (topics != 0)
    same_post = _equal(keys.post, seen.post)
    kinds = (
        same_post,
        _equal(keys.author, seen.author),
        common.flatten(-2).any(-1),
        torch.ones_like(same_post),
    )
    return torch.stack(kinds, dim=2).float()


def _equal(candidate: Tensor, seen: Tensor) -> Tensor:
    """(B, C, S) whether two known keys are the same."""
    return (candidate[:, :, None] == seen[:, None, :]) & (candidate[:, :, None] != 0)
