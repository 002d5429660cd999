"""The frame of the benches: what runs, how it is timed and written down."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from benches.python import report, run
from benches.python.timing import Figure, Findings, Row, Target, Times, turns


def test_every_bench_of_a_group_exists() -> None:
    for members in run.GROUPS.values():
        assert set(members) <= set(run.names())


def test_every_bench_has_its_place_in_the_document() -> None:
    text = run.DOCUMENT.read_text(encoding="utf-8")
    for name in run.names():
        assert text.count(f"<!-- {name}: written by run.py -->\n") == 1, name
        assert text.count(f"\n<!-- end of {name} -->") == 1, name


def test_sides_take_turns_and_the_first_call_of_a_turn_does_not_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now_ns = 0
    calls: list[str] = []

    def side(name: str, takes_ms: int, first_takes_ms: int) -> Callable[[], None]:
        def call() -> None:
            nonlocal now_ns
            is_first = not calls or calls[-1] != name
            calls.append(name)
            now_ns += 1_000_000 * (first_takes_ms if is_first else takes_ms)

        return call

    monkeypatch.setattr(time, "perf_counter_ns", lambda: now_ns)
    sides = {"quick": side("quick", 10, 500), "slow": side("slow", 70, 90)}
    times = turns(sides, rounds=3, turn_ms=40)
    monkeypatch.undo()
    # four calls fill a turn of the quick side, after one that does not count; the slow one has one
    a_turn = ["quick"] * 5
    warm_up = ["quick", "quick", "slow", "slow"]
    assert calls == [*warm_up, *a_turn, "slow", "slow", *a_turn, *a_turn, "slow"]
    assert times == {"quick": Times(10.0), "slow": Times(90.0)}


def test_findings_become_tables_with_targets_figures_and_reasons(tmp_path: Path) -> None:
    found = Findings(
        [Row("it", "work", Times(2.0), Times(6.0, 9.0), "ms", "the other")],
        [Target("times", 3.0, 2.0), Target("growth", 3.0, 2.0, at_most=True)],
        figures=[Figure("alone", 1234.5, "posts/s", "a note")],
        skipped=["a peer: it is not installed"],
    )
    text = report.markdown(found, {"cpu": "a machine", "quick": False})
    assert "| work | 2 | 6 / 9 | 3 | ms | the other |" in text
    assert "| alone | 1,234 | posts/s | a note |" in text
    assert "| times | 3 | at least 2 | met |" in text
    assert "| growth | 3 | at most 2 | not met |" in text
    assert "Left out: a peer: it is not installed." in text
    assert text.endswith("Measured on: cpu a machine.")
    document = tmp_path / "page.md"
    document.write_text("a\n<!-- it: written by run.py -->\nold\n<!-- end of it -->\nb\n")
    report.write(document, "it", text)
    page = document.read_text()
    assert "old" not in page
    assert page.startswith("a\n<!-- it: written by run.py -->\n| workload |")
    with pytest.raises(AssertionError, match="0 places for `other`"):
        report.write(document, "other", text)
