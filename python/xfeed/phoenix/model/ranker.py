"""The ranker: for each candidate, the probability of every action and the seconds spent."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from xfeed.phoenix.config import HOURS, PhoenixConfig
from xfeed.phoenix.model.affinity import Affinity, History
from xfeed.phoenix.model.block_inputs import ContextTokens, PostExtras
from xfeed.phoenix.model.concat_inputs import ConcatInputs
from xfeed.phoenix.model.feature_prep import SummedInputs
from xfeed.phoenix.model.heads import activate, seconds
from xfeed.phoenix.model.inputs import CandidateInputs, HistoryInputs, PostInputs, lookup, spread
from xfeed.phoenix.model.transformer import Encoded, WithTrunk


@dataclass(frozen=True, slots=True)
class Scores:
    """What the heads say about (B, C) candidates.

    Attributes:
        logits: (B, C, A) log-odds of the discrete actions.
        continuous: (B, C, n_continuous) after their activation; `Ranker.seconds` scales them.
        hidden: (B, C, D) output of the last layer, before the final norm.
    """

    logits: Tensor
    continuous: Tensor
    hidden: Tensor


@dataclass(frozen=True, slots=True)
class RankerContext:
    """Viewers and histories, encoded once for all their candidates.

    Attributes:
        attention: what the trunk's `encode` gave; goes back into the same trunk.
        history: what candidates are matched with; None where `affinity` is off.
    """

    attention: Encoded
    history: History | None


class Ranker(WithTrunk):
    """Tokens, transformer, heads.

    Tokens and heads are computed in the dtype of their own parameters, the transformer in the
    dtype of its trunk: half precision in the trunk alone is ``ranker.transformer.bfloat16()``.

    Args:
        config: sizes and switches.
    """

    def __init__(self, config: PhoenixConfig) -> None:
        super().__init__(config)
        D, A = config.emb_size, config.n_actions
        self.context_tokens: ContextTokens | SummedInputs | ConcatInputs
        if config.inputs == "summed":
            self.context_tokens = SummedInputs(config, candidates=True)
        elif config.inputs == "concat":
            self.context_tokens = ConcatInputs(config, candidates=True)
        else:
            self.context_tokens = ContextTokens(config, dwell_input=config.dwell_input)
            self._add_candidate_blocks(self.context_tokens.post_width)
        self.affinity = Affinity(config) if config.affinity_input else None
        self.out_norm = nn.Parameter(torch.ones(D))
        self.action_heads = nn.Parameter(torch.empty(D, A))
        self.continuous_heads = nn.Parameter(torch.empty(D, config.n_continuous))
        if config.head_bias:
            self.action_bias = nn.Parameter(torch.zeros(A))
            self.continuous_bias = nn.Parameter(torch.zeros(config.n_continuous))

    def _add_candidate_blocks(self, post_width: int) -> None:
        """Parameters of candidate tokens that are put together from blocks."""
        config, D = self.config, self.config.emb_size
        width = post_width + (1 + config.post_age_input) * D
        self.candidate_projection = nn.Parameter(torch.empty(width, D))
        if config.post_age_input:
            self.post_age_table = nn.Parameter(torch.empty(config.n_post_ages, D))
        self.candidate_extras = PostExtras(config, D) if config.post_features else None
        if config.context_features:
            self.hour_table = nn.Parameter(torch.empty(HOURS, D))

    def forward(
        self,
        posts: PostInputs,
        history: HistoryInputs,
        candidates: CandidateInputs,
    ) -> Scores:
        """Scores candidates in one go; the same as encoding and scoring apart."""
        return self.score_candidates(self.encode_context(posts, history), posts, candidates)

    def encode_context(
        self, posts: PostInputs, history: HistoryInputs, *, keep_hidden: bool = False
    ) -> RankerContext:
        """Encodes viewers and histories, once for all their candidates.

        Args:
            posts: the posts that the history points into.
            history: B viewers.
            keep_hidden: whether the output of the last layer is needed; scoring does not.
        """
        if isinstance(self.context_tokens, ContextTokens):
            tokens = self.context_tokens(posts, history, self.trunk)  # (B, P + S, D)
        else:
            tokens = self.context_tokens(posts, history)
        valid = self.context_tokens.valid(history)
        attention = self.trunk.encode(tokens, valid, keep_hidden=keep_hidden)
        if self.affinity is None:
            return RankerContext(attention, None)
        assert posts.keys is not None
        return RankerContext(attention, History.of(posts.keys, history))

    def score_candidates(
        self,
        context: RankerContext,
        posts: PostInputs,
        candidates: CandidateInputs,
        first_slot: int | None = 0,
    ) -> Scores:
        """Scores candidates, each alone.

        Args:
            context: from `encode_context`.
            posts: the posts that the candidates point into.
            candidates: (B, C).
            first_slot: place of the first one among all candidates of the request, or None to
                score each as if it were the first; matters only for the published profile, whose
                positions follow slots.
        """
        tokens = self.candidate_tokens(posts, candidates)  # (B, C, D)
        if self.affinity is not None:
            assert posts.keys is not None
            assert context.history is not None
            keys = posts.keys.take(candidates.post)
            token_part, logit_part = self.affinity(context.history, keys)
            tokens = tokens + token_part
        hidden = self.trunk.attend(context.attention, tokens, first_slot)
        heads = (self.action_heads, self.continuous_heads)
        logits, continuous = self.trunk.read_out(hidden, self.out_norm, heads)
        logits = logits * self.config.logit_scale  # (B, C, A)
        if self.affinity is not None:
            logits = logits + logit_part
        if self.config.head_bias:
            logits = logits + self.action_bias
            continuous = continuous + self.continuous_bias
        continuous = activate(continuous, candidates.surface, self.config.dwell_heads)
        return Scores(logits, continuous, hidden)

    def seconds(self, scores: Scores, candidates: CandidateInputs) -> Tensor:
        """(B, C, n_continuous) what the continuous heads mean in seconds."""
        rules, scale = self.config.dwell_heads, self.config.dwell_scale_secs
        return seconds(scores.continuous, candidates.surface, rules, scale)

    def candidate_tokens(self, posts: PostInputs, candidates: CandidateInputs) -> Tensor:
        """(B, C, D) tokens of candidates."""
        if isinstance(self.context_tokens, ContextTokens):
            return self._candidate_blocks(self.context_tokens, posts, candidates)
        return self.context_tokens.candidates(posts, candidates)

    def _candidate_blocks(
        self, shared: ContextTokens, posts: PostInputs, candidates: CandidateInputs
    ) -> Tensor:
        """(B, C, D) tokens of candidates: post, author, surface, age, and our extras."""
        D = self.config.emb_size
        widths = [shared.post_width, D] + [D] * self.config.post_age_input
        blocks = torch.split(self.candidate_projection, widths)
        part = self.trunk.project((posts.item_rows, posts.author_rows), blocks[0])  # (U, D)
        if self.candidate_extras is not None:
            part = part + self.candidate_extras(posts)
        surfaces = shared.surface_table @ blocks[1]
        token = spread(part, candidates.post) + lookup(surfaces, candidates.surface)
        if self.config.post_age_input:
            # without timestamps every candidate stands in bucket 0, as in the published model
            age = candidates.post_age
            age = torch.zeros_like(candidates.post) if age is None else age
            token = token + lookup(self.post_age_table @ blocks[2], age)
        if self.config.context_features:
            assert candidates.hour is not None
            token = token + lookup(self.hour_table, candidates.hour)
        return token
