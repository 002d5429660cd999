"""A safetensors file is believed in nothing: every length is compared with every other one."""

import json
import os
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from xfeed.errors import BundleError
from xfeed.phoenix.bundles.tensor_file import (
    MAX_HEADER_BYTES,
    NUMPY_DTYPES,
    Stream,
    read_header,
    sha256_of,
    write_tensors,
)


def raw_file(path: Path, header: Any, data: bytes = b"", length: int | None = None) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    length = len(text) if length is None else length
    path.write_bytes(length.to_bytes(8, "little") + text + data)
    return path


def one(dtype: object = "F32", shape: object = (2,), offsets: object = (0, 8)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_what_is_written_is_what_the_reference_library_reads(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    shapes = st.lists(st.integers(0, 5), max_size=3).map(tuple)
    kinds = st.sampled_from(sorted(NUMPY_DTYPES))
    chosen = data.draw(st.dictionaries(st.text(min_size=1), st.tuples(kinds, shapes), max_size=6))
    chosen.pop("__metadata__", None)
    rng = np.random.default_rng(0)
    tensors = {
        name: rng.integers(0, 100, shape).astype(NUMPY_DTYPES[kind])
        for name, (kind, shape) in chosen.items()
    }
    path = tmp_path_factory.mktemp("files") / "a.safetensors"
    written = write_tensors(path, {name: Stream.of(v) for name, v in tensors.items()})
    assert written.n_bytes == path.stat().st_size
    assert written.sha256 == sha256_of(path)
    entries = read_header(path)
    content = path.read_bytes()
    assert sorted(entries) == sorted(tensors)
    for name, values in tensors.items():
        entry = entries[name]
        assert content[entry.start : entry.stop] == values.tobytes()
        assert (entry.shape, entry.to_json()) == (values.shape, written.tensors[name])
    loaded = load_file(path)
    assert all(np.array_equal(loaded[name], values) for name, values in tensors.items())


def test_files_of_the_reference_library_are_read(tmp_path: Path) -> None:
    save_file({"a": np.ones((2, 3), np.float32), "b": np.zeros(1, np.int64)}, tmp_path / "x")
    entries = read_header(tmp_path / "x")
    assert {name: (e.dtype, e.shape) for name, e in entries.items()} == {
        "a": ("F32", (2, 3)),
        "b": ("I64", (1,)),
    }


def test_tensors_are_aligned_even_beside_odd_ones(tmp_path: Path) -> None:
    tensors: dict[str, Any] = {
        "a": np.zeros(3, np.int8),
        "b": np.zeros(3, np.float32),
        "c": np.zeros(5, np.uint64),
    }
    write_tensors(tmp_path / "x", {name: Stream.of(v) for name, v in tensors.items()})
    for name, entry in read_header(tmp_path / "x").items():
        assert entry.start % tensors[name].itemsize == 0


@pytest.mark.parametrize("n_rows", [1, 3])
def test_a_stream_of_another_length_than_its_shape_is_refused(tmp_path: Path, n_rows: int) -> None:
    block = np.zeros((n_rows, 2), np.float32)
    with pytest.raises(BundleError, match="`rows`") as caught:
        write_tensors(tmp_path / "x", {"rows": Stream("F32", (2, 2), lambda: (block,))})
    assert caught.value.code == "wrong_shape"


@pytest.mark.parametrize(
    ("header", "data"),
    [
        ({"a": one(), "b": one(offsets=[4, 12])}, bytes(12)),  # overlap
        ({"a": one(), "b": one(offsets=[0, 8])}, bytes(8)),  # the same bytes twice
        ({"a": one(), "b": one(offsets=[12, 20])}, bytes(20)),  # a hole
        ({"a": one(offsets=[4, 12])}, bytes(12)),  # a hole at the start
        ({"a": one()}, bytes(7)),  # cut
        ({"a": one()}, bytes(9)),  # more than described
        ({"a": one(offsets=[8, 0])}, bytes(8)),  # backwards
        ({"a": one(offsets=[-8, 0])}, bytes(8)),
        ({"a": one(offsets=[0, 8, 8])}, bytes(8)),
        ({"a": one(offsets=[0.0, 8.0])}, bytes(8)),
        ({"a": one(shape=[2**62, 4], offsets=[0, 2**66])}, bytes(8)),  # gigantic
        ({"a": one(shape=[2**32, 2**32], offsets=[0, 0])}, b""),  # wraps around in 64 bits
        ({"a": one(shape=[2**63, 2], offsets=[0, 0])}, b""),
        ({"a": one(shape=[-2])}, bytes(8)),
        ({"a": one(shape=[True, 2])}, bytes(8)),
        ({"a": one(shape="2")}, bytes(8)),
        ({"a": one(dtype="F31")}, bytes(8)),
        ({"a": one(dtype=["F32"])}, bytes(8)),
        ({"a": one() | {"more": 1}}, bytes(8)),
        ({"a": {"dtype": "F32"}}, bytes(8)),
        ({"a": 7}, bytes(8)),
        ([1], b""),
        (b'{"a": NaN}', b""),
        (b"[" * 100_000, b""),
        (b'{"a": ' + b"9" * 5_000 + b"}", b""),
        (b"\xff\xfe", b""),
        (
            json.dumps({"a": one(), "x": 0}).replace('"x": 0', '"a": 0').encode(),
            bytes(8),
        ),  # a name twice
    ],
)
def test_a_header_that_does_not_describe_the_file_is_refused(
    tmp_path: Path, header: Any, data: bytes
) -> None:
    with pytest.raises(BundleError, match=r"bad\.safetensors") as caught:
        read_header(raw_file(tmp_path / "bad.safetensors", header, data))
    assert caught.value.code == "bad_file"


@pytest.mark.parametrize("length", [3, 2**32, 2**63, 2**64 - 1, MAX_HEADER_BYTES + 1])
def test_a_header_of_another_length_is_refused(tmp_path: Path, length: int) -> None:
    path = raw_file(tmp_path / "bad.safetensors", {"a": one()}, bytes(8), length)
    with pytest.raises(BundleError) as caught:
        read_header(path)
    assert caught.value.code == "bad_file"


@pytest.mark.parametrize("n_bytes", range(9))
def test_a_file_of_a_few_bytes_is_refused(tmp_path: Path, n_bytes: int) -> None:
    (tmp_path / "x").write_bytes(b"\x02" + bytes(7) + b"{}"[: n_bytes - 8] if n_bytes else b"")
    with pytest.raises(BundleError):
        read_header(tmp_path / "x")


@settings(deadline=None, max_examples=200)
@given(data=st.data())
def test_a_changed_header_is_refused_or_describes_the_file_exactly(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("files") / "x"
    write_tensors(path, {name: Stream.of(np.ones(4, np.float32)) for name in "abc"})
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 49))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        entries = read_header(path)
    except BundleError as error:
        assert error.code == "bad_file"  # noqa: PT017 - both outcomes are fine
        return
    spans = sorted((entry.start, entry.stop) for entry in entries.values())
    assert all(before[1] == after[0] for before, after in pairwise(spans))
    assert not spans or spans[-1][1] == len(content)


def test_a_pipe_or_a_directory_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "folder", "nothing"):
        with pytest.raises(BundleError, match=name) as caught:
            read_header(tmp_path / name)
        assert caught.value.code == "missing_file"


def test_the_reference_library_refuses_what_is_refused_here(tmp_path: Path) -> None:
    """The attacks above are attacks: the other reader agrees."""
    for header in ({"a": one(), "b": one(offsets=[4, 12])}, {"a": one(offsets=[4, 12])}):
        path = raw_file(tmp_path / "bad", header, bytes(12))
        with pytest.raises(SafetensorError):
            load_file(path)
