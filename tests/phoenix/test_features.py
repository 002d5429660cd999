"""Derived columns: hours, ages, counts and packing."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from xfeed.errors import ConfigError
from xfeed.phoenix.features import (
    TIMEZONE_HOURS,
    count_bucket,
    fit_budget,
    is_stale,
    is_unexplored,
    local_time,
    post_age_log_bucket,
    snowflake_secs,
)

HOUR_MS = 3_600_000


def ints(*values: int) -> npt.NDArray[np.int64]:
    return np.array(values, dtype=np.int64)


def test_there_is_an_offset_for_every_published_time_zone() -> None:
    assert len(TIMEZONE_HOURS) == 32


def test_local_time_counts_from_one_and_knows_the_weekday() -> None:
    # 1970-01-01 was a Thursday; one second into it
    hour, weekday = local_time(ints(1_000, 1_000, 1_000, 0), ints(0, 1, 15, 0))
    assert hour.tolist() == [1, 20, 6, 0]
    assert weekday.tolist() == [4, 3, 4, 0]


@given(st.integers(1, 2**42), st.integers(-3, 40))
def test_local_times_lie_in_their_ranges(at_ms: int, timezone: int) -> None:
    hour, weekday = local_time(ints(at_ms), ints(timezone))
    assert 1 <= hour[0] <= 24
    assert 1 <= weekday[0] <= 7
    later_hour, later_weekday = local_time(ints(at_ms + 168 * HOUR_MS), ints(timezone))
    assert (later_hour[0], later_weekday[0]) == (hour[0], weekday[0])


def test_ids_tell_when_they_were_given_out() -> None:
    assert snowflake_secs(ints(0, 1 << 22, 1 << 32)).tolist() == [0, 1_288_834_974, 1_288_834_975]


def test_log_buckets_of_ages_rise_and_end() -> None:
    shown = np.full(6, 10**9, dtype=np.int64)
    ages = ints(-60, 0, 60, 3_600, 4_799 * 60, 9_999 * 60)
    bucket = post_age_log_bucket(shown, shown - ages, 80)
    assert bucket.tolist()[:2] == [0, 1]
    assert bucket[-1] == 81
    assert (np.diff(bucket) > 0).all()
    assert post_age_log_bucket(ints(0), ints(5), 80).tolist() == [0]


@given(st.integers(-(2**31), 2**31 - 1), st.integers(1, 31))
def test_counts_go_by_their_binary_digits(count: int, last: int) -> None:
    expected = min(max(count, 0).bit_length(), last)
    assert count_bucket(ints(count), last).tolist() == [expected]


def test_a_post_is_stale_after_fourteen_days_and_an_hour() -> None:
    age = ints(14 * 86_400, 1_213_200, 1_213_201)
    assert is_stale(10**9 + age, np.full(3, 10**9)).tolist() == [False, False, True]


def test_a_post_of_a_day_that_few_have_seen_is_unexplored() -> None:
    shown = np.full(5, 10**9, dtype=np.int64)
    created = shown - ints(24, 24, 25, 24, 1) * 3_600
    followers, views = np.full(5, 1_000.0), np.array([29.0, 31.0, 0.0, 29.0, 29.0])
    reply = np.array([False, False, False, True, False])
    found = is_unexplored(followers, views, shown, created, reply)
    assert found.tolist() == [True, False, False, False, False]


@given(st.lists(st.integers(1, 8), min_size=2, max_size=12), st.data())
def test_packing_meets_its_budget_with_the_fewest_changes(
    lengths: list[int], data: st.DataObject
) -> None:
    budget = data.draw(st.integers(len(lengths), 8 * len(lengths)))
    before = ints(*lengths)
    after = fit_budget(before, budget, 1, 8)
    assert after.sum() == budget
    assert after.min() >= 1
    assert after.max() <= 8
    change = after - before
    # no sample grows while another shrinks, and all but one changed sample go to a bound
    assert (change >= 0).all() or (change <= 0).all()
    assert ((change != 0) & (after > 1) & (after < 8)).sum() <= 1


def test_a_budget_out_of_reach_is_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        fit_budget(ints(1, 2, 3), 25, 1, 8)
    assert caught.value.code == "out_of_bounds"
