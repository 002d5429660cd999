"""Runs the side-by-side benches: `python benches/python/run.py [--only NAME]`.

Every bench is a file `bench_<name>.py` beside this one with a function `run() -> Findings`. It
checks that both sides give the same results before it times them. Numbers go to
`benches/results/<name>.json`, which is not part of the repository. With `QUICK=1` in the
environment everything runs small: it shows that it works, its figures mean nothing.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import json
import os
import platform
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text
from xfeed import _core

if TYPE_CHECKING:
    from benches.python.timing import Findings, Row, Times

HERE = Path(__file__).resolve().parent
RESULTS = HERE.parent / "results"
PREFIX = "bench_"

PLAIN_FROM = 100
"""From here on a figure is written without a fraction."""


def names() -> list[str]:
    """Every bench, sorted."""
    return sorted(path.stem.removeprefix(PREFIX) for path in HERE.glob(f"{PREFIX}*.py"))


def machine() -> dict[str, Any]:
    """What the numbers depend on."""
    from benches.python.timing import QUICK, REPETITIONS

    model = platform.processor() or "unknown"
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
        models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        model = models[0] if models else model
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "xfeed": _core.version(),
        "load": round(os.getloadavg()[0], 1),
        "repetitions": REPETITIONS,
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "quick": QUICK,
    }


def run_one(name: str) -> Findings:
    """Runs one bench and writes its numbers."""
    facts = machine()
    found: Findings = importlib.import_module(f"benches.python.{PREFIX}{name}").run()
    RESULTS.mkdir(exist_ok=True)
    content = {
        "machine": facts,
        "rows": [{**dataclasses.asdict(row), "ratio": row.ratio} for row in found.rows],
        "targets": [{**dataclasses.asdict(it), "is_met": it.is_met} for it in found.targets],
        "raw": found.raw,
    }
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return found


def table_of(rows: list[Row]) -> Table:
    """One line a comparison."""

    def text(times: Times) -> str:
        tail = "" if times.p99 is None else f" / {times.p99:,.0f}"
        return f"{times.p50:,.0f}{tail}" if times.p50 >= PLAIN_FROM else f"{times.p50:.3g}{tail}"

    names = ("bench", "workload", "ours p50 / p99", "peer p50 / p99", "peer / ours", "unit")
    table = Table(*names, "peer is")
    for row in rows:
        numbers = (text(row.ours), text(row.peer), f"{row.ratio:.2f}")
        table.add_row(row.bench, row.workload, *numbers, row.unit, Text(row.note))
    return table


def main() -> int:
    # A script sees the modules beside it; the benches are found from the repository's root.
    sys.path.insert(0, str(HERE.parent.parent))
    known = names()
    parser = argparse.ArgumentParser(description="side-by-side benches of xfeed")
    parser.add_argument("--only", choices=known, help="run this bench alone")
    only = parser.parse_args().only
    found = [run_one(name) for name in ([only] if only else known)]
    console = Console(width=None if sys.stdout.isatty() else 220)
    console.print(table_of([row for one in found for row in one.rows]))
    wanted = [target for one in found for target in one.targets]
    if wanted:
        table = Table("target", "found", "wanted", "")
        for target in wanted:
            limit = f"{'at most' if target.at_most else 'at least'} {target.wanted:,g}"
            met = "met" if target.is_met else "not met"
            table.add_row(target.name, f"{target.found:,.4g}", limit, met)
        console.print(table)
    console.print(", ".join(f"{key} {value}" for key, value in machine().items()))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
