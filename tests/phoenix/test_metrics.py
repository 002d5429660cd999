import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, ndcg_score, r2_score, roc_auc_score
from sklearn.metrics import log_loss as sklearn_log_loss
from xfeed.phoenix.learning.metrics import (
    Smoothed,
    auc,
    calibration,
    log_loss,
    ndcg,
    positive_ratio,
    pr_auc,
    published_calibration,
    r_squared,
    recall_at,
    relative_cross_entropy,
    relative_error,
    smoothed_rates,
)


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


def test_rce_is_zero_for_the_base_rate_and_a_hundred_for_the_truth() -> None:
    labels = np.array([True, False, False, False])
    assert relative_cross_entropy(labels, np.full(4, 0.25)) == pytest.approx(0)
    assert relative_cross_entropy(labels, labels.astype(float)) == pytest.approx(100, abs=1e-3)
    assert relative_cross_entropy(labels[1:], np.full(3, 0.25)) is None
    assert positive_ratio(labels) == 0.25
    assert positive_ratio(labels[:0]) is None


def test_ndcg_agrees_with_scikit_learn_group_by_group() -> None:
    rng = np.random.default_rng(5)
    labels, scores = rng.random((6, 9)) < 0.4, rng.random((6, 9))
    labels[:, 0] = True
    group = np.repeat(np.arange(6), 9)
    order = rng.permutation(54)
    flat = (labels.reshape(-1)[order], scores.reshape(-1)[order], group[order])
    assert ndcg(*flat) == pytest.approx(ndcg_score(labels, scores))


def test_a_group_without_positives_counts_as_told() -> None:
    labels = np.array([True, False, False])
    scores, group = np.array([0.1, 0.2, 0.3]), np.array([4, 4, 9])
    alone = 1 / np.log2(3)
    assert ndcg(labels, scores, group) == pytest.approx(alone)
    assert ndcg(labels, scores, group, without_positive=1.0) == pytest.approx((alone + 1) / 2)
    assert ndcg(labels[1:], scores[1:], group[1:]) is None


def test_the_area_under_precision_and_recall_is_near_the_average_precision() -> None:
    rng = np.random.default_rng(6)
    p = rng.random(20_000) ** 3
    labels = rng.random(20_000) < p
    area = pr_auc(labels, p)
    assert area == pytest.approx(average_precision_score(labels, p), abs=0.02)
    assert pr_auc(np.zeros(3, dtype=bool), p[:3]) is None
    assert pr_auc(np.array([True, False]), np.array([1e-6, 1e-7])) == 0  # below every threshold


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 1)), min_size=1, max_size=40))
def test_metrics_are_in_range_or_missing_but_never_nan(rows: list[tuple[bool, float]]) -> None:
    labels = np.array([row[0] for row in rows])
    p = np.array([row[1] for row in rows])
    for value in (pr_auc(labels, p), ndcg(labels, p, np.zeros(len(rows), dtype=np.int64))):
        assert value is None or 0 <= value <= 1 + 1e-12
    gain = relative_cross_entropy(labels, p)
    assert gain is None or (np.isfinite(gain) and gain <= 100)
    assert published_calibration(labels, p) >= 0


def test_published_calibration_needs_no_positives() -> None:
    assert published_calibration(np.array([False, False]), np.array([0.5, 0.25])) == 0.75


def test_smoothed_measures_forget() -> None:
    smoothed = Smoothed(window=100)
    assert smoothed.mean("loss") is None
    assert smoothed.relative_cross_entropy() is None
    assert smoothed.calibration() is None
    smoothed.add(100, loss=70.0, positives=50.0, expected=75.0)
    assert smoothed.mean("loss") == pytest.approx(0.7)
    assert smoothed.calibration() == pytest.approx(1.5)
    gain = smoothed.relative_cross_entropy()
    assert gain == pytest.approx(100 * (np.log(2) - 0.7) / np.log(2))
    smoothed.add(100, loss=float("nan"), positives=0.0, expected=0.0)
    assert smoothed.samples == 100
    smoothed.add(10_000, loss=5_000.0, positives=5_000.0, expected=5_000.0)
    assert smoothed.mean("loss") == pytest.approx(0.5, rel=1e-6)
    assert smoothed.calibration() == pytest.approx(1)


def test_dwell_measures_compare_with_a_constant() -> None:
    rng = np.random.default_rng(7)
    target = rng.random(50)
    prediction = target + rng.normal(size=50) * 0.1
    assert r_squared(target, prediction) == pytest.approx(r2_score(target, prediction))
    assert r_squared(np.ones(3), np.zeros(3)) is None
    assert relative_error(1.5, 2.0) == 25
    assert relative_error(3.0, 2.0) == -50
    assert relative_error(3.0, 0.0) is None
