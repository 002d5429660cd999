import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from xfeed.conformance import ConformanceReport, run
from xfeed.conformance import runner as runner_module
from xfeed.conformance.shape import Input, NotCovered, Results, Shape


class Number(Input):
    number: int
    twice: bool = False


def give_back(given: Number) -> Results:
    return {"number": given.number, "more": "nobody asks"}


def fail(given: Number) -> Results:
    return {"number": 1 // (given.number - given.number)}


def decline(_given: Number) -> Results:
    raise NotCovered("no such thing")


@pytest.fixture(autouse=True)
def areas(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {
        "identity": (Shape(Number, give_back),),
        "broken": (Shape(Number, fail),),
        "declined": (Shape(Number, decline),),
    }
    monkeypatch.setattr(runner_module, "AREAS", known)


def outcome(directory: Path, *cases: dict[str, Any]) -> ConformanceReport:
    path = directory / "cases.json"
    path.write_text(
        json.dumps([{"expected": {"number": 1}, "case": "c", **case} for case in cases])
    )
    return run([path])


def test_cases_are_counted_by_area_and_areas_are_sorted(tmp_path: Path) -> None:
    report = outcome(
        tmp_path,
        {"area": "identity", "input": {"number": 1}},
        {"area": "broken", "input": {"number": 1}},
        {"area": "identity", "input": {"number": 2}, "case": "d"},
    )
    assert report.to_dict() == {
        "areas": {
            "broken": {
                "passed": 0,
                "failed": 1,
                "unknown": 0,
                "failures": [
                    {
                        "case": "c",
                        "expected": {"number": 1},
                        "got": "ZeroDivisionError: integer division or modulo by zero",
                    }
                ],
            },
            "identity": {
                "passed": 1,
                "failed": 1,
                "unknown": 0,
                "failures": [{"case": "d", "expected": {"number": 1}, "got": {"number": 2}}],
            },
        }
    }
    assert list(report.to_dict()["areas"]) == ["broken", "identity"]
    assert (report.passed, report.failed, report.unknown) == (1, 2, 0)


@pytest.mark.parametrize(
    ("area", "given", "why"),
    [
        ("nowhere", {"number": 1}, "knows this area"),
        ("identity", {"number": 1, "colour": "red"}, "unknown field `colour`"),
        ("identity", {"number": "one"}, "Expected `int`"),
        ("identity", {"number": 1, "twice": 1}, "Expected `bool`"),
        ("identity", {}, "missing required field"),
        ("identity", [1], "Expected `object`"),
        ("declined", {"number": 1}, "no such thing"),
    ],
)
def test_what_nobody_can_compute_is_unknown_and_never_passed(
    tmp_path: Path, area: str, given: object, why: str
) -> None:
    report = outcome(tmp_path, {"area": area, "input": given})
    assert (report.passed, report.failed, report.unknown) == (0, 0, 1)
    ((case, reason),) = report.areas[area].unknowns
    assert case == "c"
    assert why in reason


def test_a_missing_result_is_a_failure(tmp_path: Path) -> None:
    given = {"area": "identity", "input": {"number": 1}, "expected": {"number": 1, "rest": None}}
    report = outcome(tmp_path, given)
    assert report.areas["identity"].failures[0]["got"] == {"number": 1}


def test_our_own_promise_is_checked_in_place_of_the_published_one(tmp_path: Path) -> None:
    case = {"area": "identity", "input": {"number": 2}, "xfeed": {"number": 2}}
    assert outcome(tmp_path, case).passed == 1
    assert outcome(tmp_path, case | {"xfeed": {"number": 1}, "expected": {"number": 2}}).failed == 1


def test_ids_beyond_the_floats_stay_exact(tmp_path: Path) -> None:
    large = 2**63 + 1
    exact = {"area": "identity", "input": {"number": large}, "expected": {"number": large}}
    assert outcome(tmp_path, exact).passed == 1
    assert outcome(tmp_path, exact | {"expected": {"number": large + 1}}).failed == 1


def test_files_that_hold_no_case_are_unknown(tmp_path: Path) -> None:
    (tmp_path / "broken.json").write_text("{")
    report = run([tmp_path, tmp_path / "nowhere.json"])
    assert report.areas["files"].unknown == 2
    assert (report.passed, report.failed) == (0, 0)


def test_a_golden_file_that_nobody_checks_is_unknown(tmp_path: Path) -> None:
    (tmp_path / "ranker_99.npz").write_bytes(b"")
    report = run([tmp_path])
    assert report.areas["phoenix.ranker_99"].unknown == 1


def test_a_damaged_golden_file_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "hash_01.npz").write_bytes(b"not an archive")
    report = run([tmp_path])
    assert report.areas["phoenix.hash_01"].failed == 1


def test_the_text_names_what_failed_and_what_is_unknown(tmp_path: Path) -> None:
    report = outcome(
        tmp_path,
        {"area": "identity", "input": {"number": 2}},
        {"area": "nowhere", "input": {}, "case": "lost"},
    )
    text = report.to_text()
    assert "FAILED  identity c" in text
    assert "expected {'number': 1}" in text
    assert "unknown nowhere lost: nothing here knows this area" in text


def test_cases_of_the_pipeline_do_not_load_torch() -> None:
    code = "import sys, xfeed.conformance; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
