"""From the start of a process to its first ranking."""

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Final

from benches.python.phoenix_serving import write_demo
from benches.python.timing import QUICK, Figure, Target

STARTS: Final = 1 if QUICK else 5

FIRST_RANKING: Final = """
import sys, time
start = time.perf_counter()
import xfeed
assert "torch" not in sys.modules
imported = time.perf_counter()
from xfeed.phoenix.runtime import Phoenix
phoenix = Phoenix.load(sys.argv[1])
from benches.python.phoenix_serving import make_viewer
viewer = make_viewer(phoenix.config, 1500, 5)
assert phoenix.predict(*viewer.request).shape[0] == 1500
print(imported - start, time.monotonic())
"""


def first_rankings() -> tuple[list[Figure], list[Target]]:
    """A process starts, loads the demo's bundle and ranks 1,500 candidates."""
    imports: list[float] = []
    ranked: list[float] = []
    bare: list[float] = []
    with tempfile.TemporaryDirectory() as directory:
        bundle = Path(directory) / "bundle"
        write_demo(bundle)
        for _ in range(STARTS):
            start = time.monotonic()
            spawned("pass")
            bare.append(time.monotonic() - start)
            start = time.monotonic()
            imported, at = map(float, spawned(FIRST_RANKING, str(bundle)).split())
            imports.append(imported * 1_000)
            ranked.append(at - start)
    name = "from the start of a process to its first ranking"
    figures = [
        Figure("`import xfeed`", median(imports), "ms", "torch is not loaded"),
        Figure(name, median(ranked), "s", "demo bundle, 1,500 candidates"),
        Figure("a process that does nothing", median(bare), "s"),
    ]
    return figures, [Target(f"seconds {name}", max(ranked), 5, at_most=True)]


def spawned(code: str, *given: str) -> str:
    """Output of a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", code, *given],
        check=True,
        capture_output=True,
        text=True,
        cwd=Path(__file__).resolve().parents[2],
        timeout=120,
    )
    return done.stdout
