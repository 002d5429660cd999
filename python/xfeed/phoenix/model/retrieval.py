"""Retrieval: a vector for a viewer and one for a post, near each other if they fit.

The viewer's vector is the mean of the transformer's outputs over prefix and history. The post's
vector comes from a small network over its ids and facts alone, so it can be indexed once and
also exists for a post that nobody has seen yet. Both have unit length.
"""

from typing import Final

import torch
from torch import Tensor, nn

from xfeed.actions import ACTIONS, N_DISCRETE
from xfeed.phoenix.config import PhoenixConfig
from xfeed.phoenix.model.block_inputs import ContextTokens
from xfeed.phoenix.model.concat_inputs import ConcatInputs
from xfeed.phoenix.model.feature_prep import SummedInputs
from xfeed.phoenix.model.inputs import HistoryInputs, PostInputs
from xfeed.phoenix.model.layer import rms_norm
from xfeed.phoenix.model.semantic_ids import SemanticIds
from xfeed.phoenix.model.towers import CandidateTower, unit_length
from xfeed.phoenix.model.transformer import WithTrunk

FIRST_TEMPERATURE: Final = 0.1
"""Where a learned temperature starts (published value)."""


class Retrieval(WithTrunk):
    """User tower and candidate towers.

    Args:
        config: sizes and switches.
    """

    def __init__(self, config: PhoenixConfig) -> None:
        super().__init__(config)
        self.context_tokens: ContextTokens | SummedInputs | ConcatInputs
        if config.inputs == "summed":
            self.context_tokens = SummedInputs(config, candidates=False)
        elif config.inputs == "concat":
            self.context_tokens = ConcatInputs(config, candidates=False)
        else:
            # the published retrieval model does not read dwell; ours does where it is switched on
            dwell_input = config.dwell_input and config.post_features
            self.context_tokens = ContextTokens(config, dwell_input=dwell_input)
        if config.user_out_norm:
            self.out_norm = nn.Parameter(torch.ones(config.emb_size))
        self.tower_semantic_ids: SemanticIds | None = None
        if config.semantic_ids is not None and config.inputs == "summed":
            # summed inputs have vectors of the model's width; towers need the tables' width
            self.tower_semantic_ids = SemanticIds(config.semantic_ids, config.table_width)
        self.towers = nn.ModuleList(CandidateTower(config) for _ in range(config.n_towers))
        if config.history_pool:
            signs = [1.0 if action.sign == "positive" else -1.0 for action in ACTIONS[:N_DISCRETE]]
            self.pool_weights = nn.Parameter(torch.tensor(signs))
        if config.learned_temperature:
            self.temperature = nn.Parameter(torch.tensor(FIRST_TEMPERATURE))

    def user_vectors(self, posts: PostInputs, history: HistoryInputs) -> tuple[Tensor, Tensor]:
        """Vectors (B, D) of viewers and their lengths before normalising (B, 1)."""
        if isinstance(self.context_tokens, ContextTokens):
            tokens = self.context_tokens(posts, history, self.trunk)
        else:
            tokens = self.context_tokens(posts, history)
        valid = self.context_tokens.valid(history)  # (B, T)
        hidden = self.trunk.encode(tokens, valid, keep_hidden=True).hidden
        assert hidden is not None
        if self.config.user_out_norm:
            hidden = rms_norm(hidden, self.out_norm)
        hidden = hidden.to(tokens.dtype)
        hidden = hidden.masked_fill(~valid[..., None], 0)  # (B, T, D)
        mean = hidden.sum(1) / valid.sum(1, keepdim=True).clamp_min(1)
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

    def post_vectors(self, posts: PostInputs, tower: int = 0) -> Tensor:
        """Vectors (U, D) of posts, as one of the towers sees them."""
        codes = None
        if self.tower_semantic_ids is not None:
            codes = self.tower_semantic_ids(posts)
        elif isinstance(self.context_tokens, ConcatInputs) and self.context_tokens.semantic_ids:
            codes = self.context_tokens.semantic_ids(posts)
        vectors: Tensor = self.towers[tower](posts, codes)
        return vectors
