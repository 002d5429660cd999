"""Large files are read as a whole once: hashed, searched, and noted as long as nothing changes."""

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xfeed._core import EmbeddingTable
from xfeed.errors import BundleError
from xfeed.phoenix.bundles import read as bundle
from xfeed.phoenix.bundles import scan, stamp
from xfeed.phoenix.bundles.layout import Manifest, read_manifest
from xfeed.phoenix.bundles.read import read_bundle
from xfeed.phoenix.bundles.scan import scan_file
from xfeed.phoenix.bundles.table_streams import MAX_SCALE
from xfeed.phoenix.bundles.tensor_file import Stream, read_header, write_tensors

from tests.phoenix.bundles import TABLES, change_tensors, refusal, with_value


@pytest.fixture
def copy(bundle_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bundle that was never read and whose files count as old."""
    monkeypatch.setattr(stamp, "SETTLED_NS", 0)
    directory = Path(shutil.copytree(bundle_dir, tmp_path / "copy"))
    (directory / stamp.NOTE).unlink(missing_ok=True)
    return directory


def test_a_bundle_is_read_as_a_whole_once_and_again_when_a_file_changed(copy: Path) -> None:
    read_bundle(copy, verify="once")
    path = copy / TABLES
    content, stat = bytearray(path.read_bytes()), path.stat()
    content[-1] ^= 1
    path.write_bytes(content)
    # even with the old time of change put back
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert refusal(copy, "once").code == "wrong_hash"
    content[-1] ^= 1
    path.write_bytes(content)
    assert read_bundle(copy, verify="once").id == read_bundle(copy).id


def test_a_file_that_did_not_change_is_not_read_again(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scanned = []

    def scan(path: Path, entries: Any) -> Any:
        scanned.append(path.name)
        return scan_file(path, entries)

    monkeypatch.setattr(bundle, "scan_file", scan)
    read_bundle(copy, verify="once")
    assert sorted(scanned) == ["ranker_tables.safetensors", "retrieval_tables.safetensors"]
    read_bundle(copy, verify="once")
    assert len(scanned) == 2
    # another copy of the same bundle is another bundle
    again = Path(shutil.copytree(copy, copy.with_name("again")))
    read_bundle(again, verify="once")
    assert len(scanned) == 4


@pytest.mark.parametrize("note", ["", "{}", "[" * 100_000, '{"bundle_id": 1, "files": {}}'])
def test_a_note_that_says_nothing_is_not_believed(copy: Path, note: str) -> None:
    (copy / stamp.NOTE).write_text(note)
    change_tensors(copy, TABLES, with_value("table.item", np.nan))
    assert refusal(copy, "once").code == "not_finite"


def test_a_note_of_fewer_checks_is_not_believed(copy: Path) -> None:
    change_tensors(copy, TABLES, with_value("table.item", np.nan))
    note = copy / stamp.NOTE
    manifest = Manifest.parse(read_manifest(copy))
    stamp.note_checked(copy, manifest.id, stamp.file_stats(copy, manifest.files))
    read_bundle(copy, verify="once")
    older = json.loads(note.read_text())
    for checks in (stamp.CHECKS - 1, None):
        note.write_text(json.dumps(older | {"checks": checks}))
        assert refusal(copy, "once").code == "not_finite"
    del older["checks"]
    note.write_text(json.dumps(older))
    assert refusal(copy, "once").code == "not_finite"


def test_files_that_changed_a_moment_ago_are_not_noted(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stamp, "SETTLED_NS", 10**18)
    read_bundle(copy, verify="once")
    assert not (copy / stamp.NOTE).exists()


BITS = {"F64": np.float64, "F32": np.float32, "F16": np.float16}


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_the_first_row_that_is_not_finite_is_found_wherever_it_lies(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    dtype = data.draw(st.sampled_from(["F64", "F32", "F16", "BF16"]))
    n_rows, width = data.draw(st.integers(1, 3_000)), data.draw(st.integers(1, 70))
    rows = np.full((n_rows, width), 3.0e4, BITS.get(dtype, np.float32))
    places = data.draw(st.lists(st.integers(0, n_rows * width - 1), max_size=3))
    for place in places:
        rows.flat[place] = data.draw(st.sampled_from([np.nan, -np.nan, np.inf, -np.inf]))
    stored = rows
    if dtype == "BF16":
        stored = (rows.view(np.uint32) >> np.uint32(16)).astype(np.uint16)
    streams = {
        "rows": Stream(dtype, rows.shape, lambda: (stored,)),
        # small integers look like nothing else
        "ints": Stream.of(np.full(333, -1, np.int64)),
        "bytes": Stream.of(np.full(7, 255, np.uint8)),
    }
    path = tmp_path_factory.mktemp("scan") / "x"
    write_tensors(path, streams)
    found = scan_file(path, read_header(path))
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert found.not_finite == (("rows", min(places) // width) if places else None)


def test_the_largest_finite_values_are_finite(tmp_path: Path) -> None:
    for dtype in (np.float64, np.float32, np.float16):
        limits = np.array([np.finfo(dtype).max, np.finfo(dtype).min, np.finfo(dtype).tiny], dtype)
        path = tmp_path / np.dtype(dtype).name
        write_tensors(path, {"x": Stream.of(limits)})
        assert scan_file(path, read_header(path)).not_finite is None


@pytest.mark.parametrize("scale", [np.nextafter(MAX_SCALE, np.float32(np.inf)), 3e38, np.inf])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_scale_that_makes_a_row_infinite_is_refused(
    tmp_path: Path, scale: float, sign: int
) -> None:
    scales = np.full(5, MAX_SCALE, np.float32)
    largest = {"x": Stream.of(np.full((5, 2), -128, np.int8)), "x.scale": Stream.of(scales)}
    write_tensors(tmp_path / "good", largest)
    assert scan_file(tmp_path / "good", read_header(tmp_path / "good")).not_finite is None
    good = EmbeddingTable.open(str(tmp_path / "good"), "x")
    assert good.first_not_finite() is None
    scales = scales.copy()
    scales[3] = sign * np.float32(scale)
    write_tensors(tmp_path / "bad", largest | {"x.scale": Stream.of(scales)})
    assert scan_file(tmp_path / "bad", read_header(tmp_path / "bad")).not_finite == ("x.scale", 3)
    bad = EmbeddingTable.open(str(tmp_path / "bad"), "x")
    assert bad.first_not_finite() == 3


def test_a_file_without_tensors_is_hashed(tmp_path: Path) -> None:
    content = bytes(range(256)) * (scan.BLOCK_BYTES // 100)
    (tmp_path / "x").write_bytes(content)
    assert scan_file(tmp_path / "x", {}).sha256 == hashlib.sha256(content).hexdigest()


def test_a_file_that_is_cut_while_it_is_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x"
    write_tensors(path, {"rows": Stream.of(np.ones((9, 9), np.float32))})
    entries = read_header(path)
    os.truncate(path, path.stat().st_size - 5)
    with pytest.raises(BundleError, match="rows") as caught:
        scan_file(path, entries)
    assert caught.value.code == "wrong_size"
