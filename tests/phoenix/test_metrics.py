import numpy as np
import pytest
from sklearn.metrics import log_loss as sklearn_log_loss
from sklearn.metrics import roc_auc_score
from xfeed.phoenix.metrics import auc, calibration, log_loss, recall_at, smoothed_rates


@pytest.mark.parametrize("decimals", [12, 1])
def test_auc_agrees_with_scikit_learn_with_and_without_ties(decimals: int) -> None:
    rng = np.random.default_rng(3)
    scores = rng.random(500).round(decimals)
    labels = rng.random(500) < scores
    assert auc(labels, scores) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)


def test_auc_of_equal_scores_is_a_half() -> None:
    assert auc(np.array([True, False, False]), np.zeros(3)) == 0.5


def test_a_missing_class_has_no_auc() -> None:
    assert auc(np.zeros(3, dtype=bool), np.arange(3.0)) is None
    assert auc(np.ones(3, dtype=bool), np.arange(3.0)) is None
    assert calibration(np.zeros(3, dtype=bool), np.full(3, 0.1)) is None


def test_log_loss_agrees_with_scikit_learn() -> None:
    rng = np.random.default_rng(4)
    p = rng.random(200)
    labels = rng.random(200) < p
    assert log_loss(labels, p) == pytest.approx(sklearn_log_loss(labels, p), abs=1e-12)
    assert log_loss(labels[:0], p[:0]) is None
    certain = log_loss(np.array([True]), np.zeros(1))
    assert certain is not None
    assert np.isfinite(certain)


def test_calibration_is_expected_over_observed() -> None:
    assert calibration(np.array([True, False]), np.array([0.5, 0.25])) == 0.75


def test_rates_are_drawn_towards_the_overall_rate() -> None:
    keys = np.array([5, 5, 9, 9])
    labels = np.array([True, True, True, False])
    rates = smoothed_rates(keys, labels, np.array([5, 9, 7]), strength=2.0)
    np.testing.assert_allclose(rates, [(2 + 1.5) / 4, (1 + 1.5) / 4, 0.75])
    assert smoothed_rates(keys[:0], labels[:0], keys).tolist() == [0, 0, 0, 0]


def test_recall_counts_ranks_below_k() -> None:
    assert recall_at(np.array([0, 9, 10]), 10) == pytest.approx(2 / 3)
    assert recall_at(np.array([], dtype=np.int64), 10) is None
