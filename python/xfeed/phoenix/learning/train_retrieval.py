"""Trains the two towers: what a viewer liked must come before what others liked.

Positives are impressions with a deliberate positive action. The other positives of the batch,
and posts drawn evenly from all that were ever shown, are the negatives. A post that is often
liked is often a negative too, so its score is corrected by the logarithm of how often it is
drawn (log-q). Id rows of many posts are blanked in each step: a post that nobody has seen must
be found by its author, topics and language.
"""

import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from xfeed.actions import INDEX
from xfeed.phoenix.batch import PostColumns
from xfeed.phoenix.config import PhoenixConfig, TrainConfig
from xfeed.phoenix.learning.batching import Batch, Batcher
from xfeed.phoenix.learning.examples import Examples, Samples
from xfeed.phoenix.learning.optimize import (
    Optimizer,
    Progress,
    ProgressCallback,
    initialise,
)
from xfeed.phoenix.learning.tables import TrainingTables
from xfeed.phoenix.model.inputs import HistoryInputs
from xfeed.phoenix.model.retrieval import Retrieval

POSITIVE_ACTIONS: Final = (
    "favorite",
    "reply",
    "repost",
    "quote",
    "share",
    "share_via_dm",
    "share_via_copy_link",
    "bookmark",
    "follow_author",
    "click",
    "video_quality_view",
    "dwell",
)
"""Actions that make an impression a positive."""

POSITIVE_HEADS: Final = [INDEX[name] for name in POSITIVE_ACTIONS]

POSITIVE_MASK: Final = np.uint64(sum(1 << INDEX[name] for name in POSITIVE_ACTIONS))

NEVER: Final = -1e12
"""Score of a negative that must not count."""

LEAST_TEMPERATURE: Final = 0.01
"""A learned temperature stays above this, or one step could make every score infinite."""


@dataclass(frozen=True, slots=True)
class TrainedRetrieval:
    """Two towers, their tables, and how training went.

    Attributes:
        model: the dense part.
        tables: the embedding tables.
        n_steps: steps taken or skipped.
        n_skipped: steps skipped because a gradient was not finite.
        loss: mean loss of the last tenth of the steps.
    """

    model: Retrieval
    tables: TrainingTables
    n_steps: int
    n_skipped: int
    loss: float


def positives(examples: Examples, impressions: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Which impressions have a positive action."""
    marked: npt.NDArray[np.bool_] = (examples.label_actions[impressions] & POSITIVE_MASK) != 0
    return marked


def softmax_loss(scores: Tensor, log_draws: Tensor, target: Tensor, excluded: Tensor) -> Tensor:
    """Sampled softmax with log-q correction.

    Args:
        scores: (B, U) scores of viewers and posts, already divided by the temperature.
        log_draws: (U,) logarithm of how often a post is drawn per step.
        target: (B,) the positive's column.
        excluded: (B, U) columns that must not count as negatives.
    """
    corrected = (scores - log_draws).masked_fill(excluded, NEVER)
    return functional.cross_entropy(corrected, target)


class DrawRates:
    """How often each post turns up in a step, as a positive and as an even draw.

    Args:
        examples: the training impressions.
        positive_rows: post rows of the positives.
        n_posts: length of the post table.
        train: batch sizes.
    """

    def __init__(
        self,
        examples: Examples,
        positive_rows: npt.NDArray[np.int32],
        n_posts: int,
        train: TrainConfig,
    ) -> None:
        self.shown = np.unique(examples.interactions.post_row[examples.training])
        share = np.bincount(positive_rows, minlength=n_posts) / max(len(positive_rows), 1)
        even = np.zeros(n_posts)
        even[self.shown] = 1 / len(self.shown)
        expected = share * train.retrieval_batch_size + even * train.retrieval_negatives
        self.log_draws = torch.from_numpy(np.log(np.maximum(expected, 1e-9)).astype(np.float32))


def samples_with_positives(
    examples: Examples, n_candidates: int, rng: np.random.Generator
) -> Samples:
    """Training samples of which at least one candidate is a positive."""
    samples = examples.training_samples(n_candidates, rng)
    marked = positives(examples, samples.impressions)
    has_one = np.add.reduceat(marked, samples.first) > 0
    return samples.take(np.flatnonzero(has_one))


def train_retrieval(
    posts: PostColumns,
    examples: Examples,
    config: PhoenixConfig,
    train: TrainConfig,
    progress: ProgressCallback,
) -> TrainedRetrieval:
    """Trains the towers from scratch; without any positive they stay as they begin.

    Args:
        posts: every post.
        examples: split interactions.
        config: shape of the model.
        train: how to train.
        progress: called after each step.
    """
    rng = np.random.default_rng([train.seed, 2])
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    model = Retrieval(config)
    initialise(model, generator)
    tables = TrainingTables.fresh(config, posts, train, generator)
    batcher = Batcher(config, posts, examples, tables)
    marked = examples.training[positives(examples, examples.training)]
    rates = DrawRates(examples, examples.interactions.post_row[marked], len(posts), train)
    epochs = [
        samples_with_positives(examples, train.candidates_per_sample, rng)
        for _ in range(train.retrieval_epochs)
    ]
    n_steps = sum(math.ceil(len(samples) / train.retrieval_batch_size) for samples in epochs)
    optimizer = Optimizer(model, tables, train, n_steps)
    losses = []
    for samples in epochs:
        for rows in batcher.order(samples, train.retrieval_batch_size, rng):
            batch = batcher.batch(
                samples.take(rows),
                training=True,
                dropout=train.retrieval_id_dropout,
                generator=generator,
                extra=rng.choice(rates.shown, size=train.retrieval_negatives),
            )
            if train.cold_start_dropout:
                cold = torch.rand(len(rows), generator=generator) < train.cold_start_dropout
                batch = replace(batch, history=without_history(batch.history, cold))
            loss = retrieval_loss(model, batch, rates, train)
            optimizer.step(loss)
            losses.append(float(loss.detach()))
            progress(Progress("retrieval", optimizer.n_done, n_steps, losses[-1]))
    tail = losses[-max(len(losses) // 10, 1) :]
    return TrainedRetrieval(
        model, tables, n_steps, optimizer.n_skipped, float(np.mean(tail)) if tail else math.nan
    )


def without_history(history: HistoryInputs, cold: Tensor) -> HistoryInputs:
    """Blanks the row and the history of some viewers (B,); their tokens stay valid."""
    return replace(
        history,
        user_rows=history.user_rows.masked_fill(cold[:, None], 0),
        valid=history.valid & ~cold[:, None],
    )


def retrieval_loss(model: Retrieval, batch: Batch, rates: DrawRates, train: TrainConfig) -> Tensor:
    """Loss of one step: every positive against the other viewers' ones and the extra posts.

    What a viewer liked elsewhere in the batch is no negative for that viewer.

    Args:
        model: the towers; its learned temperature is used if it has one.
        batch: with extra posts.
        rates: how often each post is drawn.
        train: temperature and scale of the correction.
    """
    liked = (batch.labels[..., POSITIVE_HEADS].any(-1)) & batch.candidate_valid  # (B, C)
    sample, slot = liked.nonzero(as_tuple=True)  # (P,), (P,)
    places = torch.cat((batch.candidates.post[sample, slot], batch.extra))
    pool, column = torch.unique(places, return_inverse=True)  # (U,), (P + E,)
    target = column[: len(sample)]
    _, viewer = np.unique(batch.viewer_key, return_inverse=True)
    viewer_of = torch.from_numpy(viewer)[sample]  # (P,)
    likes = torch.zeros(int(viewer.max()) + 1, len(pool), dtype=torch.bool)
    likes[viewer_of, target] = True
    excluded = likes[viewer_of]
    excluded[torch.arange(len(sample)), target] = False
    viewers, _ = model.user_vectors(batch.posts, batch.history)  # (B, D)
    vectors = model.post_vectors(batch.posts.take(pool))  # (U, D)
    temperature: Tensor | float = train.retrieval_temperature
    if model.config.learned_temperature:
        temperature = model.temperature.clamp_min(LEAST_TEMPERATURE)
    scores = (viewers @ vectors.T)[sample] / temperature
    log_draws = train.log_q_scale * rates.log_draws[batch.post_row[pool]]
    return softmax_loss(scores, log_draws, target, excluded)
