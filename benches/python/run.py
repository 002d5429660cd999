"""Runs the side-by-side benches: `python benches/python/run.py [--only NAME] [--write]`.

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
from xfeed import _core

if TYPE_CHECKING:
    from benches.python.timing import Findings

HERE = Path(__file__).resolve().parent
RESULTS = HERE.parent / "results"
PREFIX = "bench_"
DOCUMENT = HERE.parent / "BENCHMARKS.md"

GROUPS = {"phoenix": ("phoenix_pass", "phoenix_serving", "embed", "topk")}
"""Benches that belong together and run in one go."""


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
        "figures": [dataclasses.asdict(alone) for alone in found.figures],
        "skipped": found.skipped,
        "targets": [{**dataclasses.asdict(it), "is_met": it.is_met} for it in found.targets],
        "raw": found.raw,
    }
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return found


def main() -> int:
    # A script sees the modules beside it; the benches are found from the repository's root.
    sys.path.insert(0, str(HERE.parent.parent))
    known = names()
    parser = argparse.ArgumentParser(description="side-by-side benches of xfeed")
    parser.add_argument("--only", choices=[*GROUPS, *known], help="run this bench or group alone")
    parser.add_argument(
        "--write", action="store_true", help=f"put the figures into {DOCUMENT.name}"
    )
    given = parser.parse_args()
    from benches.python import report
    from benches.python.timing import QUICK

    if given.write and QUICK:
        parser.error("figures of a quick run mean nothing; unset QUICK to write them")

    console = Console(width=None if sys.stdout.isatty() else 220)
    chosen = GROUPS.get(given.only, (given.only,)) if given.only else known
    for name in (name for name in chosen if name in known):
        found = run_one(name)
        for table in report.tables(found):
            console.print(f"[bold]{name}")
            console.print(table)
        for reason in found.skipped:
            console.print(f"[yellow]left out: {reason}")
        if given.write:
            report.write(DOCUMENT, name, report.markdown(found, machine()))
    console.print(", ".join(f"{key} {value}" for key, value in machine().items()))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
