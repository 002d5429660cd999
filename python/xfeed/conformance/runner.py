"""Runs cases and golden files, and counts."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from xfeed.conformance import compare
from xfeed.conformance.files import Case, Golden, Unreadable, find
from xfeed.conformance.registry import AREAS
from xfeed.conformance.report import ConformanceReport
from xfeed.conformance.shape import NotCovered, compute

FILES_AREA: Final = "files"
"""Where files that hold no case are counted."""


def run(paths: Sequence[Path]) -> ConformanceReport:
    """Runs everything below the given paths.

    A case passes when the code of xfeed produces all its expected results, fails when one differs
    or the code raises, and is unknown when nothing here can compute it: an area, a key of an input
    or a golden file that nobody knows, or a file that cannot be read.

    Args:
        paths: case files (`*.json`), golden files (`*.npz`), and folders that are searched for
            them.

    Returns:
        The report. Never raises for what a file holds.
    """
    report = ConformanceReport()
    for found in find(paths):
        match found:
            case Case():
                _run_case(found, report)
            case Golden():
                _run_golden(found.path, report)
            case Unreadable():
                report.add_unknown(FILES_AREA, found.name, found.why)
    return report


def _run_case(case: Case, report: ConformanceReport) -> None:
    shapes = AREAS.get(case.area)
    if shapes is None:
        report.add_unknown(case.area, case.name, "nothing here knows this area")
        return
    try:
        got = compute(shapes, case.given)
    except NotCovered as reason:
        report.add_unknown(case.area, case.name, str(reason))
        return
    except Exception as error:  # noqa: BLE001 - one broken case must not hide the others
        report.add_failure(case.area, case.name, case.expected, _spoken(error))
        return
    if compare.same_results(case.expected, got, compare.tolerance_of(case.area)):
        report.add_pass(case.area)
        return
    asked = {name: got[name] for name in case.expected if name in got}
    report.add_failure(case.area, case.name, case.expected, asked)


def _run_golden(path: Path, report: ConformanceReport) -> None:
    name = path.name if path.is_dir() else path.stem
    area = f"phoenix.{name}"
    try:
        # Needs torch, which the cases of the pipeline do not.
        from xfeed.conformance.phoenix import GOLDEN

        check = GOLDEN.get(name)
        if check is None:
            report.add_unknown(area, name, "nothing here checks this golden file")
            return
        passed, expected, got = check(path)
    except Exception as error:  # noqa: BLE001 - as above
        report.add_failure(area, name, "no error", _spoken(error))
        return
    if passed:
        report.add_pass(area)
    else:
        report.add_failure(area, name, expected, got)


def _spoken(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
