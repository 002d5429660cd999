"""What the models read, and how it becomes tokens.

Posts are looked up once however often they appear: `PostInputs` holds U distinct posts, and
history and candidates point into it. The models take looked-up embedding rows, never tables, so
training (torch tables) and serving (rows gathered by the Rust core) share one forward pass.

The published model concatenates the pieces of a token and multiplies them with one matrix. A
product of a concatenation is the sum of the products of its blocks, so each block is multiplied
where it is smallest: small tables before the look-up, posts before they are spread out.
"""

from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from xfeed.phoenix.config import DURATION_BUCKETS, MEDIA_KINDS, PhoenixConfig
from xfeed.phoenix.transformer import PREFIX


@dataclass(frozen=True, slots=True)
class PostKeys:
    """Keys of posts, for comparing; 0 is unknown and equals nothing.

    Attributes:
        post: (...) keys as signed integers.
        author: (...).
        topics: (..., 4).
    """

    post: Tensor
    author: Tensor
    topics: Tensor

    def take(self, rows: Tensor) -> "PostKeys":
        """Picks posts."""
        return PostKeys(self.post[rows], self.author[rows], self.topics[rows])


@dataclass(frozen=True, slots=True)
class PostInputs:
    """U distinct posts; Hi, Ha, Hl and Ht are the hash functions of each kind of id.

    Attributes:
        item_rows: (U, Hi * W).
        author_rows: (U, Ha * W).
        media_kind: (U,) or None.
        duration: (U,) bucket, or None.
        language_rows: (U, Hl * W) or None.
        topic_rows: (U, Ht * W) sum over the topics, or None.
        keys: keys of the posts, or None.
    """

    item_rows: Tensor
    author_rows: Tensor
    media_kind: Tensor | None = None
    duration: Tensor | None = None
    language_rows: Tensor | None = None
    topic_rows: Tensor | None = None
    keys: PostKeys | None = None

    def take(self, rows: Tensor) -> "PostInputs":
        """Picks posts."""
        columns = {field.name: getattr(self, field.name) for field in fields(self)}
        return PostInputs(**{name: _pick(column, rows) for name, column in columns.items()})


@dataclass(frozen=True, slots=True)
class HistoryInputs:
    """Viewers and what they did, oldest first, padding last.

    Attributes:
        user_rows: (B, Hu * W).
        user_valid: (B,).
        post: (B, S) rows of `PostInputs`.
        valid: (B, S).
        actions: (B, S, A) multi-hot.
        surface: (B, S).
        dwell_secs: (B, S) or None.
        address_rows: (B, Hip, D) or None.
    """

    user_rows: Tensor
    user_valid: Tensor
    post: Tensor
    valid: Tensor
    actions: Tensor
    surface: Tensor
    dwell_secs: Tensor | None = None
    address_rows: Tensor | None = None

    @property
    def context_valid(self) -> Tensor:
        """(B, 1 + S) valid positions of the context."""
        return torch.cat((self.user_valid[:, None], self.valid), dim=1)


@dataclass(frozen=True, slots=True)
class CandidateInputs:
    """C candidates for each of B viewers.

    Attributes:
        post: (B, C) rows of `PostInputs`.
        surface: (B, C).
        post_age: (B, C) bucket, or None.
        hour: (B, C) hour of the day plus one, or None.
    """

    post: Tensor
    surface: Tensor
    post_age: Tensor | None = None
    hour: Tensor | None = None


def _pick(column: Any, rows: Tensor) -> Any:
    """Rows of a column that may be missing."""
    if column is None:
        return None
    return column.take(rows) if isinstance(column, PostKeys) else column[rows]


def normalised_dwell(secs: Tensor, scale_secs: float, *, log: bool) -> Tensor:
    """Seconds clipped to [0, scale] and brought to [0, 1], evenly or logarithmically."""
    clipped = secs.clamp(0, scale_secs)
    if log:
        return clipped.log1p() / torch.log1p(torch.tensor(scale_secs, dtype=secs.dtype))
    return clipped / scale_secs


def lookup(table: Tensor, index: Tensor) -> Tensor:
    """Rows of a small table; an index outside gives the zero vector."""
    inside = (index >= 0) & (index < table.shape[0])
    rows = functional.embedding(torch.where(inside, index, 0), table)
    return torch.where(inside[..., None], rows, torch.zeros((), dtype=rows.dtype))


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

    def forward(self, posts: PostInputs, history: HistoryInputs) -> Tensor:
        """(B, 1 + S, D) tokens, the viewer first."""
        viewer = history.user_rows @ self.user_projection  # (B, D)
        if history.address_rows is not None:
            viewer = viewer + history.address_rows.sum(1)
        widths = [self.post_width] + [self.config.emb_size] * (2 + self.dwell_input)
        blocks = torch.split(self.history_projection, widths)
        token = self.post_part(posts, blocks[0])[history.post]  # (B, S, D)
        token = token + self.action_part(history.actions, blocks[1])
        token = token + lookup(self.surface_table @ blocks[2], history.surface)
        if self.dwell_input and history.dwell_secs is not None:
            scale = self.config.dwell_scale_secs
            n = normalised_dwell(history.dwell_secs, scale, log=self.config.dwell_log)
            hidden = functional.gelu(n[..., None] @ self.dwell_in, approximate="tanh")
            token = token + hidden @ (self.dwell_out @ blocks[3])
        return torch.cat((viewer[:, None], token), dim=PREFIX)

    def post_part(self, posts: PostInputs, block: Tensor) -> Tensor:
        """(U, D) what a history token takes from its post."""
        part = torch.cat((posts.item_rows, posts.author_rows), dim=-1) @ block
        return part if self.post_extras is None else part + self.post_extras(posts)

    def action_part(self, actions: Tensor, block: Tensor) -> Tensor:
        """(B, S, D): present actions count +1, absent ones -1, and no action at all zero."""
        acted = actions.any(-1, keepdim=True).to(actions.dtype)
        return ((2 * actions - 1) * acted) @ (self.action_projection @ block)
