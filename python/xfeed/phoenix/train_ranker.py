"""Trains the ranker: every head at once, on what the viewer saw next."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from xfeed.actions import N_DISCRETE
from xfeed.phoenix.batch import PostColumns
from xfeed.phoenix.batching import Batch, Batcher
from xfeed.phoenix.config import PhoenixConfig, TrainConfig
from xfeed.phoenix.examples import Examples
from xfeed.phoenix.optimize import Optimizer, Progress, ProgressCallback, initialise
from xfeed.phoenix.ranker import Ranker, Scores
from xfeed.phoenix.tables import TrainingTables

DWELL_HEAD = 0
"""Place of the dwell seconds among the continuous heads."""


@dataclass(frozen=True, slots=True)
class TrainedRanker:
    """A ranker, its tables, and how training went.

    Attributes:
        model: the dense part.
        tables: the embedding tables.
        n_steps: steps taken or skipped.
        n_skipped: steps skipped because a gradient was not finite.
        loss: mean loss of the last tenth of the steps.
    """

    model: Ranker
    tables: TrainingTables
    n_steps: int
    n_skipped: int
    loss: float


def base_rates(examples: Examples) -> Tensor:
    """(A,) smoothed share of each action among the training impressions.

    One made-up impression with half of each action is added, so no rate is 0 or 1.
    """
    bits = examples.label_actions[examples.training]
    counts = np.array([int((bits >> np.uint64(i) & np.uint64(1)).sum()) for i in range(N_DISCRETE)])
    return torch.from_numpy(((counts + 0.5) / (len(bits) + 1)).astype(np.float32))


def ranker_loss(scores: Scores, batch: Batch, config: PhoenixConfig, dwell_weight: float) -> Tensor:
    """Binary cross-entropy summed over heads, plus the error of the clipped dwell seconds.

    Both are averaged over the valid candidates (published form).
    """
    valid = batch.candidate_valid.to(scores.logits.dtype)
    n_valid = valid.sum().clamp_min(1)
    entropy = functional.binary_cross_entropy_with_logits(
        scores.logits, batch.labels, reduction="none"
    ).sum(-1)
    target = batch.dwell_secs.clamp(0, config.dwell_scale_secs) / config.dwell_scale_secs
    error = (scores.continuous[..., DWELL_HEAD] - target).abs()
    return ((entropy + dwell_weight * error) * valid).sum() / n_valid


def train_ranker(
    posts: PostColumns,
    examples: Examples,
    config: PhoenixConfig,
    train: TrainConfig,
    progress: ProgressCallback,
) -> TrainedRanker:
    """Trains a ranker from scratch.

    Args:
        posts: every post.
        examples: split interactions.
        config: shape of the model.
        train: how to train.
        progress: called after each step.
    """
    rng = np.random.default_rng([train.seed, 1])
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    model = Ranker(config)
    initialise(model, generator)
    rates = base_rates(examples)
    if model.affinity is not None:
        model.affinity.usual_rates.copy_(rates)
    if config.head_bias:
        with torch.no_grad():
            model.action_bias.copy_(rates.logit())
    tables = TrainingTables(config, posts, train.table_init_std, generator)
    batcher = Batcher(config, posts, examples, tables)
    epochs = [
        examples.training_samples(train.candidates_per_sample, rng)
        for _ in range(train.ranker_epochs)
    ]
    n_steps = sum(math.ceil(len(samples) / train.batch_size) for samples in epochs)
    optimizer = Optimizer(model, tables, train, n_steps)
    losses = []
    for samples in epochs:
        for rows in batcher.order(samples, train.batch_size, rng):
            batch = batcher.batch(
                samples.take(rows), training=True, dropout=train.id_dropout, generator=generator
            )
            scores = model(batch.posts, batch.history, batch.candidates)
            loss = ranker_loss(scores, batch, config, train.dwell_weight)
            optimizer.step(loss)
            losses.append(float(loss.detach()))
            progress(Progress("ranker", optimizer.n_done, n_steps, losses[-1]))
    tail = losses[-max(len(losses) // 10, 1) :]
    return TrainedRanker(
        model, tables, n_steps, optimizer.n_skipped, float(np.mean(tail)) if tail else math.nan
    )
