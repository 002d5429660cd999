"""Measures of ranking and of calibration, in plain numpy.

AUC, log loss and recall are the usual ones. The rest follows the definitions that the release of
August 2026 reports while training, quirks included where they decide the number; each says so.
"""

import math
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.floating[Any]]

PR_THRESHOLDS: Final = np.geomspace(1e-5, 1.0, 256)
"""Thresholds of the area under precision and recall (published)."""

PROBABILITY_FLOOR: Final = 1e-7
"""How near to 0 and 1 probabilities come in a logarithm."""


def auc(labels: npt.NDArray[np.bool_], scores: npt.NDArray[np.floating[Any]]) -> float | None:
    """Area under the ROC curve; tied scores share their average rank.

    The chance that a positive outranks a negative (Mann-Whitney): ``(sum of the positives'
    ranks - P (P + 1) / 2) / (P N)``.

    Args:
        labels: (n,).
        scores: (n,) finite scores.

    Returns:
        A number in [0, 1]; None if a class is missing.
    """
    n_positive = int(labels.sum())
    n_negative = len(labels) - n_positive
    if not n_positive or not n_negative:
        return None
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    last_rank = np.cumsum(counts)
    mean_rank = last_rank - (counts - 1) / 2
    rank_sum = mean_rank[place][labels].sum()
    return float((rank_sum - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative))


def log_loss(
    labels: npt.NDArray[np.bool_], probabilities: npt.NDArray[np.floating[Any]]
) -> float | None:
    """Mean negative log-likelihood; probabilities are kept 1e-7 away from 0 and 1.

    Args:
        labels: (n,).
        probabilities: (n,).

    Returns:
        None for no rows.
    """
    if not len(labels):
        return None
    p = np.clip(probabilities.astype(np.float64), PROBABILITY_FLOOR, 1 - PROBABILITY_FLOOR)
    return float(-np.where(labels, np.log(p), np.log1p(-p)).mean())


def calibration(
    labels: npt.NDArray[np.bool_], probabilities: npt.NDArray[np.floating[Any]]
) -> float | None:
    """Expected over observed positives; 1 is right. None without positives."""
    n_positive = int(labels.sum())
    return float(probabilities.astype(np.float64).sum() / n_positive) if n_positive else None


def positive_ratio(labels: Bools) -> float | None:
    """Share of positives. None for no rows."""
    return float(labels.mean()) if len(labels) else None


def relative_cross_entropy(labels: Bools, probabilities: Floats) -> float | None:
    """By how many per cent the log loss beats that of the base rate (RCE).

    ``100 * (H(base) - loss) / H(base)`` with the entropy H of the share of positives; 0 is no
    better than a constant. None if a class is missing, since H is 0 then.
    """
    loss, base = log_loss(labels, probabilities), positive_ratio(labels)
    if loss is None or base is None or not 0 < base < 1:
        return None
    return relative_to_base(loss, base)


def relative_to_base(loss: float, base: float) -> float:
    """`relative_cross_entropy` from a loss and a base rate inside (0, 1)."""
    entropy = -(base * math.log(base) + (1 - base) * math.log1p(-base))
    return 100 * (entropy - loss) / entropy


def ndcg(
    labels: Bools,
    scores: Floats,
    group: npt.NDArray[np.integer[Any]],
    *,
    without_positive: float | None = None,
) -> float | None:
    """Mean over groups of the discounted gain over that of the best order.

    ``sum(label / log2(place + 2))`` by falling score; ties keep their order.

    Args:
        labels: (n,).
        scores: (n,).
        group: (n,) who a row belongs to.
        without_positive: what a group without a positive counts; None leaves it out. The
            published number counts 1.

    Returns:
        A number in [0, 1]; None if no group counts.
    """
    if not len(labels):
        return None
    _, member = np.unique(group, return_inverse=True)
    n_groups = int(member.max()) + 1
    order = np.lexsort((-scores, member))
    size = np.bincount(member, minlength=n_groups)
    start = np.cumsum(size) - size
    place = np.arange(len(labels)) - start[member[order]]
    gain = labels[order] / np.log2(place + 2)
    reached = np.bincount(member[order], weights=gain, minlength=n_groups)
    best = np.append(0.0, np.cumsum(1 / np.log2(np.arange(len(labels)) + 2)))
    n_positive = np.bincount(member, weights=labels, minlength=n_groups).astype(np.int64)
    counts = n_positive > 0
    values = reached / np.where(counts, best[n_positive], 1.0)
    if without_positive is None:
        return float(values[counts].mean()) if counts.any() else None
    return float(np.where(counts, values, without_positive).mean())


def pr_auc(labels: Bools, probabilities: Floats) -> float | None:
    """Area under precision and recall over 256 geometric thresholds.

    A step of recall counts with the precision at the lowest threshold that still has this recall,
    as in the released code; positives below 1e-5 are never reached.

    Returns:
        A number in [0, 1]; None without positives.
    """
    n_positive = int(labels.sum())
    if not n_positive:
        return None
    bins = np.searchsorted(PR_THRESHOLDS, probabilities, side="left")  # thresholds below
    n_bins = len(PR_THRESHOLDS) + 1
    above = np.cumsum(np.bincount(bins, minlength=n_bins)[::-1])[::-1][1:]
    hits = np.cumsum(np.bincount(bins, weights=labels, minlength=n_bins)[::-1])[::-1][1:]
    lowest = np.append(True, hits[1:] != hits[:-1]) & (hits > 0)  # first of each level of recall
    levels, precision = hits[lowest], hits[lowest] / above[lowest]
    steps = levels - np.append(levels[1:], 0)
    return float((steps * precision).sum() / n_positive)


def published_calibration(
    labels: Bools, probabilities: Floats, weights: Floats | None = None
) -> float:
    """Expected over observed positives as published: ``sum(w p) / max(sum(w y) + 1e-4, 1)``."""
    w = np.ones(len(labels)) if weights is None else weights.astype(np.float64)
    return float((w * probabilities).sum() / max(float((w * labels).sum()) + 1e-4, 1.0))


class Smoothed:
    """A mean that forgets: sums of many batches in which old samples fade.

    The share of what came n samples ago is ``exp(-n / window)``. The release smooths the parts of
    RCE and calibration over windows of 1,048,576 and 4,194,304 samples.

    Args:
        window: samples after which a batch counts a third.
    """

    def __init__(self, window: float) -> None:
        self.window = window
        self.sums: dict[str, float] = {}
        self.samples = 0.0

    def add(self, n_samples: int, **sums: float) -> None:
        """Adds sums over the samples of one batch; ones that are not finite are left out."""
        if not all(math.isfinite(value) for value in sums.values()):
            return
        fade = math.exp(-n_samples / self.window)
        self.samples = self.samples * fade + n_samples
        for name in self.sums.keys() | sums.keys():
            self.sums[name] = self.sums.get(name, 0.0) * fade + sums.get(name, 0.0)

    def mean(self, name: str) -> float | None:
        """Smoothed sum per sample. None before the first batch."""
        return self.sums.get(name, 0.0) / self.samples if self.samples else None

    def relative_cross_entropy(self) -> float | None:
        """Smoothed RCE from the sums `loss` and `positives`."""
        loss, base = self.mean("loss"), self.mean("positives")
        if loss is None or base is None or not 0 < base < 1:
            return None
        return relative_to_base(loss, base)

    def calibration(self) -> float | None:
        """Smoothed expected over observed positives from `expected` and `positives`."""
        positives = self.sums.get("positives", 0.0)
        return self.sums.get("expected", 0.0) / positives if positives else None


def smoothed_rates(
    keys: npt.NDArray[np.integer[Any]],
    labels: npt.NDArray[np.bool_],
    asked: npt.NDArray[np.integer[Any]],
    strength: float = 10.0,
) -> npt.NDArray[np.float64]:
    """Rate of positives per key, drawn towards the overall rate.

    ``(positives + strength * overall) / (rows + strength)``; a key never seen gets the overall
    rate.

    Args:
        keys: (n,) key of each training row.
        labels: (n,).
        asked: (m,) keys to give rates for.
        strength: rows that the overall rate is worth.

    Returns:
        (m,) rates.
    """
    overall = float(labels.mean()) if len(labels) else 0.0
    known, place = np.unique(keys, return_inverse=True)
    rows = np.bincount(place, minlength=len(known))
    positives = np.bincount(place, weights=labels, minlength=len(known))
    rates = (positives + strength * overall) / (rows + strength)
    if not len(known):
        return np.full(len(asked), overall)
    at = np.minimum(np.searchsorted(known, asked), len(known) - 1)
    return np.where(known[at] == asked, rates[at], overall)


def recall_at(ranks: npt.NDArray[np.integer[Any]], k: int) -> float | None:
    """Share of targets among the first `k`; ranks count from 0. None without targets."""
    return float((ranks < k).mean()) if len(ranks) else None


def relative_error(error: float, baseline: float) -> float | None:
    """By how many per cent a mean absolute error beats a baseline's. None if that has none."""
    return 100 * (baseline - error) / baseline if baseline else None


def r_squared(target: Floats, prediction: Floats) -> float | None:
    """Share of the variance that is explained; below 0 if the mean would be better.

    Returns:
        ``1 - sum((y - p)^2) / sum((y - mean(y))^2)``; None if the target does not vary.
    """
    spread = float(np.square(target - target.mean()).sum()) if len(target) else 0.0
    return 1 - float(np.square(target - prediction).sum()) / spread if spread else None
