"""Random models and inputs of every profile."""

from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor
from xfeed.phoenix.config import PhoenixConfig
from xfeed.phoenix.input_config import MomentConfig
from xfeed.phoenix.model.inputs import (
    CandidateInputs,
    HistoryInputs,
    PostInputs,
    PostKeys,
    ViewerColumns,
)
from xfeed.phoenix.model.ranker import Ranker
from xfeed.phoenix.model.retrieval import Retrieval
from xfeed.phoenix.profiles import preset

from tests.phoenix.worlds import small_config


class Inputs(NamedTuple):
    posts: PostInputs
    history: HistoryInputs
    candidates: CandidateInputs


def concatenated() -> PhoenixConfig:
    """The August ranker with concatenated inputs, a cap and norms after each part."""
    config = preset("tiny-prod").ranker
    assert config.semantic_ids is not None
    return replace(
        config,
        inputs="concat",
        norms="sandwich",
        qk_norm=False,
        attention_cap=80.0,
        attention_cap_kind="soft_sign",
        n_kv_heads=1,
        n_actions=16,
        action_slices=True,
        moment=MomentConfig(("surface", "post_age", "hour"), (6, 5, 4)),
        semantic_ids=replace(config.semantic_ids, cross_attention=True),
    )


RANKERS = {
    "demo": small_config(),
    "may": preset("tiny").ranker,
    "may-anchored": replace(preset("tiny").ranker, positions="right_anchored"),
    "summed": preset("tiny-prod").ranker,
    "concat": concatenated(),
}
"""A small ranker of every profile."""

ANCHORED = sorted(set(RANKERS) - {"may"})
"""Profiles in which a candidate's place does not matter."""

RETRIEVALS = {
    "demo": small_config(),
    "may": preset("tiny").retrieval,
    "mean": replace(preset("tiny").retrieval, candidate_tower="mean"),
    "concat": preset("tiny-prod").retrieval,
    "nano": replace(preset("tiny-prod").retrieval, prefix_len=0, viewer_features=None),
    "summed": replace(
        preset("tiny-prod").ranker, candidate_tower="summed", n_towers=2, user_out_norm=True
    ),
}
"""A small retrieval model of every profile."""


def randomise(model: torch.nn.Module, seed: int) -> None:
    """Fills every parameter so that nothing is zero and queries are sharp."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.ndim < 2:
                parameter.add_(noise, alpha=0.2)
                continue
            width = parameter.shape[1] if name.endswith("_table") else parameter.shape[0]
            sharp = 2.0 if name.endswith(("query", "key")) else 1.0
            parameter.copy_(noise * sharp * width**-0.5)


def make_ranker(profile: str, seed: int = 1) -> Ranker:
    """A random ranker of a profile."""
    model = Ranker(RANKERS[profile])
    randomise(model, seed)
    return model.eval().requires_grad_(requires_grad=False)


def make_retrieval(profile: str, seed: int = 1) -> Retrieval:
    """A random retrieval model of a profile."""
    model = Retrieval(RETRIEVALS[profile])
    randomise(model, seed)
    return model.eval().requires_grad_(requires_grad=False)


def make_viewers(n_viewers: int, generator: torch.Generator) -> ViewerColumns:
    """Random facts about viewers."""

    def whole(high: int, *shape: int) -> Tensor:
        return torch.randint(0, high, (n_viewers, *shape), generator=generator)

    def degrees(spread: float) -> Tensor:
        return torch.randn(n_viewers, generator=generator) * spread

    return ViewerColumns(
        country=whole(250),
        language=whole(200),
        latitude=degrees(40),
        longitude=degrees(80),
        apps=whole(2, 64),
        gender=whole(3),
        inferred_gender=whole(2),
        inferred_gender_score=degrees(1).abs(),
        age_bracket=whole(10),
        age_years=whole(90).float(),
    )


def make_inputs(
    config: PhoenixConfig,
    *,
    n_viewers: int = 3,
    history_len: int | None = None,
    n_candidates: int = 5,
    seed: int = 0,
) -> Inputs:
    """Random inputs with every column that a profile may read.

    Histories have all lengths from 0 to S; the last viewer is unknown.
    """
    generator = torch.Generator().manual_seed(seed)
    B, C, W = n_viewers, n_candidates, config.table_width
    S = config.history_len if history_len is None else history_len
    U = B * (S + C) // 2 + 2

    def numbers(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    def whole(high: int, *shape: int) -> Tensor:
        return torch.randint(0, high, shape, generator=generator)

    posts = PostInputs(
        numbers(U, config.item.n_functions * W * config.item_rows),
        numbers(U, config.author.n_functions * W),
        media_kind=whole(5, U),
        duration=whole(16, U),
        language_rows=numbers(U, config.language.n_functions * W) if config.language else None,
        topic_rows=numbers(U, config.topic.n_functions * W) if config.topic else None,
        keys=PostKeys(whole(50, U), whole(9, U), whole(7, U, 4)),
        semantic_ids=whole(257, U, config.semantic_ids.n_levels) if config.semantic_ids else None,
        item_hash=whole(500, U),
    )

    def moment(n: int) -> dict[str, Tensor]:
        return {
            "surface": whole(17, B, n),
            "post_age": whole(82, B, n),
            "hour": whole(25, B, n),
            "weekday": whole(8, B, n),
            "timezone": whole(32, B, n),
            "author_followed": whole(2, B, n).bool(),
            "author_follows": whole(2, B, n).bool(),
            "counts": whole(9_000, B, n, 5).float(),
        }

    history = HistoryInputs(
        user_rows=numbers(B, config.user.n_functions * W * config.user_rows),
        user_valid=torch.arange(B) < max(B - 1, 1),
        post=whole(U, B, S),
        valid=torch.arange(S) < torch.cat((torch.tensor([S]), whole(S + 1, B - 1)))[:, None],
        actions=(torch.rand(B, S, config.n_actions, generator=generator) < 0.2).float(),
        dwell_secs=whole(60, B, S).float(),
        address_rows=numbers(B, 2, W) if config.address else None,
        viewer=make_viewers(B, generator),
        **moment(S),
    )
    candidates = CandidateInputs(whole(U, B, C), stale=whole(2, B, C).bool(), **moment(C))
    return Inputs(posts, history, candidates)
