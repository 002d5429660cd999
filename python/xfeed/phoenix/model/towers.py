"""Candidate towers: a vector of a post from its ids and facts alone."""

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from xfeed.phoenix.config import PhoenixConfig
from xfeed.phoenix.model.block_inputs import PostExtras
from xfeed.phoenix.model.feature_prep import post_rows_width
from xfeed.phoenix.model.inputs import PostInputs

LENGTH_EPS: Final = 1e-12


def unit_length(x: Tensor) -> tuple[Tensor, Tensor]:
    """Vectors of length 1 and their former lengths (..., 1); a zero vector stays zero."""
    length = x.square().sum(-1, keepdim=True).clamp_min(LENGTH_EPS).sqrt()
    return x / length, length


class CandidateTower(nn.Module):
    """One tower; a model has one per kind of candidate.

    Its pieces are the post's rows, its author's rows and its semantic ids, each of width W. Two
    layers read them side by side, a sum projects each alone and adds, a mean has no parameters.

    Args:
        config: sizes and switches.
    """

    def __init__(self, config: PhoenixConfig) -> None:
        super().__init__()
        D, W = config.emb_size, config.table_width
        self.config = config
        width = post_rows_width(config) + (config.semantic_ids is not None) * W
        self.extras: PostExtras | None = None
        if config.candidate_tower == "mlp":
            self.tower_in = nn.Parameter(torch.empty(width, 2 * D))
            self.tower_out = nn.Parameter(torch.empty(2 * D, D))
            if config.post_features:
                self.extras = PostExtras(config, 2 * D)
        elif config.candidate_tower == "summed":
            # a sum of projections is one product with the projections below each other
            self.tower_sum = nn.Parameter(torch.empty(width, D))

    def forward(self, posts: PostInputs, codes: Tensor | None) -> Tensor:
        """Vectors (U, D) of length 1; `codes` (U, W) is what the semantic ids say."""
        rows = torch.cat((posts.item_rows, posts.author_rows), dim=-1)
        if codes is not None:
            rows = torch.cat((rows, codes), dim=-1)
        if self.config.candidate_tower == "mean":
            U = rows.shape[0]
            return unit_length(rows.view(U, -1, self.config.table_width).mean(1))[0]
        if self.config.candidate_tower == "summed":
            return unit_length(rows @ self.tower_sum)[0]
        hidden = rows @ self.tower_in
        if self.extras is not None:
            hidden = hidden + self.extras(posts)
        return unit_length(functional.silu(hidden) @ self.tower_out)[0]
