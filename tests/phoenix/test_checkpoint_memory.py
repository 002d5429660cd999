"""A table of a million rows passes through an import without ever being in memory."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.phoenix import checkpoints
from tests.phoenix.checkpoints import change_arrays, change_config, make_checkpoint

N_ROWS = 1_000_000
WIDTH = 128
TABLE_BYTES = N_ROWS * WIDTH * 4

CODE = """
import resource, sys
from pathlib import Path
import torch
from xfeed.phoenix.bundles.read import read_bundle
from xfeed.phoenix.published.checkpoint import import_checkpoint

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

source, out_dir = Path(sys.argv[1]), Path(sys.argv[2])
import_checkpoint(source / "warm", out_dir / "warm")
read_bundle(out_dir / "warm")
before = peak()
import_checkpoint(source / "large", out_dir / "large", table_dtype=sys.argv[3])
imported = peak()
bundle = read_bundle(out_dir / "large")
print(imported - before, peak() - before, bundle.ranker_tables["user"].n_rows)
"""


@pytest.mark.stress
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("compressed", "dtype"), [(False, "float32"), (True, "float32"), (False, "int8")]
)
def test_a_large_table_is_streamed_and_mapped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compressed: bool, dtype: str
) -> None:
    monkeypatch.setattr(checkpoints, "WIDTH", WIDTH)
    for name in ("warm", "large"):
        make_checkpoint(tmp_path / name, compressed=compressed)
    block = np.random.default_rng(0).standard_normal((1_000, WIDTH)).astype(np.float32)
    rows = np.tile(block, (N_ROWS // 1_000, 1))
    change_config(tmp_path / "large" / "ranker" / "config.json", user_vocab_size=N_ROWS)
    change_arrays(
        tmp_path / "large" / "ranker" / "embedding_tables.npz",
        lambda arrays: arrays.update(user_embeddings=rows),
        compressed=compressed,
    )
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(tmp_path), str(tmp_path / "out"), dtype],
        check=True,
        capture_output=True,
        text=True,
        timeout=500,
    )
    import_growth, growth, n_rows = map(int, done.stdout.split())
    assert n_rows == N_ROWS
    # a few blocks of 8 MiB per thread, far from the 512 MB of the table
    assert import_growth < TABLE_BYTES / 4
    assert growth < TABLE_BYTES / 4
