"""Measures of ranking and of calibration, in plain numpy."""

from typing import Any

import numpy as np
import numpy.typing as npt


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
    p = np.clip(probabilities.astype(np.float64), 1e-7, 1 - 1e-7)
    return float(-np.where(labels, np.log(p), np.log1p(-p)).mean())


def calibration(
    labels: npt.NDArray[np.bool_], probabilities: npt.NDArray[np.floating[Any]]
) -> float | None:
    """Expected over observed positives; 1 is right. None without positives."""
    n_positive = int(labels.sum())
    return float(probabilities.astype(np.float64).sum() / n_positive) if n_positive else None


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
