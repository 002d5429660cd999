"""What the viewer did before with the same post, the same author and the same topics.

Attention could learn to compare a candidate with the history, but from a small log it does not
learn it soon. So the comparison of ids is made exactly, and the model only learns what it means:
for each kind of match, how many history positions match and which share of them has each action.
A fourth kind matches every position and tells the viewer's own habits. Nothing here looks at
another candidate.
"""

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn

from xfeed.phoenix.config import PhoenixConfig
from xfeed.phoenix.inputs import HistoryInputs, PostKeys

KINDS: Final = 4
"""Same post, same author, a common topic, any position."""


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
    """Turns matches with the history into a vector that is added to the candidate's token.

    Args:
        config: sizes.
    """

    def __init__(self, config: PhoenixConfig) -> None:
        super().__init__()
        width = KINDS * (1 + config.n_actions)
        self.affinity_projection = nn.Parameter(torch.empty(width, config.emb_size))

    def forward(self, history: History, keys: PostKeys) -> Tensor:
        """(B, C, D) for candidates with keys (B, C) and (B, C, 4)."""
        seen = history.keys
        same_post = _equal(keys.post, seen.post)  # (B, C, S)
        same_author = _equal(keys.author, seen.author)
        topics = keys.topics[:, :, None, :, None]
        common = (topics == seen.topics[:, None, :, None, :]) & (topics != 0)
        matches = torch.stack(
            (same_post, same_author, common.flatten(-2).any(-1), torch.ones_like(same_post)), dim=2
        ).to(history.facts.dtype)  # (B, C, kinds, S)
        sums = matches.flatten(1, 2) @ history.facts  # (B, C * kinds, 1 + A)
        n_matches = sums[..., :1]
        facts = torch.cat((n_matches.log1p(), sums[..., 1:] / (n_matches + 1)), dim=-1)
        B, C = keys.post.shape
        return facts.view(B, C, -1) @ self.affinity_projection


def _equal(candidate: Tensor, seen: Tensor) -> Tensor:
    """(B, C, S) whether two known keys are the same."""
    return (candidate[:, :, None] == seen[:, None, :]) & (candidate[:, :, None] != 0)
