import numpy as np
import pytest
from xfeed.data.relations import Edges, reciprocal_share
from xfeed.data.sampling import GroupedPicker, calibrated, clock_ids, happens, pick, stream


def edges(*rows: tuple[int, int, int]) -> Edges:
    source, target, at_ms = (np.array(column) for column in zip(*rows, strict=True))
    return Edges.build(10, source, target, at_ms)


def test_relations_to_oneself_are_dropped_and_the_first_of_equal_pairs_holds() -> None:
    made = edges((3, 3, 5), (2, 1, 70), (2, 1, 60), (1, 2, 9))
    assert list(zip(made.source, made.target, made.at_ms, strict=True)) == [(1, 2, 9), (2, 1, 70)]
    assert reciprocal_share(made) == 1.0


def test_a_relation_holds_from_its_start_until_before_its_end() -> None:
    made = edges((1, 2, 100))
    made.until_ms[:] = 200
    pair = np.array([1] * 4), np.array([2] * 4)
    assert made.holds(*pair, np.array([99, 100, 199, 200])).tolist() == [False, True, True, False]
    assert not made.holds(np.array([2]), np.array([1]), np.array([150])).any()


def test_no_relations_hold_among_none() -> None:
    nobody = edges((1, 1, 0))
    assert len(nobody) == 0
    assert not nobody.holds(np.array([1]), np.array([2]), np.array([5])).any()


def test_as_many_rows_happen_as_their_probabilities_sum_to() -> None:
    chance = np.linspace(0.0, 0.02, 1_001)
    for seed in range(20):
        assert abs(happens(stream(seed, 0), chance).sum() - chance.sum()) <= 1


def test_each_row_happens_with_its_own_probability() -> None:
    chance = np.repeat([0.1, 0.5, 0.9], 50)
    count = np.sum([happens(stream(seed, 0), chance) for seed in range(400)], axis=0)
    assert count.reshape(3, 50).mean(axis=1) / 400 == pytest.approx([0.1, 0.5, 0.9], abs=0.02)


@pytest.mark.parametrize("rate", [0.001, 0.3, 0.95])
def test_calibration_meets_the_rate_and_keeps_the_order(rate: float) -> None:
    logit = stream(1, 0).normal(size=5_000)
    chance = calibrated(logit, rate)
    assert chance.mean() == pytest.approx(rate, rel=1e-6)
    assert (np.argsort(chance) == np.argsort(logit)).all()


def test_draws_follow_their_weights() -> None:
    drawn = pick(stream(2, 0), np.array([1.0, 0.0, 3.0]), 20_000)
    assert np.bincount(drawn, minlength=3) / 20_000 == pytest.approx([0.25, 0.0, 0.75], abs=0.02)


def test_grouped_draws_stay_in_their_group_and_an_empty_group_gives_none() -> None:
    picker = GroupedPicker.build(
        np.array([10, 11, 12]), np.array([2, 0, 2]), np.array([1.0, 1.0, 3.0]), 4
    )
    drawn = picker.pick(stream(3, 0), np.repeat([0, 1, 2, 3], 5_000)).reshape(4, 5_000)
    assert set(drawn[0]) == {11}
    assert set(drawn[1]) == set(drawn[3]) == {-1}
    assert set(drawn[2]) == {10, 12}
    assert (drawn[2] == 12).mean() == pytest.approx(0.75, abs=0.03)


def test_ids_of_one_millisecond_are_unique_and_lanes_never_meet() -> None:
    at_ms = np.repeat(np.int64(1_788_000_000_000), 1_024)
    ids = np.concatenate([clock_ids(at_ms, lane) for lane in range(4)])
    assert ids.dtype == np.uint64
    assert np.unique(ids).size == ids.size
