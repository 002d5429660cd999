"""The filters against the golden cases."""

import pytest
from xfeed import _core

from tests.golden.corpus import Case, cases, verdicts_of


@pytest.mark.parametrize("case", cases(), ids=lambda case: f"{case['filter']}: {case['case']}")
def test_a_filter_decides_every_row_as_written(case: Case) -> None:
    verdicts = verdicts_of(case)
    removals = [verdicts.removal(row) for row in range(len(verdicts))]
    early = set(case.get("already_removed", []))
    reasons = [
        None if removal is None or row in early else removal[1]
        for row, removal in enumerate(removals)
    ]
    assert reasons == case["expected"]
    for row, removal in enumerate(removals):
        if removal is not None and row not in early:
            assert removal[0] == case["filter"]
            assert removal[2], "a removal says why in words"


@pytest.mark.parametrize("case", cases(), ids=lambda case: f"{case['filter']}: {case['case']}")
def test_a_row_that_is_out_keeps_its_first_reason(case: Case) -> None:
    rows = list(range(len(case["candidates"])))
    verdicts = verdicts_of(case | {"already_removed": rows})
    removals = [verdicts.removal(row) for row in rows]
    assert removals == [("an earlier filter", "earlier", "")] * len(rows)


def test_names_of_golden_filters_exist() -> None:
    known = {name for name, _ in _core.filters()}
    assert {case["filter"] for case in cases()} <= known


def test_every_row_of_a_golden_case_has_an_expectation_and_no_case_is_there_twice() -> None:
    found = cases()
    assert all(len(case["candidates"]) == len(case["expected"]) for case in found)
    titles = [(case["filter"], case["case"]) for case in found]
    assert len(set(titles)) == len(titles)
