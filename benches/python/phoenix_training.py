"""How fast the models of the demo learn, with one thread as `Feed.fit` trains them."""

import time
from typing import Final

import numpy as np
import torch
from xfeed.actions import INDEX
from xfeed.phoenix.batch import InteractionColumns, PostColumns
from xfeed.phoenix.config import PhoenixConfig, TrainConfig
from xfeed.phoenix.learning.examples import Examples
from xfeed.phoenix.learning.optimize import Progress
from xfeed.phoenix.learning.train_ranker import train_ranker
from xfeed.phoenix.learning.train_retrieval import train_retrieval

from benches.python.phoenix_serving import make_posts
from benches.python.timing import QUICK, Figure
from benches.python.workload import DAY_MS, NOW_MS

SEED: Final = 20_260_821
N_POSTS: Final = 500 if QUICK else 20_000
N_VIEWERS: Final = 50 if QUICK else 2_000
N_IMPRESSIONS: Final = 3_000 if QUICK else 120_000
FIRST_STEPS: Final = 2
"""Steps that do not count: they warm up."""


def training_figures() -> list[Figure]:
    """Samples a second of both models."""
    posts = make_posts(SEED, N_POSTS)
    examples = Examples.split(interactions(posts), 0.1)
    train = TrainConfig(ranker_epochs=1, retrieval_epochs=1)
    figures = []
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    for name, fit, batch_size in (
        ("ranker", train_ranker, train.batch_size),
        ("retrieval", train_retrieval, train.retrieval_batch_size),
    ):
        ends: list[float] = []

        def report(_: Progress, ends: list[float] = ends) -> None:
            ends.append(time.perf_counter())

        fit(posts, examples, PhoenixConfig.demo(), train, report)
        steps = np.diff(ends[FIRST_STEPS:])
        note = (
            f"{batch_size} samples a step; a sample is a viewer, a history and up to "
            f"{train.candidates_per_sample} candidates"
        )
        rate = batch_size / float(np.median(steps))
        figures.append(Figure(f"training the demo's {name}, 1 thread", rate, "samples/s", note))
    torch.set_num_threads(before)
    return figures


def interactions(posts: PostColumns) -> InteractionColumns:
    """Impressions of the last ten days; three in ten were acted upon."""
    rng = np.random.default_rng(SEED)
    rows = InteractionColumns.zeros(N_IMPRESSIONS)
    viewer = rng.integers(1, N_VIEWERS + 1, N_IMPRESSIONS).astype(np.uint64)
    at_ms = NOW_MS - rng.integers(1, 10 * DAY_MS, N_IMPRESSIONS)
    order = np.lexsort((at_ms, viewer))
    rows.viewer_key[:], rows.at_ms[:] = viewer[order], at_ms[order]
    rows.post_row[:] = rng.integers(0, len(posts), N_IMPRESSIONS)
    acted = rng.random(N_IMPRESSIONS) < 0.3
    rows.actions[:] = np.where(acted, np.uint64(1 << INDEX["favorite"]), np.uint64(0))
    rows.dwell_secs[:] = np.where(acted, 12.0, 1.0)
    rows.acted_ms[:] = np.where(acted, rows.at_ms + 5_000, 0)
    rows.is_impression[:] = True
    return rows
