"""Seeded models and requests for the benches of the ranker.

Weights are drawn so that activations keep their size and attention is neither flat nor saturated;
nothing depends on what a model has learned.
"""

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn
from xfeed.phoenix.config import PhoenixConfig
from xfeed.phoenix.model.inputs import CandidateInputs, HistoryInputs, PostInputs
from xfeed.phoenix.model.ranker import Ranker, Scores

SEED: Final = 20_260_515
ACTED: Final = 0.3
"""Share of the actions that a history position carries."""


@dataclass(frozen=True)
class Request:
    """One viewer with a full history and some candidates; embeddings are already gathered.

    Attributes:
        history_posts: the posts of the history.
        history: what the viewer did with them.
        posts: the candidates' posts.
        candidates: the candidates, in the order of `posts`.
    """

    history_posts: PostInputs
    history: HistoryInputs
    posts: PostInputs
    candidates: CandidateInputs

    @property
    def n_candidates(self) -> int:
        return int(self.candidates.post.shape[1])

    def part(self, first: int, end: int) -> tuple[PostInputs, CandidateInputs]:
        """Some of the candidates."""
        at, posts = self.candidates, self.posts
        assert at.post_age is not None
        return (
            PostInputs(posts.item_rows[first:end], posts.author_rows[first:end]),
            CandidateInputs(
                post=torch.arange(min(end, self.n_candidates) - first)[None],
                surface=at.surface[:, first:end],
                post_age=at.post_age[:, first:end],
            ),
        )


def fill(model: nn.Module, seed: int) -> None:
    """Draws every parameter of a model and freezes it."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        drawn = torch.randn(parameter.shape, generator=generator)
        is_scale = parameter.ndim == 1
        values = 1 + 0.3 * drawn if is_scale else drawn / parameter.shape[0] ** 0.5
        parameter.data.copy_(values)
    model.requires_grad_(requires_grad=False)
    model.eval()


def make_ranker(config: PhoenixConfig, seed: int = SEED) -> Ranker:
    """A ranker with drawn weights."""
    ranker = Ranker(config)
    fill(ranker, seed)
    return ranker


def make_request(config: PhoenixConfig, n_candidates: int, seed: int = SEED + 1) -> Request:
    """A viewer of the published profile with a full history."""
    generator = torch.Generator().manual_seed(seed)

    def rows(n_rows: int, n_functions: int) -> Tensor:
        return torch.randn(n_rows, n_functions * config.table_width, generator=generator) * 0.7

    def below(limit: int, n: int) -> Tensor:
        return torch.randint(limit, (1, n), generator=generator)

    def posts(n_posts: int) -> PostInputs:
        item = rows(n_posts, config.item.n_functions)
        return PostInputs(item, rows(n_posts, config.author.n_functions))

    S, C = config.history_len, n_candidates
    history = HistoryInputs(
        user_rows=rows(1, config.user.n_functions),
        user_valid=torch.ones(1, dtype=torch.bool),
        post=torch.arange(S)[None],
        valid=torch.ones(1, S, dtype=torch.bool),
        actions=(torch.rand(1, S, config.n_actions, generator=generator) < ACTED).float(),
        surface=below(config.n_surfaces, S),
        dwell_secs=torch.rand(1, S, generator=generator) * 2 * config.dwell_scale_secs,
    )
    candidates = CandidateInputs(
        post=torch.arange(C)[None],
        surface=below(config.n_surfaces, C),
        post_age=below(config.n_post_ages, C),
    )
    return Request(posts(S), history, posts(C), candidates)


def rank_cold(ranker: Ranker, request: Request) -> Scores:
    """What a request costs when nothing is known of the viewer."""
    context = ranker.encode_context(request.history_posts, request.history)
    return ranker.score_candidates(context, request.posts, request.candidates)
