"""Measures both models on the held-out impressions, next to baselines that anyone can compute.

Each held-out impression is scored alone with the history that the viewer had right then, as when
serving. The baselines for the ranker are the smoothed rate of the post and of the viewer over the
training impressions; for retrieval it is popularity.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch

from xfeed.actions import ACTIONS, INDEX, N_DISCRETE
from xfeed.phoenix.batch import PostColumns
from xfeed.phoenix.learning.batching import Batcher
from xfeed.phoenix.learning.examples import Examples, Samples
from xfeed.phoenix.learning.metrics import (
    auc,
    calibration,
    log_loss,
    ndcg,
    pr_auc,
    r_squared,
    recall_at,
    relative_cross_entropy,
    relative_error,
    smoothed_rates,
)
from xfeed.phoenix.learning.optimize import Progress, ProgressCallback
from xfeed.phoenix.learning.train_ranker import TrainedRanker
from xfeed.phoenix.learning.train_retrieval import TrainedRetrieval, positives
from xfeed.phoenix.model.heads import DWELL_HEAD

EVALUATION_BATCH: Final = 512

RECALL_AT: Final = (10, 50, 100, 200)
"""Depths at which retrieval is measured."""


@dataclass(frozen=True, slots=True)
class ActionReport:
    """How well one action is predicted on the held-out impressions.

    Attributes:
        positives: impressions with the action.
        auc: area under the ROC curve; None if a class is missing.
        pr_auc: area under precision and recall; None without positives.
        ndcg: mean over viewers with a positive of the gain of the model's order; None if none.
        log_loss: mean negative log-likelihood of the model.
        rce: by how many per cent that beats the share of positives as the only prediction; None
            if a class is missing.
        constant_log_loss: the same for the training rate as the only prediction.
        calibration: expected over observed positives; None without positives.
        post_rate_auc: AUC of the post's smoothed training rate.
        viewer_rate_auc: AUC of the viewer's smoothed training rate.
    """

    positives: int
    auc: float | None
    pr_auc: float | None
    ndcg: float | None
    log_loss: float | None
    rce: float | None
    constant_log_loss: float | None
    calibration: float | None
    post_rate_auc: float | None
    viewer_rate_auc: float | None


@dataclass(frozen=True, slots=True)
class RankerReport:
    """The ranker on the held-out impressions.

    Attributes:
        impressions: impressions evaluated.
        loss: log loss summed over the actions; None without impressions.
        actions: report by action name.
        dwell_error_secs: mean absolute error of the clipped dwell seconds.
        constant_dwell_error_secs: the same for the training median.
        dwell_gain: by how many per cent the first beats the second; None if that has none.
        dwell_r_squared: share of the variance of the clipped seconds that is explained.
    """

    impressions: int
    loss: float | None
    actions: dict[str, ActionReport]
    dwell_error_secs: float | None
    constant_dwell_error_secs: float | None
    dwell_gain: float | None
    dwell_r_squared: float | None


@dataclass(frozen=True, slots=True)
class RetrievalReport:
    """Retrieval on the held-out positives.

    Attributes:
        targets: held-out impressions with a positive action.
        new_targets: those of posts without a training impression.
        corpus: posts searched: all that were shown in the held-out slice.
        recall: share of targets among the first k, by k.
        new_recall: the same over `new_targets`.
        popularity_recall: the same for posts in order of training positives.
    """

    targets: int
    new_targets: int
    corpus: int
    recall: dict[str, float | None]
    new_recall: dict[str, float | None]
    popularity_recall: dict[str, float | None]


def evaluate_ranker(
    trained: TrainedRanker,
    posts: PostColumns,
    examples: Examples,
    limit: int,
    progress: ProgressCallback,
) -> RankerReport:
    """Scores held-out impressions one by one and compares with the baselines.

    Args:
        trained: model and tables.
        posts: every post.
        examples: split interactions.
        limit: most impressions to score.
        progress: called after each batch.
    """
    samples = examples.held_out_samples(limit)
    probabilities, dwell = predict(trained, posts, examples, samples, progress)
    rows = samples.impressions[samples.first]
    actions = {
        ACTIONS[head].name: _action_report(examples, rows, head, probabilities[:, head])
        for head in range(N_DISCRETE)
    }
    scale = trained.model.config.dwell_scale_secs
    target = np.clip(examples.label_dwell[rows], 0, scale)
    known = np.clip(examples.label_dwell[examples.training], 0, scale)
    error = constant = gain = explained = None
    if len(rows):
        error = float(np.abs(dwell - target).mean())
        constant = float(np.abs(np.median(known) - target).mean())
        gain = relative_error(error, constant)
        explained = r_squared(target, dwell)
    losses = [one.log_loss for one in actions.values() if one.log_loss is not None]
    loss = float(np.sum(losses)) if losses else None
    return RankerReport(len(rows), loss, actions, error, constant, gain, explained)


def predict(
    trained: TrainedRanker,
    posts: PostColumns,
    examples: Examples,
    samples: Samples,
    progress: ProgressCallback,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Probabilities (m, A) and dwell seconds (m,)."""
    batcher = Batcher(trained.model.config, posts, examples, trained.tables)
    scale = trained.model.config.dwell_scale_secs
    probabilities = np.zeros((len(samples), N_DISCRETE), dtype=np.float32)
    dwell = np.zeros(len(samples), dtype=np.float32)
    n_done = 0
    with torch.inference_mode():
        for order in batcher.order(samples, EVALUATION_BATCH, None):
            batch = batcher.batch(samples.take(order))
            scores = trained.model(batch.posts, batch.history, batch.candidates)
            probabilities[order] = scores.logits[:, 0].sigmoid().numpy()
            secs = trained.model.seconds(scores, batch.candidates)
            dwell[order] = secs[:, 0, DWELL_HEAD].clamp(0, scale).numpy()
            n_done += len(order)
            progress(Progress("ranker evaluation", n_done, len(samples), None))
    return probabilities, dwell


def _action_report(
    examples: Examples,
    rows: npt.NDArray[np.int64],
    head: int,
    probabilities: npt.NDArray[np.float32],
) -> ActionReport:
    """Compares one head with the labels and the baselines."""
    bit = np.uint64(1 << head)
    labels = (examples.label_actions[rows] & bit) != 0
    known = (examples.label_actions[examples.training] & bit) != 0
    table = examples.interactions
    by_post = smoothed_rates(table.post_row[examples.training], known, table.post_row[rows])
    by_viewer = smoothed_rates(table.viewer_key[examples.training], known, table.viewer_key[rows])
    return ActionReport(
        positives=int(labels.sum()),
        auc=auc(labels, probabilities),
        pr_auc=pr_auc(labels, probabilities),
        ndcg=ndcg(labels, probabilities, table.viewer_key[rows]),
        log_loss=log_loss(labels, probabilities),
        rce=relative_cross_entropy(labels, probabilities),
        constant_log_loss=log_loss(labels, np.full(len(labels), known.mean())),
        calibration=calibration(labels, probabilities),
        post_rate_auc=auc(labels, by_post),
        viewer_rate_auc=auc(labels, by_viewer),
    )


def evaluate_retrieval(
    trained: TrainedRetrieval,
    posts: PostColumns,
    examples: Examples,
    limit: int,
    progress: ProgressCallback,
) -> RetrievalReport:
    """Looks for each held-out positive among all posts of the held-out slice.

    Args:
        trained: towers and tables.
        posts: every post.
        examples: split interactions.
        limit: most impressions to look at.
        progress: called after each batch.
    """
    samples = examples.held_out_samples(limit)
    rows = samples.impressions[samples.first]
    samples = samples.take(np.flatnonzero(positives(examples, rows)))
    post_row = examples.interactions.post_row
    corpus = np.unique(post_row[examples.held_out])
    target_row = post_row[samples.impressions[samples.first]]
    ranks = _ranks(trained, posts, examples, samples, corpus, progress)
    shown = np.zeros(len(posts), dtype=bool)
    shown[post_row[examples.training]] = True
    marked = examples.training[positives(examples, examples.training)]
    popularity = np.bincount(post_row[marked], minlength=len(posts))[corpus]
    place = np.empty(len(corpus), dtype=np.int64)
    place[np.lexsort((posts.post_key[corpus], -popularity))] = np.arange(len(corpus))
    popular_ranks = place[np.searchsorted(corpus, target_row)]
    is_new = ~shown[target_row]
    return RetrievalReport(
        targets=len(samples),
        new_targets=int(is_new.sum()),
        corpus=len(corpus),
        recall=_recalls(ranks),
        new_recall=_recalls(ranks[is_new]),
        popularity_recall=_recalls(popular_ranks),
    )


def _ranks(
    trained: TrainedRetrieval,
    posts: PostColumns,
    examples: Examples,
    samples: Samples,
    corpus: npt.NDArray[np.int32],
    progress: ProgressCallback,
) -> npt.NDArray[np.int64]:
    """(m,) place of each target in its viewer's order of the corpus; ties count against it."""
    batcher = Batcher(trained.model.config, posts, examples, trained.tables)
    target = np.searchsorted(
        corpus, examples.interactions.post_row[samples.impressions[samples.first]]
    )
    ranks = np.zeros(len(samples), dtype=np.int64)
    n_done = 0
    with torch.inference_mode():
        inputs = trained.tables.posts(torch.from_numpy(corpus.astype(np.int64)))
        vectors = trained.model.post_vectors(inputs)  # (N, D)
        for order in batcher.order(samples, EVALUATION_BATCH, None):
            batch = batcher.batch(samples.take(order))
            viewers, _ = trained.model.user_vectors(batch.posts, batch.history)
            scores = viewers @ vectors.T  # (B, N)
            own = scores.gather(1, torch.from_numpy(target[order])[:, None])
            ranks[order] = (scores >= own).sum(1).numpy() - 1
            n_done += len(order)
            progress(Progress("retrieval evaluation", n_done, len(samples), None))
    return ranks


def _recalls(ranks: npt.NDArray[np.int64]) -> dict[str, float | None]:
    """Recall at each depth."""
    return {str(k): recall_at(ranks, k) for k in RECALL_AT}


def mean_auc(report: RankerReport, names: tuple[str, ...]) -> float | None:
    """Mean AUC over some actions; None if one of them has none."""
    values = [report.actions[name].auc for name in names if name in INDEX]
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known and len(known) == len(values) else None
