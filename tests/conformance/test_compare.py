import pytest
from xfeed.conformance.compare import EXACT_SUMS, ROUNDED, same, same_results, tolerance_of

LARGE = 2**63 + 1


@pytest.mark.parametrize(
    ("expected", "got"),
    [
        (1.0, 1.0 + 5e-10),
        (0.0, 5e-13),
        (1, 1.0),
        (0.75, 3 / 4),
        (None, None),
        ([1, [2.0, None]], (1, [2.0, None])),
        ({"a": [True]}, {"a": [True]}),
        (float("inf"), float("inf")),
        (float("nan"), float("nan")),
        (LARGE, LARGE),
    ],
)
def test_equal_values_are_the_same(expected: object, got: object) -> None:
    assert same(expected, got, EXACT_SUMS)


@pytest.mark.parametrize(
    ("expected", "got"),
    [
        (1.0, 1.0 + 5e-9),
        (0.0, 5e-12),
        (None, 0),
        (None, float("nan")),
        (True, 1),
        (0, False),
        ("1", 1),
        ([1, 2], [2, 1]),
        ([1], [1, 1]),
        ({"a": 1}, {"a": 1, "b": 2}),
        ({"a": 1}, {}),
        (float("inf"), 1e308),
        ("ab", ["a", "b"]),
    ],
)
def test_other_values_are_not_the_same(expected: object, got: object) -> None:
    assert not same(expected, got, EXACT_SUMS)


def test_ids_that_one_float_stands_for_are_told_apart() -> None:
    assert float(LARGE) == float(LARGE + 1)
    assert not same(LARGE, LARGE + 1, EXACT_SUMS)
    assert not same(LARGE, float(LARGE), EXACT_SUMS)
    assert not same([2**53 + 1], [float(2**53)], EXACT_SUMS)


def test_only_areas_with_rounded_numbers_are_compared_loosely() -> None:
    assert same(2.718282, 2.71828182846, tolerance_of("dpp"))
    assert not same(2.718282, 2.71828182846, tolerance_of("vm_ranker.dpp"))
    assert tolerance_of("dpp_alpha") == ROUNDED


def test_every_expected_result_must_be_there_and_others_are_ignored() -> None:
    assert same_results({"kept": [1]}, {"kept": [1], "removed": [2]}, EXACT_SUMS)
    assert not same_results({"kept": [1], "removed": []}, {"kept": [1]}, EXACT_SUMS)
    assert not same_results({"removed": None}, {"kept": [1]}, EXACT_SUMS)
