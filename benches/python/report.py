"""Findings as text: tables for the terminal and for `benches/BENCHMARKS.md`."""

import re
from pathlib import Path
from typing import Any, Final

from rich.table import Table
from rich.text import Text

from benches.python.timing import Figure, Findings, Row, Target, Times

PLAIN_FROM: Final = 100
"""From here on a figure is written without a fraction."""

COLUMNS: Final = ("workload", "ours p50 / p99", "peer p50 / p99", "peer / ours", "unit", "peer is")
TARGET_COLUMNS: Final = ("target", "found", "wanted", "")
FIGURE_COLUMNS: Final = ("alone", "found", "unit", "note")


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


def figure_cells(alone: Figure) -> tuple[str, ...]:
    return alone.name, figure(alone.value), alone.unit, alone.note


def tables(found: Findings) -> list[Table]:
    """One line a comparison; then what stands alone, and the targets, where there are some."""
    return [_table(names, lines) for names, lines in _parts(found) if lines or names is COLUMNS]


def markdown(found: Findings, machine: dict[str, Any]) -> str:
    """The same for a document, with the machine."""
    facts = ", ".join(f"{name} {value}" for name, value in machine.items() if name != "quick")
    parts: list[str] = []
    for names, lines in _parts(found):
        if lines:
            rule = ("---",) * len(names)
            parts += [f"| {' | '.join(line)} |" for line in (names, rule, *lines)]
            parts.append("")
    parts += [f"Left out: {reason}.\n" for reason in found.skipped]
    return "\n".join([*parts, f"Measured on: {facts}."])


def _parts(found: Findings) -> list[tuple[tuple[str, ...], list[tuple[str, ...]]]]:
    """Column names and lines of each table."""
    return [
        (COLUMNS, [cells(row) for row in found.rows]),
        (FIGURE_COLUMNS, [figure_cells(alone) for alone in found.figures]),
        (TARGET_COLUMNS, [target_cells(target) for target in found.targets]),
    ]


def _table(names: tuple[str, ...], lines: list[tuple[str, ...]]) -> Table:
    table = Table(*names)
    for line in lines:
        table.add_row(*(Text(cell) for cell in line))
    return table


def write(document: Path, name: str, text: str) -> None:
    """Puts `text` between the marks of this bench in the document."""
    start, end = f"<!-- {name}: written by run.py -->\n", f"\n<!-- end of {name} -->"
    old = document.read_text(encoding="utf-8")
    pattern = re.compile(re.escape(start) + ".*?" + re.escape(end), re.DOTALL)
    new, n_found = pattern.subn(lambda _: f"{start}{text}{end}", old)
    assert n_found == 1, f"{document} has {n_found} places for `{name}`"
    document.write_text(new, encoding="utf-8")
