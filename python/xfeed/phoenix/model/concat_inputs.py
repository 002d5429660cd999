"""Tokens as concatenations of the tables' width (August 2026, the older of its two ways).

Pieces of width W stand side by side: the post's rows, its semantic ids, its author's rows, the
actions, and one vector for everything about the moment. One matrix brings them to W and, where
the transformer is wider, a last one to D.
"""

import math
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from xfeed.phoenix.config import PhoenixConfig
from xfeed.phoenix.model.feature_prep import category_size
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
from xfeed.phoenix.model.viewer_features import ConcatViewer


class ConcatInputs(nn.Module):
    """Tokens of the prefix, of the history and, for the ranker, of candidates.

    Args:
        config: sizes and switches.
        candidates: whether candidates have tokens.
    """

    def __init__(self, config: PhoenixConfig, *, candidates: bool) -> None:
        super().__init__()
        W, D = config.table_width, config.emb_size
        self.config = config
        if config.user_rows:
            self.user_projection = nn.Parameter(torch.empty(config.user.n_functions * W, W))
        features, ids = config.viewer_features, config.semantic_ids
        self.viewer = ConcatViewer(features, W) if features else None
        self.semantic_ids = SemanticIds(ids, W) if ids else None
        n_actions = 1 if config.action_slices else config.n_actions
        self.action_table = nn.Parameter(torch.empty(n_actions, W))
        n_rows = config.item_rows * config.item.n_functions + config.author.n_functions
        self.post_width = (n_rows + (ids is not None)) * W
        has_moment = config.moment is not None
        self.history_projection = nn.Parameter(
            torch.empty(self.post_width + (1 + has_moment) * W, W)
        )
        if candidates:
            self.candidate_projection = nn.Parameter(
                torch.empty(self.post_width + has_moment * W, W)
            )
        self._add_moment(candidates=candidates)
        self.widens = W != D
        if self.widens:
            self.token_projection = nn.Parameter(torch.empty(W, D))

    def _add_moment(self, *, candidates: bool) -> None:
        """Small tables of the moment, shared by both sides, and a projection for each side."""
        moment, W = self.config.moment, self.config.table_width
        if moment is None:
            return
        for category, width in zip(moment.categories, moment.widths, strict=True):
            table = nn.Parameter(torch.empty(category_size(self.config, category), width))
            self.register_parameter(f"{category}_table", table)
        n_shared = sum(moment.widths)
        n_dwell = self.config.dwell_hidden if self.config.dwell_input else 0
        self.history_moment = nn.Parameter(torch.empty(n_shared + n_dwell, W))
        if n_dwell:
            self.dwell_in = nn.Parameter(torch.empty(1, n_dwell))
            self.dwell_out = nn.Parameter(torch.empty(n_dwell, n_dwell))
        if candidates:
            self.candidate_moment = nn.Parameter(torch.empty(n_shared, W))

    def valid(self, history: HistoryInputs) -> Tensor:
        """(B, P + S) positions that may be seen; the viewer's features always are."""
        prefix = [history.user_valid[:, None]] if self.config.user_rows else []
        if self.viewer is not None:
            prefix.append(history.valid.new_ones(len(history.valid), 1))
        return torch.cat((*prefix, history.valid), dim=1)

    def forward(self, posts: PostInputs, history: HistoryInputs) -> Tensor:
        """(B, P + S, D) tokens: the viewer, their features, the history."""
        W = self.config.table_width
        n_moment = self.history_projection.shape[0] - self.post_width - W
        blocks = torch.split(self.history_projection, [self.post_width, W, n_moment])
        part = self.post_part(posts) @ blocks[0]  # (U, W)
        token = functional.embedding(history.post, part)  # (B, S, W)
        token = token + self.actions(history.actions) @ blocks[1]
        if self.config.moment is not None:
            facts = self.moment(history, self.dwell(history))
            token = token + facts @ (self.history_moment @ blocks[2])
        return self.widen(torch.cat((*self.prefix(history), token), dim=1))

    def candidates(self, posts: PostInputs, candidates: CandidateInputs) -> Tensor:
        """(B, C, D) tokens of candidates."""
        first, last = self.candidate_projection.tensor_split([self.post_width])
        token = functional.embedding(candidates.post, self.post_part(posts) @ first)  # (B, C, W)
        if self.config.moment is not None:
            token = token + self.moment(candidates, None) @ (self.candidate_moment @ last)
        return self.widen(token)

    def post_part(self, posts: PostInputs) -> Tensor:
        """(U, n * W) the post's rows, its semantic ids and its author's rows side by side."""
        parts = [posts.item_rows]
        if self.semantic_ids is not None:
            parts.append(self.semantic_ids(posts))
        return torch.cat((*parts, posts.author_rows), dim=-1)

    def actions(self, actions: Tensor) -> Tensor:
        """(B, S, W): present actions count +1, absent ones -1, and no action at all zero."""
        acted = actions.any(-1, keepdim=True).to(actions.dtype)
        signs = (2 * actions - 1) * acted  # (B, S, A)
        if not self.config.action_slices:
            return signs @ self.action_table
        return (
            signs.repeat_interleave(self.action_table.shape[1] // signs.shape[-1], dim=-1)
            * (self.action_table[0])
        )

    def dwell(self, history: HistoryInputs) -> Tensor | None:
        """(B, S, dwell width) the seconds spent, or None where they are not read."""
        if not self.config.dwell_input:
            return None
        secs = history.dwell_secs
        secs = torch.zeros_like(history.actions[..., 0]) if secs is None else secs
        n = normalised_dwell(secs, self.config.dwell_scale_secs, log=self.config.dwell_log)
        return functional.gelu(n[..., None] @ self.dwell_in, approximate="tanh") @ self.dwell_out

    def moment(self, shown: Shown, dwell: Tensor | None) -> Tensor:
        """(B, n, widths) facts of the moment side by side; the dwell follows the surface."""
        assert self.config.moment is not None
        parts = []
        for category in self.config.moment.categories:
            table = self.get_parameter(f"{category}_table")
            column = cast("Tensor | None", getattr(shown, category))
            parts.append(clipped_lookup(table, column, shown.post.shape))
        if dwell is not None:
            parts.insert(1 if self.config.moment.categories[0] == "surface" else 0, dwell)
        return torch.cat(parts, dim=-1)

    def prefix(self, history: HistoryInputs) -> list[Tensor]:
        """Tokens (B, 1, W) before the history."""
        tokens = []
        if self.config.user_rows:
            viewer = history.user_rows @ self.user_projection  # (B, W)
            if history.address_rows is not None:
                viewer = viewer + history.address_rows.sum(1)
            tokens.append(viewer[:, None])
        if self.viewer is not None:
            like = history.actions.new_zeros(history.actions.shape[0])
            tokens.append(self.viewer(history.viewer or ViewerColumns(), like)[:, None])
        return tokens

    def widen(self, tokens: Tensor) -> Tensor:
        """Scales tokens (B, n, W) and brings them to the model's width."""
        tokens = tokens * math.sqrt(self.config.table_width)
        return tokens @ self.token_projection if self.widens else tokens
