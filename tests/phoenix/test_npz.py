"""Archives of strangers: nothing in them runs, and nothing in them is believed unchecked."""

import io
import os
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from xfeed.errors import BundleError
from xfeed.phoenix.bundles import table_streams
from xfeed.phoenix.published.npz import Npz


def npy(values: Any) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.asanyarray(values))
    return buffer.getvalue()


def zip_of(path: Path, *members: tuple[str, bytes], method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


def refusal(path: Path, name: str = "") -> BundleError:
    with pytest.raises(BundleError) as caught:
        Npz(path).read(name)
    return caught.value


KINDS = st.sampled_from(["<f4", ">f4", "<i8", "<u8", "<i4", "<U3"])


@settings(deadline=None, max_examples=60)
@given(data=st.data(), compressed=st.booleans(), fortran=st.booleans())
def test_arrays_come_back_as_numpy_reads_them(
    data: st.DataObject, compressed: bool, fortran: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    shape = npst.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=5)
    values = data.draw(npst.arrays(data.draw(KINDS.map(np.dtype)), shape))
    values = np.asarray(values, order="F" if fortran else "C")
    path = tmp_path_factory.mktemp("npz") / "a.npz"
    (np.savez_compressed if compressed else np.savez)(path, x=values)
    archive = Npz(path)
    assert archive.members["x"].shape == values.shape
    got = archive.read("x")
    assert got.dtype == values.dtype.newbyteorder("=")
    np.testing.assert_array_equal(got, values)


def test_a_table_comes_in_blocks_of_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_streams, "BLOCK_BYTES", 4 * 3 * 10)
    rows = np.arange(25 * 3, dtype=np.float32).reshape(25, 3)
    np.savez_compressed(tmp_path / "a.npz", rows=rows)
    table = Npz(tmp_path / "a.npz").table("rows")
    blocks = list(table.blocks())
    assert [len(block) for block in blocks] == [10, 10, 5]
    np.testing.assert_array_equal(np.concatenate(blocks), rows)
    # a second time, from the start
    np.testing.assert_array_equal(np.concatenate(list(table.blocks())), rows)


class Evil:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, ("touch executed",)


def test_pickled_objects_are_refused_and_never_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez(tmp_path / "a.npz", good=np.ones(2), bad=np.array([Evil()], dtype=object))
    error = refusal(tmp_path / "a.npz", "good")
    assert (error.code, "bad" in str(error)) == ("objects", True)
    assert not (tmp_path / "executed").exists()


def test_a_header_with_code_is_refused(tmp_path: Path) -> None:
    header = b"{'descr': __import__('os').getpid() and '<f4', 'fortran_order': False, 'shape': ()}"
    content = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(4)
    assert refusal(zip_of(tmp_path / "a.npz", ("x.npy", content))).code == "bad_file"


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_header_that_claims_to_be_huge_is_not_read(tmp_path: Path, method: int) -> None:
    claimed = 64 * 2**20
    start = b"\x93NUMPY\x02\x00" + claimed.to_bytes(4, "little")
    path = zip_of(tmp_path / "a.npz", ("x.npy", start + b" " * claimed), method=method)
    tracemalloc.start()
    try:
        error = refusal(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (error.code, "header" in str(error)) == ("bad_file", True)
    assert peak < claimed / 16


@pytest.mark.parametrize(
    "described",
    ["()", "('<f4',)", "[()]", "[(1,)]", "[('a',)]", "{}", "1", "None", "-" * 9_000 + "1"],
)
def test_a_header_without_a_dtype_is_refused(tmp_path: Path, described: str) -> None:
    header = f"{{'descr': {described}, 'fortran_order': False, 'shape': (1,)}}\n".encode()
    content = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(4)
    error = refusal(zip_of(tmp_path / "a.npz", ("x.npy", content)), "x")
    assert error.code in {"bad_file", "objects"}


@pytest.mark.parametrize(
    ("described", "shape"),
    [
        *[("<U0", shape) for shape in ("(-1,)", "(3,)", "(2**62,)", "(4611686018427387904,)")],
        *[("<f4", shape) for shape in ("(0, -3)", "(0, 9223372036854775808)", "(0, 2, 1e9)")],
        ("<f4", f"(0, {2**48}, {2**48})"),
    ],
)
def test_a_shape_that_no_array_has_is_refused(tmp_path: Path, described: str, shape: str) -> None:
    header = f"{{'descr': '{described}', 'fortran_order': False, 'shape': {shape}}}\n".encode()
    content = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    assert refusal(zip_of(tmp_path / "a.npz", ("x.npy", content)), "x").code == "bad_file"


ONES = npy(np.ones((2, 3), np.float32))


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (ONES[:-1], "wrong_shape"),
        (ONES + b"x", "wrong_shape"),
        (ONES[:20], "bad_file"),
        (b"", "bad_file"),
        (b"\x93NUMPY\x09\x00" + ONES[8:], "bad_file"),
        (ONES.replace(b"(2, 3)", b"(9, 9)"), "wrong_shape"),
        (ONES.replace(b"(2, 3)", b"(-2,3)"), "bad_file"),
        (ONES.replace(b"(2, 3), }  ", b"(2, 10**9)}"), "bad_file"),
        (ONES.replace(b"'<f4'", b"'|O8'"), "objects"),
        (npy(np.zeros(2, [("a", "f4"), ("b", "i4")])), "objects"),
    ],
)
def test_members_that_are_not_what_they_say_are_refused(
    tmp_path: Path, content: bytes, code: str
) -> None:
    assert refusal(zip_of(tmp_path / "a.npz", ("x.npy", content)), "x").code == code


def test_members_that_are_no_arrays_are_refused(tmp_path: Path) -> None:
    for name in ("x.txt", "../x", "__main__.py"):
        error = refusal(zip_of(tmp_path / "a.npz", (name, ONES)))
        assert (error.code, name in str(error)) == ("bad_file", True)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_member_that_comes_twice_is_refused(tmp_path: Path) -> None:
    path = zip_of(tmp_path / "a.npz", ("x.npy", ONES), ("x.npy", ONES))
    assert refusal(path, "x").code == "bad_file"


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compressions_are_refused(tmp_path: Path, method: int) -> None:
    path = zip_of(tmp_path / "a.npz", ("x.npy", ONES), method=method)
    assert refusal(path, "x").code == "bad_file"


def test_an_encrypted_member_is_refused(tmp_path: Path) -> None:
    content = bytearray(zip_of(tmp_path / "a.npz", ("x.npy", ONES)).read_bytes())
    # bit 0 of the flags, in the member's header and in the directory
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "a.npz").write_bytes(content)
    assert refusal(tmp_path / "a.npz", "x").code == "bad_file"


@pytest.mark.filterwarnings("ignore:Reading `.npy`")
@settings(deadline=None, max_examples=400)
@given(data=st.data(), compressed=st.booleans())
def test_a_changed_archive_is_refused_or_gives_the_same_values(
    data: st.DataObject, compressed: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("npz") / "a.npz"
    values = np.arange(12, dtype=np.float32).reshape(3, 4)
    (np.savez_compressed if compressed else np.savez)(path, x=values)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        archive = Npz(path)
        got = archive.read("x") if "x" in archive.members else values
    except BundleError as error:
        assert error.code in {"bad_file", "wrong_shape", "objects"}  # noqa: PT017 - both are fine
        return
    np.testing.assert_array_equal(got, values)
