"""Tokens as in May 2026, and our additions to them.

The published model concatenates the pieces of a token and multiplies them with one matrix. A
product of a concatenation is the sum of the products of its blocks, so each block is multiplied
where it is smallest: small tables before the look-up, posts before they are spread out.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from xfeed.phoenix.config import DURATION_BUCKETS, MEDIA_KINDS, PhoenixConfig
from xfeed.phoenix.model.inputs import (
    HistoryInputs,
    PostInputs,
    lookup,
    normalised_dwell,
    spread,
)
from xfeed.phoenix.model.transformer import Trunk


class PostExtras(nn.Module):
    """Facts about posts beyond their ids, as one vector that is added to the post's part.

    Args:
        config: sizes; hashes of languages and topics must be set.
        width: width of the vector.
    """

    def __init__(self, config: PhoenixConfig, width: int) -> None:
        super().__init__()
        assert config.language is not None
        assert config.topic is not None
        W = config.table_width
        self.media_table = nn.Parameter(torch.empty(MEDIA_KINDS, width))
        self.duration_table = nn.Parameter(torch.empty(DURATION_BUCKETS, width))
        self.language_projection = nn.Parameter(torch.empty(config.language.n_functions * W, width))
        self.topic_projection = nn.Parameter(torch.empty(config.topic.n_functions * W, width))

    def forward(self, posts: PostInputs) -> Tensor:
        """(U, width)."""
        assert posts.media_kind is not None
        assert posts.duration is not None
        assert posts.language_rows is not None
        assert posts.topic_rows is not None
        return (
            lookup(self.media_table, posts.media_kind)
            + lookup(self.duration_table, posts.duration)
            + posts.language_rows @ self.language_projection
            + posts.topic_rows @ self.topic_projection
        )


class ContextTokens(nn.Module):
    """Tokens of the viewer and of the history; both models have one.

    Args:
        config: sizes and switches.
        dwell_input: whether the seconds spent are read (the published retrieval model does not).
    """

    def __init__(self, config: PhoenixConfig, *, dwell_input: bool) -> None:
        super().__init__()
        D, W = config.emb_size, config.table_width
        self.config = config
        self.post_width = (config.item.n_functions + config.author.n_functions) * W
        blocks = 3 if dwell_input else 2
        self.user_projection = nn.Parameter(torch.empty(config.user.n_functions * W, D))
        self.history_projection = nn.Parameter(torch.empty(self.post_width + blocks * D, D))
        self.action_projection = nn.Parameter(torch.empty(config.n_actions, D))
        self.surface_table = nn.Parameter(torch.empty(config.n_surfaces, D))
        if dwell_input:
            self.dwell_in = nn.Parameter(torch.empty(1, config.dwell_hidden))
            self.dwell_out = nn.Parameter(torch.empty(config.dwell_hidden, D))
        self.dwell_input = dwell_input
        self.post_extras = PostExtras(config, D) if config.post_features else None

    def valid(self, history: HistoryInputs) -> Tensor:
        """(B, 1 + S) positions that may be seen."""
        return history.context_valid

    def forward(self, posts: PostInputs, history: HistoryInputs, trunk: Trunk) -> Tensor:
        """(B, 1 + S, D) tokens, the viewer first; the trunk multiplies rows of posts."""
        viewer = history.user_rows @ self.user_projection  # (B, D)
        if history.address_rows is not None:
            viewer = viewer + history.address_rows.sum(1)
        widths = [self.post_width] + [self.config.emb_size] * (2 + self.dwell_input)
        blocks = torch.split(self.history_projection, widths)
        part = trunk.project((posts.item_rows, posts.author_rows), blocks[0])  # (U, D)
        if self.post_extras is not None:
            part = part + self.post_extras(posts)
        token = spread(part, history.post)  # (B, S, D)
        token = token + self.action_part(history.actions, blocks[1])
        token = token + lookup(self.surface_table @ blocks[2], history.surface)
        if self.dwell_input and history.dwell_secs is not None:
            scale = self.config.dwell_scale_secs
            n = normalised_dwell(history.dwell_secs, scale, log=self.config.dwell_log)
            hidden = functional.gelu(n[..., None] @ self.dwell_in, approximate="tanh")
            token = token + hidden @ (self.dwell_out @ blocks[3])
        return torch.cat((viewer[:, None], token), dim=1)

    def action_part(self, actions: Tensor, block: Tensor) -> Tensor:
        """(B, S, D): present actions count +1, absent ones -1, and no action at all zero."""
        acted = actions.any(-1, keepdim=True).to(actions.dtype)
        return ((2 * actions - 1) * acted) @ (self.action_projection @ block)
