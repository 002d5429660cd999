"""Forked children, arrays that change meanwhile, wrong rows and endless steps."""

import contextlib
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from xfeed.embeddings import EmbeddingTable, HashFamily
from xfeed.errors import ConfigError, ShapeError
from xfeed.phoenix.learning.row_adagrad import RowAdagrad

FORK = """
import os
import numpy as np
from xfeed.embeddings import EmbeddingTable, HashFamily
from xfeed.phoenix.learning.row_adagrad import RowAdagrad

values = np.random.default_rng(0).standard_normal((40_000, 32), dtype=np.float32)
table = EmbeddingTable.from_array(values)
ids, family = np.arange(20_000, dtype=np.uint64), HashFamily.of("post")
expected = table.lookup(ids, family)
child = os.fork()
if child == 0:
    same = np.array_equal(table.lookup(ids, family), expected)
    same &= np.array_equal(table.lookup(ids, family, threads=3), expected)
    same &= np.array_equal(table.to_array(), values)
    same &= table.first_not_finite() is None
    rows = np.arange(1, 3_001)
    RowAdagrad(table).step(rows, np.ones((3_000, 32), dtype=np.float32), rate=0.1)
    same &= bool((table.rows(rows) < values[rows]).all())
    same &= EmbeddingTable.from_array(values).n_rows == 40_000
    os._exit(0 if same else 1)
_, status = os.waitpid(child, 0)
assert os.waitstatus_to_exitcode(status) == 0
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_child_uses_the_tables_of_its_parent() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORK],
        timeout=60,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("rows", [[2**32 + 5], [-(2**32) + 7], [3.9], [50], [[1]]])
def test_a_row_that_the_table_does_not_have_is_not_trained(rows: list[object]) -> None:
    table = EmbeddingTable.from_array(np.ones((50, 4), dtype=np.float32))
    with pytest.raises(ShapeError):
        RowAdagrad(table).step(np.array(rows), np.ones((1, 4), dtype=np.float32), rate=1.0)
    assert (table.to_array() == 1).all()


@pytest.mark.parametrize("shape", [(1, 4), (4,), (3, 4), (2, 8)])
@pytest.mark.parametrize("rows", [[1, 2], [2, 2]])
def test_gradients_of_another_shape_are_refused(shape: tuple[int, ...], rows: list[int]) -> None:
    table = EmbeddingTable.from_array(np.ones((50, 4), dtype=np.float32))
    with pytest.raises(ShapeError, match=re.escape(str(shape))):
        RowAdagrad(table).step(np.array(rows), np.ones(shape, dtype=np.float32), rate=1.0)
    assert (table.to_array() == 1).all()


def test_a_table_and_its_state_stay_finite_whatever_the_steps() -> None:
    table = EmbeddingTable.from_array(np.ones((50, 4), dtype=np.float32))
    optimizer = RowAdagrad(table)
    rows = np.arange(1, 50)
    with pytest.raises(ConfigError, match="rate"):
        optimizer.step(rows, np.ones((49, 4), dtype=np.float32), rate=3e38)
    for _ in range(6):  # the sum of the mean squares is too large for a float32
        optimizer.step(rows, np.full((49, 4), 9e18, dtype=np.float32), rate=1e6)
    assert table.first_not_finite() is None
    optimizer.core.set_state(*optimizer.core.state())


def test_rows_that_change_during_a_look_up_do_no_harm() -> None:
    table = EmbeddingTable.zeros(1_000, 8)
    rows, out = np.zeros(20_000, dtype=np.uint32), np.empty((20_000, 8), dtype=np.float32)
    stop = threading.Event()

    def disturb() -> None:
        while not stop.is_set():
            rows[:] = 2**32 - 1
            rows[:] = 0

    thread = threading.Thread(target=disturb)
    thread.start()
    try:
        for _ in range(400):
            with contextlib.suppress(ShapeError):  # all else, a panic above all, fails
                table.core.gather(rows, out, 1)
    finally:
        stop.set()
        thread.join()


def test_a_table_that_does_not_fit_into_memory_is_a_memory_error(tmp_path: Path) -> None:
    n_rows, width = 2**31, 4_096
    path = tmp_path / "sparse.safetensors"
    cells, scales = n_rows * width, n_rows * 4
    header = (
        f'{{"t":{{"dtype":"I8","shape":[{n_rows},{width}],'
        f'"data_offsets":[{scales},{scales + cells}]}},'
        f'"t.scale":{{"dtype":"F32","shape":[{n_rows}],"data_offsets":[0,{scales}]}}}}'
    ).encode()
    header += b" " * (-len(header) % 8)
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        try:
            file.truncate(8 + len(header) + cells + scales)
        except OSError:
            pytest.skip("the file system has no such sparse files")
    with pytest.raises(MemoryError):
        EmbeddingTable.open(path, "t").to_array()


def test_a_pass_over_a_mapped_table_leaves_look_ups_as_they_were(tmp_path: Path) -> None:
    values = np.random.default_rng(0).standard_normal((9_000, 16), dtype=np.float32)
    values[8_500, 3] = values[4_097, 2] = np.inf
    save_file({"t": values}, tmp_path / "t.safetensors")
    table = EmbeddingTable.open(tmp_path / "t.safetensors", "t")
    assert table.first_not_finite() == 4_097
    np.testing.assert_array_equal(table.to_array(), values)
    np.testing.assert_array_equal(table.rows([8_999, 1]), values[[8_999, 1]])


def test_the_first_number_that_cannot_be_held_is_named() -> None:
    values = np.zeros((20_000, 16), dtype=np.float32)
    values[19_000, 3] = values[9_001, 2] = np.nan
    with pytest.raises(ShapeError, match="`9001`"):
        EmbeddingTable.from_array(values, "int8")


def test_a_read_only_output_is_named() -> None:
    table = EmbeddingTable.zeros(10, 4)
    family = HashFamily.of("post")
    out = np.empty((1, 4 * len(family)), dtype=np.float32)
    out.flags.writeable = False
    with pytest.raises(ShapeError, match="read-only"):
        table.lookup([1], family, out=out)
