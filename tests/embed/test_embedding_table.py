"""Embedding tables alone, from Python: look-ups, files, training."""

import json
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xfeed
from safetensors.numpy import load_file, save_file
from xfeed import _core
from xfeed.embeddings import Dtype, EmbeddingTable, HashFamily, save_tables
from xfeed.errors import ConfigError, ShapeError, StoreError
from xfeed.phoenix.learning.row_adagrad import RowAdagrad

from tests.shared_data import shared_path

N_ROWS, WIDTH = 500, 24
DTYPES = ("float32", "float16", "bfloat16", "int8")


def numbers(seed: int = 1) -> np.ndarray:
    values = np.random.default_rng(seed).standard_normal((N_ROWS, WIDTH), dtype=np.float32)
    values[0] = 0
    return values


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_look_up_gives_the_rows_that_the_hashes_name(dtype: Dtype) -> None:
    table = EmbeddingTable.from_array(numbers(), dtype)
    family = HashFamily.of("post")
    ids = np.array([0, 1, 2**63, 2**64 - 1, 7, 0], dtype=np.uint64)
    rows = family.rows(ids, N_ROWS)
    stored = table.to_array()
    found = table.lookup(ids, family)
    np.testing.assert_array_equal(found, stored[rows].reshape(6, -1))
    np.testing.assert_array_equal(table.lookup(ids, family, total=True), stored[rows].sum(1))
    np.testing.assert_array_equal(table.rows(rows[:, 0]), stored[rows[:, 0]])
    assert (rows[ids == 0] == 0).all()
    assert not found[ids == 0].any()


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
def test_anybody_can_read_what_is_saved_and_the_other_way_round(
    dtype: Dtype, tmp_path: Path
) -> None:
    table = EmbeddingTable.from_array(numbers(), dtype)
    path = tmp_path / "tables.safetensors"
    save_tables(path, {"post": table})
    arrays = load_file(path)
    scales = arrays.get("post.scale", np.ones(N_ROWS, dtype=np.float32))
    np.testing.assert_array_equal(
        arrays["post"].astype(np.float32) * scales[:, None], table.to_array()
    )
    other = tmp_path / "other.safetensors"
    save_file(arrays | {"more": np.arange(3)}, other, metadata={"who": "else"})
    for copy in (False, True):
        again = EmbeddingTable.open(other, "post", copy=copy)
        assert (again.is_mapped, again.dtype, again.n_rows) == (not copy, dtype, N_ROWS)
        np.testing.assert_array_equal(again.to_array(), table.to_array())
    assert [it.name for it in tmp_path.iterdir() if it.name.startswith(".")] == []


def test_a_mapped_table_keeps_its_file_when_another_takes_the_name(tmp_path: Path) -> None:
    path = tmp_path / "tables.safetensors"
    first, second = (EmbeddingTable.from_array(numbers(seed)) for seed in (1, 2))
    save_tables(path, {"post": first})
    mapped = EmbeddingTable.open(path, "post")
    save_tables(path, {"post": second})
    np.testing.assert_array_equal(mapped.to_array(), first.to_array())
    np.testing.assert_array_equal(EmbeddingTable.open(path, "post").to_array(), second.to_array())


def cut(content: bytes) -> bytes:
    return content[:-1]


def grown(content: bytes) -> bytes:
    return content + b"\0"


def renamed(content: bytes) -> bytes:
    return content.replace(b'"post"', b'"past"', 1)


def longer_header(content: bytes) -> bytes:
    return b"\xff" * 7 + b"\x7f" + content[8:]


def wrong_type(content: bytes) -> bytes:
    return content.replace(b'"F32"', b'"F64"', 1)


@pytest.mark.parametrize("damage", [cut, grown, renamed, longer_header, wrong_type])
def test_a_damaged_file_is_refused_by_name(
    damage: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    path = tmp_path / "tables.safetensors"
    save_tables(path, {"post": EmbeddingTable.from_array(numbers())})
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(StoreError, match=r"tables\.safetensors"):
        EmbeddingTable.open(path, "post")


def test_a_missing_file_and_a_missing_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="nowhere"):
        EmbeddingTable.open(tmp_path / "nowhere", "post")
    with pytest.raises(StoreError, match="nowhere"):
        save_tables(tmp_path / "nowhere" / "file", {"post": EmbeddingTable.zeros(2, 2)})


def test_two_tensors_of_one_name_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "tables.safetensors"
    small = EmbeddingTable.zeros(2, 2, "int8")
    with pytest.raises(ConfigError, match=r"post\.scale"):
        save_tables(path, {"post": small, "post.scale": EmbeddingTable.zeros(2, 2)})
    assert list(tmp_path.iterdir()) == []


def test_wrong_arguments_say_what_was_allowed() -> None:
    table, family = EmbeddingTable.from_array(numbers()), HashFamily.of("author")
    ids = np.arange(4, dtype=np.uint64)
    for bad in ([-1], [0.5], [[1]], ["1"]):
        with pytest.raises(ShapeError, match="ids"):
            table.lookup(bad, family)
    for rows in ([N_ROWS], [-1], [0.5]):
        with pytest.raises(ShapeError, match="rows"):
            table.rows(rows)
    with pytest.raises(ShapeError, match="float64"):
        table.lookup(ids, family, out=np.empty((4, 2 * WIDTH)))  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match="is needed"):
        table.lookup(ids, family, out=np.empty((4, WIDTH), dtype=np.float32))
    with pytest.raises(ConfigError, match="float64"):
        EmbeddingTable.from_array(numbers(), "float64")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="there are no published hashes"):
        HashFamily.of("colour")
    with pytest.raises(ShapeError, match="shape"):
        EmbeddingTable.from_array(np.zeros(3))
    with pytest.raises(ShapeError, match="rows"):
        EmbeddingTable.zeros(0, 4)


def test_nothing_to_look_up_is_an_empty_answer() -> None:
    table, family = EmbeddingTable.zeros(2, 3), HashFamily.of("post")
    assert table.lookup([], family).shape == (0, 6)
    assert table.rows([]).shape == (0, 3)


def test_random_tables_are_the_same_for_the_same_seed() -> None:
    first, again, other = (EmbeddingTable.random(90, 8, seed=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.to_array(), again.to_array())
    assert (first.to_array() != other.to_array()).any()
    assert not first.to_array()[0].any()
    assert 0.015 < first.to_array()[1:].std() < 0.025


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("kind", ["plain", "halflife_eager_wd", "halflife_lazy_wd"])
def test_training_steps_agree_with_the_published_ones(kind: str, dtype: Dtype) -> None:
    golden = np.load(shared_path("conformance", "phoenix", "aug_optim_01.npz"))
    settings = json.loads(bytes(golden[f"adagrad/{kind}/settings_json"]))
    rate = settings.pop("learning_rate")
    table = EmbeddingTable.from_array(golden["adagrad/table"], dtype)
    optimizer = RowAdagrad(table, **settings)
    for step in range(3):
        rows, gradients = (golden[f"adagrad/step{step}_{it}"] for it in ("rows", "grads"))
        order = np.random.default_rng(step).permutation(len(rows))
        optimizer.step(rows[order], gradients[order], rate=rate)
        expected = golden[f"adagrad/{kind}/{dtype}/table_after_{step}"]
        sums = golden[f"adagrad/{kind}/{dtype}/row_sum_sq_after_{step}"]
        # a bfloat16 table may round the other way where the last bit of a float32 differs
        rtol, atol = (0, 3e-7) if dtype == "float32" else (2**-8, 0)
        np.testing.assert_allclose(table.to_array(), expected, rtol=rtol, atol=atol)
        np.testing.assert_allclose(optimizer.core.state()[0], sums, rtol=3e-7)


def test_gradients_of_one_row_are_added_up() -> None:
    once, twice = (EmbeddingTable.from_array(numbers()) for _ in range(2))
    gradient = np.ones((1, WIDTH), dtype=np.float32)
    RowAdagrad(once).step(np.array([5]), 2 * gradient, rate=0.1)
    RowAdagrad(twice).step(np.array([5, 5]), np.vstack([gradient, gradient]), rate=0.1)
    np.testing.assert_array_equal(once.to_array(), twice.to_array())
    assert (once.to_array()[5] != numbers()[5]).all()


def test_the_state_of_training_can_be_taken_up_again() -> None:
    gradient = np.full((2, WIDTH), 0.5, dtype=np.float32)
    table, again = (EmbeddingTable.from_array(numbers()) for _ in range(2))
    rows = np.array([3, 9], dtype=np.uint32)
    whole = _core.RowAdagrad(N_ROWS, half_life_steps=2, lazy_decay=True)
    whole.step(table.core, rows, gradient, 0, 0.1)
    part = _core.RowAdagrad(N_ROWS, half_life_steps=2, lazy_decay=True)
    part.step(again.core, rows, gradient, 0, 0.1)
    resumed = _core.RowAdagrad(N_ROWS, half_life_steps=2, lazy_decay=True)
    resumed.set_state(*part.state())
    for optimizer, target in ((whole, table), (resumed, again)):
        optimizer.step(target.core, rows, gradient, 5, 0.1)
    np.testing.assert_array_equal(table.to_array(), again.to_array())
    with pytest.raises(ShapeError, match="one per row"):
        resumed.set_state(np.zeros(1, dtype=np.float32), np.zeros(1, dtype=np.uint32))


def test_a_mapped_table_is_not_trained(tmp_path: Path) -> None:
    save_tables(tmp_path / "tables", {"post": EmbeddingTable.from_array(numbers())})
    table = EmbeddingTable.open(tmp_path / "tables", "post")
    with pytest.raises(ConfigError, match="mapped"):
        RowAdagrad(table).step(np.array([1]), np.ones((1, WIDTH), np.float32), rate=1.0)


def test_readers_see_whole_steps_of_training() -> None:
    table = EmbeddingTable.from_array(np.ones((64, 256), dtype=np.float32))
    optimizer, rows = RowAdagrad(table), np.arange(1, 64)
    gradient = np.ones((63, 256), dtype=np.float32)
    mixed: list[np.ndarray] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            found = table.rows(rows)
            if len(np.unique(found)) != 1:
                mixed.append(found)

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(200):
        optimizer.step(rows, gradient, rate=0.1)
    done.set()
    reader.join()
    assert not mixed


def test_the_example_of_the_document_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = (Path(__file__).parents[2] / "docs" / "embeddings.md").read_text("utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(example, "embeddings.md", "exec"), names)  # noqa: S102 - our own document
    assert names["vectors"].shape == (3, 32)
    assert names["rows"].shape == (3, 2)
    trained, mapped = names["table"].lookup(names["ids"], names["posts"]), names["mapped"]
    assert mapped.is_mapped
    np.testing.assert_array_equal(mapped.lookup(names["ids"], names["posts"]), trained)
    assert (trained[:2] != names["vectors"][:2]).all()
    assert names["small"].nbytes == 10_000 * (16 + 4)


def test_looking_up_needs_no_torch() -> None:
    code = (
        "import sys, xfeed\n"
        "table = xfeed.EmbeddingTable.random(100, 4, seed=1)\n"
        "print(table.lookup([5], xfeed.HashFamily.of('post')).shape, 'torch' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["(1,", "8)", "False"]
    assert xfeed.EmbeddingTable is EmbeddingTable


def test_rows_are_written_into_an_owned_table_only(tmp_path: Path) -> None:
    table = EmbeddingTable.zeros(N_ROWS, WIDTH)
    table.core.write(0, numbers()[:200])
    table.core.write(200, numbers()[200:])
    np.testing.assert_array_equal(table.to_array(), numbers())
    for first_row, shape in ((N_ROWS - 1, (2, WIDTH)), (0, (1, WIDTH + 1))):
        with pytest.raises(ShapeError):
            table.core.write(first_row, np.ones(shape, dtype=np.float32))
    save_tables(tmp_path / "tables", {"post": table})
    with pytest.raises(ConfigError, match="mapped"):
        EmbeddingTable.open(tmp_path / "tables", "post").core.write(1, numbers()[:1])
