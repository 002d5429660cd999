"""The ranker: for each candidate, the probability of every action and the seconds spent."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from xfeed.phoenix.affinity import Affinity, History
from xfeed.phoenix.config import HOURS, PhoenixConfig
from xfeed.phoenix.inputs import (
    CandidateInputs,
    ContextTokens,
    HistoryInputs,
    PostExtras,
    PostInputs,
    lookup,
)
from xfeed.phoenix.transformer import Context, Transformer, rms_norm


@dataclass(frozen=True, slots=True)
class Scores:
    """What the heads say about (B, C) candidates.

    Attributes:
        logits: (B, C, A) log-odds of the discrete actions.
        continuous: (B, C, n_continuous) values in (0, 1), before their scale.
    """

    logits: Tensor
    continuous: Tensor


@dataclass(frozen=True, slots=True)
class RankerContext:
    """Viewers and histories, encoded once for all their candidates.

    Attributes:
        attention: keys and values to attend to.
        history: what candidates are matched with; None where `affinity` is off.
    """

    attention: Context
    history: History | None


class Ranker(nn.Module):
    """Tokens, transformer, heads.

    Args:
        config: sizes and switches.
    """

    def __init__(self, config: PhoenixConfig) -> None:
        super().__init__()
        self.config = config
        D, A = config.emb_size, config.n_actions
        self.context_tokens = ContextTokens(config, dwell_input=config.dwell_input)
        width = self.context_tokens.post_width + (1 + config.post_age_input) * D
        self.candidate_projection = nn.Parameter(torch.empty(width, D))
        if config.post_age_input:
            self.post_age_table = nn.Parameter(torch.empty(config.n_post_ages, D))
        self.candidate_extras = PostExtras(config, D) if config.post_features else None
        if config.context_features:
            self.hour_table = nn.Parameter(torch.empty(HOURS, D))
        self.affinity = Affinity(config) if config.affinity_input else None
        self.transformer = Transformer(config)
        self.out_norm = nn.Parameter(torch.ones(D))
        self.action_heads = nn.Parameter(torch.empty(D, A))
        self.continuous_heads = nn.Parameter(torch.empty(D, config.n_continuous))
        if config.head_bias:
            self.action_bias = nn.Parameter(torch.zeros(A))
            self.continuous_bias = nn.Parameter(torch.zeros(config.n_continuous))

    def forward(
        self, posts: PostInputs, history: HistoryInputs, candidates: CandidateInputs
    ) -> Scores:
        """Scores candidates in one go; the same as encoding and scoring apart."""
        return self.score_candidates(self.encode_context(posts, history), posts, candidates)

    def encode_context(self, posts: PostInputs, history: HistoryInputs) -> RankerContext:
        """Encodes viewers and histories, once for all their candidates."""
        tokens = self.context_tokens(posts, history)  # (B, 1 + S, D)
        attention = self.transformer.encode(tokens, history.context_valid, keep_hidden=False)
        if self.affinity is None:
            return RankerContext(attention, None)
        assert posts.keys is not None
        return RankerContext(attention, History.of(posts.keys, history))

    def score_candidates(
        self,
        context: RankerContext,
        posts: PostInputs,
        candidates: CandidateInputs,
        first_slot: int = 0,
    ) -> Scores:
        """Scores candidates, each alone.

        Args:
            context: from `encode_context`.
            posts: the posts that the candidates point into.
            candidates: (B, C).
            first_slot: place of the first one among all candidates of the request; matters only
                for the published profile, whose positions follow slots.
        """
        tokens = self.candidate_tokens(posts, candidates)  # (B, C, D)
        if self.affinity is not None:
            assert posts.keys is not None
            assert context.history is not None
            keys = posts.keys.take(candidates.post)
            token_part, logit_part = self.affinity(context.history, keys)
            tokens = tokens + token_part
        hidden = self.transformer.attend(context.attention, tokens, first_slot)
        hidden = rms_norm(hidden, self.out_norm)
        logits = hidden @ self.action_heads  # (B, C, A)
        continuous = hidden @ self.continuous_heads
        if self.affinity is not None:
            logits = logits + logit_part
        if self.config.head_bias:
            logits = logits + self.action_bias
            continuous = continuous + self.continuous_bias
        return Scores(logits, continuous.sigmoid())

    def candidate_tokens(self, posts: PostInputs, candidates: CandidateInputs) -> Tensor:
        """(B, C, D) tokens of candidates: post, author, surface, age, and our extras."""
        D = self.config.emb_size
        widths = [self.context_tokens.post_width, D] + [D] * self.config.post_age_input
        blocks = torch.split(self.candidate_projection, widths)
        part = torch.cat((posts.item_rows, posts.author_rows), dim=-1) @ blocks[0]  # (U, D)
        if self.candidate_extras is not None:
            part = part + self.candidate_extras(posts)
        surfaces = self.context_tokens.surface_table @ blocks[1]
        token = part[candidates.post] + lookup(surfaces, candidates.surface)
        if self.config.post_age_input:
            # without timestamps every candidate stands in bucket 0, as in the published model
            age = candidates.post_age
            age = torch.zeros_like(candidates.post) if age is None else age
            token = token + lookup(self.post_age_table @ blocks[2], age)
        if self.config.context_features:
            assert candidates.hour is not None
            token = token + lookup(self.hour_table, candidates.hour)
        return token
