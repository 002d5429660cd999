"""Findings as text: tables for the terminal and for `benches/BENCHMARKS.md`."""

import re
from pathlib import Path
from typing import Any, Final

from rich.table import Table
from rich.text import Text

from benches.python.timing import Findings, Row, Target, Times

PLAIN_FROM: Final = 100
"""From here on a figure is written without a fraction."""

COLUMNS: Final = ("workload", "ours p50 / p99", "peer p50 / p99", "peer / ours", "unit", "peer is")
TARGET_COLUMNS: Final = ("target", "found", "wanted", "")


def figure(number: float) -> str:
    return f"{number:,.0f}" if number >= PLAIN_FROM else f"{number:.3g}"


def cells(row: Row) -> tuple[str, ...]:
    def text(times: Times) -> str:
        tail = "" if times.p99 is None else f" / {figure(times.p99)}"
        return figure(times.p50) + tail

    return row.workload, text(row.ours), text(row.peer), figure(row.ratio), row.unit, row.note


def target_cells(target: Target) -> tuple[str, ...]:
    limit = f"{'at most' if target.at_most else 'at least'} {target.wanted:,g}"
    return target.name, figure(target.found), limit, "met" if target.is_met else "not met"


def tables(found: Findings) -> list[Table]:
    """One line a comparison; then the targets, where there are some."""
    rows = Table(*COLUMNS)
    for row in found.rows:
        rows.add_row(*(Text(cell) for cell in cells(row)))
    if not found.targets:
        return [rows]
    targets = Table(*TARGET_COLUMNS)
    for target in found.targets:
        targets.add_row(*target_cells(target))
    return [rows, targets]


def markdown(found: Findings, machine: dict[str, Any]) -> str:
    """The same for a document, with the machine."""

    def table(names: tuple[str, ...], lines: list[tuple[str, ...]]) -> list[str]:
        rule = ("---",) * len(names)
        return [f"| {' | '.join(line)} |" for line in (names, rule, *lines)]

    facts = ", ".join(f"{name} {value}" for name, value in machine.items() if name != "quick")
    parts = [*table(COLUMNS, [cells(row) for row in found.rows]), ""]
    if found.targets:
        parts += [*table(TARGET_COLUMNS, [target_cells(it) for it in found.targets]), ""]
    return "\n".join([*parts, f"Measured on: {facts}."])


def write(document: Path, name: str, text: str) -> None:
    """Puts `text` between the marks of this bench in the document."""
    start, end = f"<!-- {name}: written by run.py -->\n", f"\n<!-- end of {name} -->"
    old = document.read_text(encoding="utf-8")
    pattern = re.compile(re.escape(start) + ".*?" + re.escape(end), re.DOTALL)
    new, n_found = pattern.subn(lambda _: f"{start}{text}{end}", old)
    assert n_found == 1, f"{document} has {n_found} places for `{name}`"
    document.write_text(new, encoding="utf-8")
