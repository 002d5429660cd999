"""Retrieval: a vector for a viewer and one for a post, near each other if they fit.

The viewer's vector is the mean of the transformer's outputs over viewer and history. The post's
vector comes from a small network over its ids and facts alone, so it can be indexed once and
also exists for a post that nobody has seen yet. Both have unit length.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from xfeed.actions import ACTIONS, N_DISCRETE
from xfeed.phoenix.config import PhoenixConfig
from xfeed.phoenix.inputs import ContextTokens, HistoryInputs, PostExtras, PostInputs
from xfeed.phoenix.transformer import Transformer

LENGTH_EPS = 1e-12


def unit_length(x: Tensor) -> tuple[Tensor, Tensor]:
    """Vectors of length 1 and their former lengths (..., 1); a zero vector stays zero."""
    length = x.square().sum(-1, keepdim=True).clamp_min(LENGTH_EPS).sqrt()
    return x / length, length


class Retrieval(nn.Module):
    """User tower and candidate tower.

    Args:
        config: sizes and switches.
    """

    def __init__(self, config: PhoenixConfig) -> None:
        super().__init__()
        self.config = config
        D = config.emb_size
        # the published retrieval model does not read dwell; ours does where it is switched on
        dwell_input = config.dwell_input and config.post_features
        self.context_tokens = ContextTokens(config, dwell_input=dwell_input)
        self.transformer = Transformer(config)
        self.candidate_extras: PostExtras | None = None
        if config.candidate_tower == "mlp":
            self.tower_in = nn.Parameter(torch.empty(self.context_tokens.post_width, 2 * D))
            self.tower_out = nn.Parameter(torch.empty(2 * D, D))
            if config.post_features:
                self.candidate_extras = PostExtras(config, 2 * D)
        if config.history_pool:
            signs = [1.0 if action.sign == "positive" else -1.0 for action in ACTIONS[:N_DISCRETE]]
            self.pool_weights = nn.Parameter(torch.tensor(signs))

    def user_vectors(self, posts: PostInputs, history: HistoryInputs) -> tuple[Tensor, Tensor]:
        """Vectors (B, D) of viewers and their lengths before normalising (B, 1)."""
        tokens = self.context_tokens(posts, history)
        context = self.transformer.encode(tokens, history.context_valid, keep_hidden=True)
        assert context.hidden is not None
        valid = context.valid[..., None].to(context.hidden.dtype)  # (B, T, 1)
        mean = (context.hidden * valid).sum(1) / valid.sum(1).clamp_min(1)
        if self.config.history_pool:
            mean = mean + self.pooled_history(posts, history)
        return unit_length(mean)

    def pooled_history(self, posts: PostInputs, history: HistoryInputs) -> Tensor:
        """(B, D) sum of the vectors of what the viewer liked, less what they disliked.

        Each position weighs what its actions are worth; the sum is divided by the root of the
        number of positions, so that it neither vanishes nor drowns the rest.
        """
        vectors = self.post_vectors(posts)[history.post]  # (B, S, D)
        weights = (history.actions @ self.pool_weights) * history.valid  # (B, S)
        n_valid = history.valid.sum(1, keepdim=True).clamp_min(1)
        return (weights[..., None] * vectors).sum(1) / n_valid.sqrt()

    def post_vectors(self, posts: PostInputs) -> Tensor:
        """Vectors (U, D) of posts."""
        rows = torch.cat((posts.item_rows, posts.author_rows), dim=-1)  # (U, (Hi + Ha) * W)
        if self.config.candidate_tower == "mean":
            U = rows.shape[0]
            return unit_length(rows.view(U, -1, self.config.table_width).mean(1))[0]
        hidden = rows @ self.tower_in
        if self.candidate_extras is not None:
            hidden = hidden + self.candidate_extras(posts)
        return unit_length(functional.silu(hidden) @ self.tower_out)[0]
