"""Every filter and every reason must be decided by a golden case."""

from pathlib import Path

from xfeed import _core

from tests.golden.corpus import cases


def test_every_filter_has_a_golden_case_that_removes_and_one_that_keeps() -> None:
    filters = [name for name, _ in _core.filters()]
    assert filters, "the engine lists no filter"
    lacking = [
        f"{name} lacks a {what} row"
        for name in filters
        for what, is_removed in (("removed", True), ("kept", False))
        if not any(
            (reason is not None) == is_removed
            for case in cases()
            if case["filter"] == name
            for reason in case["expected"]
        )
    ]
    assert lacking == [], "add cases to tests/golden/filters.json"


def test_every_reason_is_given_by_a_golden_case() -> None:
    given = {reason for case in cases() for reason in case["expected"]}
    reasons = [code for code, _ in _core.reasons()]
    assert reasons, "the engine lists no reason"
    lacking = [code for code in reasons if code not in given]
    assert lacking == [], "no golden case in tests/golden/filters.json is removed for these reasons"


def test_every_golden_reason_is_listed_with_its_meaning() -> None:
    listed = {code for code, meaning in _core.reasons() if meaning}
    given = {reason for case in cases() for reason in case["expected"]} - {None}
    assert given - listed == set()


def test_every_filter_says_what_it_removes() -> None:
    assert [name for name, removes in _core.filters() if not removes] == []


def test_every_filter_file_is_in_the_table() -> None:
    folder = Path(__file__).parents[2] / "rust" / "xfeed-core" / "src" / "filters"
    files = {path.stem for path in folder.glob("*.rs")} - {"mod", "fixture"}
    listed = {name for name, _ in _core.filters()}
    assert files == listed, "add a row to FILTERS in rust/xfeed-core/src/registry.rs"
