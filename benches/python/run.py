"""Runs the side-by-side benches: `python benches/python/run.py [--only NAME]`.

Every bench is a file `bench_<name>.py` beside this one with a function `run() -> list[Row]`. It
checks that both sides give the same results before it times them. Numbers go to
`benches/results/<name>.json`, which is not part of the repository.
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
    from benches.python.timing import Row

HERE = Path(__file__).resolve().parent
RESULTS = HERE.parent / "results"
PREFIX = "bench_"


def names() -> list[str]:
    """Every bench, sorted."""
    return sorted(path.stem.removeprefix(PREFIX) for path in HERE.glob(f"{PREFIX}*.py"))


def machine() -> dict[str, Any]:
    """What the numbers depend on."""
    from benches.python.timing import REPETITIONS

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
    }


def run_one(name: str) -> list[Row]:
    """Runs one bench and writes its numbers."""
    facts = machine()
    rows: list[Row] = importlib.import_module(f"benches.python.{PREFIX}{name}").run()
    RESULTS.mkdir(exist_ok=True)
    content = {
        "machine": facts,
        "rows": [{**dataclasses.asdict(row), "ratio": row.ratio} for row in rows],
    }
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return rows


def main() -> int:
    # A script sees the modules beside it; the benches are found from the repository's root.
    sys.path.insert(0, str(HERE.parent.parent))
    known = names()
    parser = argparse.ArgumentParser(description="side-by-side benches of xfeed")
    parser.add_argument("--only", choices=known, help="run this bench alone")
    only = parser.parse_args().only
    table = Table("bench", "workload", "ours", "peer", "peer / ours", "unit", "peer is")
    for name in [only] if only else known:
        for row in run_one(name):
            numbers = (f"{row.ours:,.1f}", f"{row.peer:,.1f}", f"{row.ratio:.2f}")
            table.add_row(row.bench, row.workload, *numbers, row.unit, Text(row.note))
    console = Console(width=None if sys.stdout.isatty() else 200)
    console.print(table)
    console.print(", ".join(f"{key} {value}" for key, value in machine().items()))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
