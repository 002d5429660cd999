"""The trunk on a GPU: candidates a second and the share of the rate at which it multiplies.

    python -m benches.python.gpu [--preset mini nano prod] [--out results.json]

Needs torch, NumPy and the sources (`PYTHONPATH=python`, nothing installed): where the Rust
extension cannot be imported it goes without. Without CUDA it says so and ends well; `--device cpu
--preset tiny` runs everything small.
"""

import argparse
import importlib
import json
import sys
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

PRESETS: Final = ("tiny", "tiny-prod", "mini", "nano", "prod")

WANTED_SHARE: Final = 0.3
"""Of the matrix rate, for the shape `prod`."""


def without_extension() -> None:
    """Puts a module in the place of the Rust extension where it was not built.

    `xfeed.actions` reads its table from the extension when it is imported. The trunk has no heads,
    so for this bench one row of each kind is a table.
    """
    try:
        importlib.import_module("xfeed._core")
    except ImportError:
        core = types.ModuleType("xfeed._core")
        rows = [("favorite", 1, "discrete"), ("dwell_time", None, "continuous")]
        table = [(*row, "positive", "sent", "") for row in rows]
        core.actions = lambda: table  # type: ignore[attr-defined]
        core.dwelled_at_secs = lambda: 2.0  # type: ignore[attr-defined]
        sys.modules["xfeed._core"] = core


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="the trunk on a GPU")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--dtype", choices=("bfloat16", "float32"), default="bfloat16")
    parser.add_argument("--preset", nargs="+", choices=PRESETS, default=["mini", "nano", "prod"])
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--viewers", type=int, help="viewers of a batch; left out, the preset's")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    parser.add_argument("--out", type=Path, help="where the JSON goes besides the terminal")
    given = parser.parse_args(arguments)
    without_extension()
    import torch

    from benches.python.gpu_passes import WRONG, Clock, add_shares, machine, measure, square_rate
    from benches.python.gpu_shapes import shape

    if given.device == "cuda" and not torch.cuda.is_available():
        print("no CUDA here: nothing was measured (--device cpu --preset tiny runs it small)")
        return 0
    device, dtype = torch.device(given.device), getattr(torch, given.dtype)
    clock = Clock(device, given.rounds)
    with torch.inference_mode():
        found: dict[str, Any] = {
            "machine": machine(device) | {"dtype": given.dtype, "rounds": given.rounds},
            "square_tflops": square_rate(clock, dtype),
            "presets": {
                name: measure(
                    shape(name, given.viewers), clock, dtype, may_compile=not given.no_compile
                )
                for name in given.preset
            },
        }
    for preset in found["presets"].values():
        add_shares(preset, found["square_tflops"])
    text = json.dumps(found, indent=2)
    print(text)
    for name, preset in found["presets"].items():
        best = max(preset["passes"].values(), key=lambda one: one["candidates_per_s"])
        print(
            f"{name}: at best {best['candidates_per_s']:,.0f} candidates/s, "
            f"{best['share_of_square']:.0%} of the matrix rate "
            f"(wanted for prod: {WANTED_SHARE:.0%})"
        )
    if given.out:
        given.out.write_text(text + "\n", encoding="utf-8")
    reasons = [why for one in found["presets"].values() for why in one["left_out"].values()]
    return int(any(why.startswith(WRONG) for why in reasons))


if __name__ == "__main__":
    raise SystemExit(main())
