"""Samples never see what was not known at their moment."""

from dataclasses import replace

import numpy as np
import pytest
from xfeed.actions import INDEX
from xfeed.errors import ConfigError
from xfeed.phoenix.batch import InteractionColumns
from xfeed.phoenix.features import known_at
from xfeed.phoenix.learning.examples import Examples, Samples

from tests.phoenix.worlds import HOUR_MS, START_MS, World

FAVORITE = np.uint64(1 << INDEX["favorite"])
DWELL = np.uint64(1 << INDEX["dwell"])
NOT_DWELLED = np.uint64(1 << INDEX["not_dwelled"])


def one_viewer(n_rows: int, step_ms: int = 60_000) -> InteractionColumns:
    """One viewer, one impression per step, alternately liked after two seconds."""
    rows = InteractionColumns.zeros(n_rows)
    rows.viewer_key[:] = 1
    rows.post_row[:] = np.arange(n_rows) % 3
    rows.at_ms[:] = START_MS + np.arange(n_rows) * step_ms
    rows.actions[::2] = FAVORITE
    rows.acted_ms[::2] = rows.at_ms[::2] + 2_000
    rows.is_impression[:] = True
    return rows


def samples_at(examples: Examples, first: int, count: int) -> Samples:
    return Samples(examples.training, np.array([first]), np.array([count]))


def test_history_is_strictly_before_the_first_candidate(world: World) -> None:
    examples = Examples.split(world.interactions, 0.2)
    rows = examples.interactions
    samples = examples.training_samples(5, np.random.default_rng(0))
    arrays = examples.assemble(samples, 6)
    shown = np.where(arrays.history_valid, rows.at_ms[arrays.history_row], -1)
    assert (shown < arrays.moment_ms[:, None]).all()
    same = rows.viewer_key[arrays.history_row] == arrays.viewer_key[:, None]
    assert same[arrays.history_valid].all()
    assert (rows.viewer_key[arrays.candidate_row] == arrays.viewer_key[:, None]).all()
    assert (rows.at_ms[arrays.candidate_row] >= arrays.moment_ms[:, None]).all()
    assert arrays.history_valid.sum() > 500


def test_history_holds_the_newest_rows_in_order() -> None:
    examples = Examples.split(one_viewer(20), 0)
    arrays = examples.assemble(samples_at(examples, 10, 1), 4)
    assert arrays.history_row.tolist() == [[6, 7, 8, 9]]
    assert arrays.candidate_row.tolist() == [[10]]


def test_rows_of_the_same_moment_are_no_history() -> None:
    rows = one_viewer(6)
    rows.at_ms[3:5] = rows.at_ms[2]
    examples = Examples.split(rows, 0)
    assert examples.history_len(samples_at(examples, 4, 1), 99).tolist() == [2]
    assert examples.history_len(samples_at(examples, 5, 1), 99).tolist() == [5]


def test_every_impression_is_a_candidate_once_per_epoch(world: World) -> None:
    examples = Examples.split(world.interactions, 0.1)
    for seed in range(3):
        samples = examples.training_samples(4, np.random.default_rng(seed))
        arrays = examples.assemble(samples, 3)
        used = np.sort(arrays.candidate_row[arrays.candidate_valid])
        np.testing.assert_array_equal(used, examples.training)
        assert samples.count.max() == 4


def test_rows_that_are_no_impressions_are_history_only() -> None:
    rows = one_viewer(6)
    rows.is_impression[3] = False
    examples = Examples.split(rows, 0)
    assert 3 not in examples.training
    arrays = examples.assemble(samples_at(examples, 3, 1), 99)
    assert arrays.candidate_row.tolist() == [[4]]
    assert arrays.history_row.tolist() == [[0, 1, 2, 3]]


def test_rows_of_unknown_posts_are_left_out() -> None:
    rows = one_viewer(6)
    rows.post_row[2] = -1
    examples = Examples.split(rows, 0)
    assert len(examples.interactions) == 5
    assert (examples.interactions.post_row >= 0).all()


def test_actions_after_the_moment_are_blanked() -> None:
    rows = one_viewer(4)
    rows.acted_ms[0] = rows.at_ms[2]
    rows.acted_ms[2] = rows.at_ms[3] - 1
    examples = Examples.split(rows, 0)
    before, after = (examples.assemble(samples_at(examples, i, 1), 9) for i in (2, 3))
    assert before.history_actions[0, 0] == NOT_DWELLED
    assert after.history_actions[0, 0] == FAVORITE
    assert after.history_actions[0, 2] == FAVORITE


def test_dwell_is_cut_to_the_time_that_had_passed() -> None:
    rows = one_viewer(3, step_ms=4_000)
    rows.dwell_secs[0] = 30
    rows.actions[:] = 0
    examples = Examples.split(rows, 0)
    soon = examples.assemble(samples_at(examples, 1, 1), 9)
    assert soon.history_dwell.tolist() == [[4.0]]
    assert soon.history_actions[0, 0] == NOT_DWELLED
    late = Examples.split(replace(rows, at_ms=rows.at_ms * np.array([1, 1, 2])), 0)
    seen = late.assemble(samples_at(late, 2, 1), 9)
    assert seen.history_dwell[0, 0] == 30
    assert seen.history_actions[0, 0] == DWELL


def test_held_out_impressions_are_the_newest_and_unseen_in_training(world: World) -> None:
    examples = Examples.split(world.interactions, 0.1)
    rows = examples.interactions
    assert rows.at_ms[examples.training].max() < examples.cutoff_ms
    assert rows.at_ms[examples.held_out].min() == examples.cutoff_ms
    share = len(examples.held_out) / (len(examples.held_out) + len(examples.training))
    assert share == pytest.approx(0.1, abs=0.01)
    arrays = examples.assemble(examples.training_samples(4, np.random.default_rng(0)), 9)
    assert (rows.at_ms[arrays.history_row[arrays.history_valid]] < examples.cutoff_ms).all()


def test_training_labels_end_at_the_cut_off() -> None:
    rows = one_viewer(10)
    rows.acted_ms[6] = rows.at_ms[9]
    rows.dwell_secs[7] = 1_000
    examples = Examples.split(rows, 0.2)
    assert examples.cutoff_ms == rows.at_ms[8]
    assert examples.label_actions[6] == NOT_DWELLED
    assert examples.label_dwell[7] == 60
    assert examples.label_actions[8] == FAVORITE


def test_held_out_histories_use_earlier_rows_of_the_slice() -> None:
    examples = Examples.split(one_viewer(10), 0.3)
    samples = examples.held_out_samples(99)
    arrays = examples.assemble(samples, 99)
    assert arrays.candidate_row.tolist() == [[7], [8], [9]]
    assert arrays.history_valid.sum(1).tolist() == [7, 8, 9]


def test_evaluation_can_be_thinned_out(world: World) -> None:
    examples = Examples.split(world.interactions, 0.5)
    samples = examples.held_out_samples(10)
    assert len(samples) == 10
    assert len(np.unique(samples.first)) == 10


def test_the_split_is_the_same_whatever_happens_afterwards(world: World) -> None:
    rows = world.interactions
    later = replace(rows, actions=np.where(rows.at_ms > START_MS + 50 * HOUR_MS, 0, rows.actions))
    later = replace(later, actions=later.actions.astype(np.uint64))
    moment = np.full(len(rows), START_MS + 50 * HOUR_MS)
    early = rows.at_ms < START_MS + 49 * HOUR_MS
    for kind in (rows, later):
        assert (kind.acted_ms[early] < moment[early]).all()
    actions, dwell = known_at(
        moment, rows.at_ms, rows.actions, rows.dwell_secs, rows.acted_ms, rows.is_impression
    )
    other, _ = known_at(
        moment, later.at_ms, later.actions, later.dwell_secs, later.acted_ms, later.is_impression
    )
    np.testing.assert_array_equal(actions[early], other[early])
    assert not dwell[rows.at_ms >= moment].any()


def test_no_impressions_at_all_are_refused() -> None:
    rows = one_viewer(3)
    rows.is_impression[:] = False
    with pytest.raises(ConfigError, match="left to train on"):
        Examples.split(rows, 0.1)
