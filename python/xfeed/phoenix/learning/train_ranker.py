"""Trains the ranker: every head at once, on what the viewer saw next."""

import math
from dataclasses import dataclass, fields, replace
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from xfeed.actions import ACTIONS, INDEX, N_DISCRETE
from xfeed.phoenix.batch import PostColumns
from xfeed.phoenix.config import PhoenixConfig, TrainConfig
from xfeed.phoenix.input_config import DwellHead
from xfeed.phoenix.learning.batching import Batch, Batcher
from xfeed.phoenix.learning.examples import Examples
from xfeed.phoenix.learning.losses import (
    NEGATIVE_FEEDBACK,
    DwellLoss,
    activation_penalty,
    discrete_loss,
    dwell_loss,
    feedback_mask,
    log_q_weights,
)
from xfeed.phoenix.learning.optimize import (
    Optimizer,
    Progress,
    ProgressCallback,
    initialise,
)
from xfeed.phoenix.learning.tables import TrainingTables
from xfeed.phoenix.model.heads import DWELL_HEAD
from xfeed.phoenix.model.inputs import CandidateInputs
from xfeed.phoenix.model.ranker import Ranker, Scores

REJECTIONS: Final = tuple(
    row for row, action in enumerate(ACTIONS) if action.published_number in NEGATIVE_FEEDBACK
)
"""Heads that sampled negatives do not train."""


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


def dwell_rules(config: PhoenixConfig, weight: float) -> list[tuple[DwellHead, DwellLoss]]:
    """Heads of the dwell seconds and how each is learned.

    Without rules the only head is a share of the scale. With rules, bounded shares are learned by
    their absolute error and unbounded seconds by Tweedie deviance (published choice).
    """
    if not config.n_continuous:
        return []
    if not config.dwell_heads:
        only = DwellHead(DWELL_HEAD, "sigmoid", config.dwell_scale_secs)
        return [(only, DwellLoss("mae", weight))]
    return [
        (head, DwellLoss("mae" if head.activation == "sigmoid" else "tweedie", weight))
        for head in config.dwell_heads
    ]


def ranker_loss(
    scores: Scores,
    batch: Batch,
    config: PhoenixConfig,
    train: TrainConfig,
    negative: Tensor | None = None,
) -> Tensor:
    """Everything that the ranker learns from, as one number (published form).

    Binary cross-entropy summed over heads, the error of the dwell seconds and, if asked for, the
    mean square of the last layer. Sampled negatives weigh the less the more often their post was
    drawn, and teach neither seconds nor what viewers reject.

    Args:
        scores: of the batch's candidates.
        batch: with negatives appended if there are some.
        config: which heads there are.
        train: weights of the parts.
        negative: (B, C) sampled negatives, or None for none.
    """
    valid = batch.candidate_valid
    loss_mask = weights = None
    if negative is not None:
        loss_mask = feedback_mask(negative, REJECTIONS, scores.logits.shape[-1])
        posts = batch.candidates.post + 1  # places; the count is exact with a bin each
        weights = log_q_weights(posts, negative & valid, int(posts.max()) + 1)
    total = discrete_loss(scores.logits, batch.labels, valid, loss_mask=loss_mask, weights=weights)
    for head, loss in dwell_rules(config, train.dwell_weight):
        total = total + loss.weight * dwell_loss(
            scores.continuous[..., head.head],
            batch.dwell_secs,
            valid,
            loss,
            head,
            negative=negative,
            surface=batch.candidates.surface,
            weights=weights,
        )
    if train.activation_weight:
        total = total + train.activation_weight * activation_penalty(scores.hidden, valid)
    return total


def with_negatives(batch: Batch, rng: np.random.Generator) -> tuple[Batch, Tensor]:
    """Gives each viewer the candidates of another viewer of the batch, as passed by.

    Features are copied; of the labels only `not_dwelled` is set, and no seconds.

    Returns:
        The batch with 2 C candidates, and which of them (B, 2 C) are sampled. Where the batch
        has no other viewer, they are not valid.
    """
    B, C = batch.candidate_valid.shape
    other = rng.integers(0, B, size=(8, B))
    differs = batch.viewer_key[other] != batch.viewer_key
    found = torch.from_numpy(differs.any(0))
    donor = torch.from_numpy(other[differs.argmax(0), np.arange(B)])
    columns: dict[str, Any] = {}
    for field in fields(batch.candidates):
        column = getattr(batch.candidates, field.name)
        columns[field.name] = None if column is None else torch.cat((column, column[donor]), 1)
    labels = torch.zeros_like(batch.labels)
    labels[..., INDEX["not_dwelled"]] = 1
    negative = torch.zeros(B, 2 * C, dtype=torch.bool)
    negative[:, C:] = True
    wider = replace(
        batch,
        candidates=CandidateInputs(**columns),
        candidate_valid=torch.cat(
            (batch.candidate_valid, batch.candidate_valid[donor] & found[:, None]), 1
        ),
        labels=torch.cat((batch.labels, labels), 1),
        dwell_secs=torch.cat((batch.dwell_secs, torch.zeros_like(batch.dwell_secs)), 1),
    )
    return wider, negative


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
    tables = TrainingTables.fresh(config, posts, train, generator)
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
            negative = None
            if train.sampled_negatives:
                batch, negative = with_negatives(batch, rng)
            scores = model(batch.posts, batch.history, batch.candidates)
            loss = ranker_loss(scores, batch, config, train, negative)
            optimizer.step(loss)
            losses.append(float(loss.detach()))
            progress(Progress("ranker", optimizer.n_done, n_steps, losses[-1]))
    tail = losses[-max(len(losses) // 10, 1) :]
    return TrainedRanker(
        model, tables, n_steps, optimizer.n_skipped, float(np.mean(tail)) if tail else math.nan
    )
