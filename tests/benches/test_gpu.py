"""The GPU bench runs without a GPU: small, and without the Rust extension."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
ALONE = (
    "import sys; sys.modules['xfeed._core'] = None; from benches.python.gpu import main; "
    "raise SystemExit(main(sys.argv[1:]))"
)


def gpu(*flags: str) -> str:
    env = {**os.environ, "PYTHONPATH": f"{ROOT / 'python'}{os.pathsep}{ROOT}"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", ALONE, *flags],
        cwd=ROOT, env=env, capture_output=True, text=True, timeout=110, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_all_ways_give_the_same_outputs_and_a_line_each(tmp_path: Path) -> None:
    out = tmp_path / "gpu.json"
    flags = "--device cpu --dtype float32 --preset tiny tiny-prod --rounds 1 --no-compile --out"
    printed = gpu(*flags.split(), str(out))
    found = json.loads(out.read_text(encoding="utf-8"))
    assert set(found["presets"]) == {"tiny", "tiny-prod"}
    uncapped = found["presets"]["tiny-prod"]
    assert set(uncapped["passes"]) == {"Transformer.attend", "eager", "flash", "flex"}
    assert set(uncapped["left_out"]) == {"cudnn"}
    assert set(uncapped["dense"]) == {"eager", "sdpa"}
    capped = found["presets"]["tiny"]
    assert set(capped["passes"]) == {"Transformer.attend", "eager", "flex"}
    assert set(capped["dense"]) == {"eager"}
    for preset in found["presets"].values():
        for one in (*preset["passes"].values(), *preset["dense"].values()):
            assert one["candidates_per_s"] > 0
            assert one["share_of_square"] > 0
            assert one["error"] < 1e-4
    assert "tiny: at best" in printed


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_without_cuda_it_says_so_and_ends_well() -> None:
    assert "no CUDA here" in gpu()
