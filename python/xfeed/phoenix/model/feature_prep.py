"""Tokens as sums: every fact is a vector of the model's width, projected and added.

This is how the flagship of August 2026 reads its inputs. Nothing is concatenated, so a fact can
be switched on or off without touching the others. Facts of posts are projected once per post.
"""

import math
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from xfeed.phoenix.config import PhoenixConfig
from xfeed.phoenix.input_config import N_COUNTS, SIZES, Category
from xfeed.phoenix.model.inputs import (
    CandidateInputs,
    HistoryInputs,
    PostInputs,
    Shown,
    ViewerColumns,
    clipped_lookup,
    normalised_dwell,
)
from xfeed.phoenix.model.semantic_ids import SemanticIds
from xfeed.phoenix.model.viewer_features import SummedViewer


def category_size(config: PhoenixConfig, category: Category) -> int:
    """Rows of a category's table."""
    if category == "surface":
        return config.n_surfaces
    return config.n_post_ages if category == "post_age" else SIZES[category]


def post_rows_width(config: PhoenixConfig) -> int:
    """Width of a post's rows side by side: its own, if it has any, and its author's."""
    n_rows = config.item_rows * config.item.n_functions + config.author.n_functions
    return n_rows * config.table_width


def rows_of(posts: PostInputs) -> Tensor:
    """(U, rows * W) a post's own rows and its author's."""
    return torch.cat((posts.item_rows, posts.author_rows), dim=-1)


class SummedSide(nn.Module):
    """What history and candidates have in common; each side has parameters of its own.

    Args:
        config: sizes and switches.
        categories: the facts of the moment that this side reads.
    """

    def __init__(self, config: PhoenixConfig, categories: tuple[Category, ...]) -> None:
        super().__init__()
        D = config.emb_size
        self.categories = categories
        self.post_projection = nn.Parameter(torch.empty(post_rows_width(config), D))
        for category in categories:
            table = nn.Parameter(torch.empty(category_size(config, category), D))
            self.register_parameter(f"{category}_table", table)
        hidden = config.moment.counts_hidden if config.moment else 0
        if hidden:
            self.counts_in = nn.Parameter(torch.empty(N_COUNTS + 1, hidden))
            self.counts_out = nn.Parameter(torch.empty(hidden, D))
        self.has_counts = hidden > 0

    def forward(self, posts: PostInputs, codes: Tensor | None, shown: Shown) -> Tensor:
        """(B, n, D) parts of tokens; `codes` (U, D) is what the semantic ids say."""
        part = rows_of(posts) @ self.post_projection  # (U, D)
        if codes is not None:
            part = part + codes
        token = functional.embedding(shown.post, part)  # (B, n, D)
        for category in self.categories:
            table = self.get_parameter(f"{category}_table")
            column = cast("Tensor | None", getattr(shown, category))
            token = token + clipped_lookup(table, column, shown.post.shape)
        if self.has_counts:
            token = token + self.counts(shown, token)
        return token

    def counts(self, shown: Shown, like: Tensor) -> Tensor:
        """(B, n, D) from the engagement counts, logarithmic, and a constant one."""
        counts = shown.counts
        if counts is None:
            counts = like.new_zeros(*shown.post.shape, N_COUNTS)
        # 32 doublings hold any count of 32 bits
        scaled = torch.log2(counts.to(like.dtype).clamp_min(0) + 1) / 32
        facts = torch.cat((scaled, torch.ones_like(scaled[..., :1])), dim=-1)
        return functional.gelu(facts @ self.counts_in, approximate="tanh") @ self.counts_out


class SummedInputs(nn.Module):
    """Tokens of the prefix, of the history and, for the ranker, of candidates.

    Args:
        config: sizes and switches.
        candidates: whether candidates have tokens.
    """

    def __init__(self, config: PhoenixConfig, *, candidates: bool) -> None:
        super().__init__()
        D, W = config.emb_size, config.table_width
        self.config = config
        if config.user_rows:
            self.user_projection = nn.Parameter(torch.empty(config.user.n_functions * W, D))
        if config.address is not None:
            self.address_projection = nn.Parameter(torch.empty(config.address.n_functions * W, D))
        features, ids = config.viewer_features, config.semantic_ids
        self.viewer = SummedViewer(features, D) if features else None
        self.semantic_ids = SemanticIds(ids, D) if ids else None
        categories = config.moment.categories if config.moment else ()
        # only what is shown now can be stale: the history is what it is
        self.history = SummedSide(config, tuple(one for one in categories if one != "stale"))
        self.action_projection = nn.Parameter(torch.empty(config.n_actions, D))
        if config.dwell_input:
            self.dwell_vector = nn.Parameter(torch.zeros(D))
        self.candidate = SummedSide(config, categories) if candidates else None

    def valid(self, history: HistoryInputs) -> Tensor:
        """(B, P + S) positions that may be seen; the viewer's features always are."""
        prefix = [history.user_valid[:, None]] if self.config.user_rows else []
        if self.viewer is not None:
            prefix.append(history.valid.new_ones(len(history.valid), 1))
        return torch.cat((*prefix, history.valid), dim=1)

    def forward(self, posts: PostInputs, history: HistoryInputs) -> Tensor:
        """(B, P + S, D) tokens: the viewer, their features, the history."""
        codes = self.semantic_ids(posts) if self.semantic_ids is not None else None
        token: Tensor = self.history(posts, codes, history)  # (B, S, D)
        # nothing but zeros where the viewer did nothing
        token = token + history.actions @ self.action_projection
        if self.config.dwell_input and history.dwell_secs is not None:
            secs, scale = history.dwell_secs, self.config.dwell_scale_secs
            n = normalised_dwell(secs, scale, log=self.config.dwell_log)
            token = token + n[..., None] * self.dwell_vector
        return torch.cat((*self.prefix(history), token), dim=1) * math.sqrt(self.config.emb_size)

    def prefix(self, history: HistoryInputs) -> list[Tensor]:
        """Tokens (B, 1, D) before the history."""
        tokens = []
        if self.config.user_rows:
            viewer = history.user_rows @ self.user_projection  # (B, D)
            if history.address_rows is not None and self.config.address is not None:
                viewer = viewer + history.address_rows.flatten(1) @ self.address_projection
            tokens.append(viewer[:, None])
        if self.viewer is not None:
            like = history.actions.new_zeros(history.actions.shape[0])
            tokens.append(self.viewer(history.viewer or ViewerColumns(), like)[:, None])
        return tokens

    def candidates(self, posts: PostInputs, candidates: CandidateInputs) -> Tensor:
        """(B, C, D) tokens of candidates."""
        assert self.candidate is not None
        codes = self.semantic_ids(posts) if self.semantic_ids is not None else None
        token: Tensor = self.candidate(posts, codes, candidates)
        return token * math.sqrt(self.config.emb_size)
