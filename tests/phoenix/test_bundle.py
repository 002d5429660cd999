"""A bundle that is not exactly what it promises is refused, and says why."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from xfeed.errors import BundleError
from xfeed.phoenix import bundle as bundles
from xfeed.phoenix.bundle import read_bundle, write_bundle
from xfeed.phoenix.config import TrainConfig
from xfeed.phoenix.runtime import Phoenix

from tests.phoenix.worlds import World, small_fit

Tensors = dict[str, Any]


@pytest.fixture
def copy(bundle_dir: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bundle_dir, tmp_path / "copy"))


def manifest_of(directory: Path) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads((directory / "manifest.json").read_bytes())
    return manifest


def change_manifest(directory: Path, **changes: Any) -> None:
    text = json.dumps(manifest_of(directory) | changes)
    (directory / "manifest.json").write_text(text)


def change_tensors(directory: Path, change: Callable[[Tensors], Any]) -> None:
    """Changes the ranker's tensors and makes the manifest fit them again."""
    path = directory / "ranker.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)
    files = manifest_of(directory)["files"]
    files["ranker.safetensors"] = {
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "tensors": {
            name: {"dtype": str(values.dtype), "shape": list(values.shape)}
            for name, values in sorted(tensors.items())
        },
    }
    change_manifest(directory, files=files)


def test_the_id_is_the_hash_of_the_manifest(bundle_dir: Path) -> None:
    text = (bundle_dir / "manifest.json").read_bytes()
    loaded = Phoenix.load(bundle_dir)
    assert loaded.bundle_id == hashlib.sha256(text).hexdigest()
    assert loaded.log_offset == 77
    assert loaded.metrics["ranker"]["actions"]["favorite"]["positives"] > 0


def test_the_manifest_names_every_file_hash_and_action(bundle_dir: Path) -> None:
    manifest = manifest_of(bundle_dir)
    assert sorted(manifest["files"]) == ["ranker.safetensors", "retrieval.safetensors"]
    for file, entry in manifest["files"].items():
        assert entry["sha256"] == hashlib.sha256((bundle_dir / file).read_bytes()).hexdigest()
    assert manifest["actions"][0] == "favorite"
    assert len(manifest["phoenix_config"]["item"]["scales"]) == 2


@pytest.mark.parametrize("file", ["manifest.json", "ranker.safetensors", "retrieval.safetensors"])
def test_a_missing_file_is_refused(copy: Path, file: str) -> None:
    (copy / file).unlink()
    with pytest.raises(BundleError, match=file) as caught:
        read_bundle(copy)
    assert caught.value.code == "missing_file"


@pytest.mark.parametrize("file", ["ranker.safetensors", "retrieval.safetensors"])
@pytest.mark.parametrize("place", [0, 8, 5_000, -1])
def test_one_changed_byte_is_refused(copy: Path, file: str, place: int) -> None:
    content = bytearray((copy / file).read_bytes())
    content[place] ^= 1
    (copy / file).write_bytes(content)
    with pytest.raises(BundleError, match=file) as caught:
        read_bundle(copy)
    assert caught.value.code == "wrong_hash"


def test_a_cut_file_is_refused(copy: Path) -> None:
    path = copy / "ranker.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(BundleError) as caught:
        read_bundle(copy)
    assert caught.value.code == "wrong_hash"


def test_a_file_that_is_no_safetensors_is_refused(copy: Path) -> None:
    path = copy / "ranker.safetensors"
    path.write_bytes(b"\x08" + bytes(30))
    files = manifest_of(copy)["files"]
    files[path.name]["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    change_manifest(copy, files=files)
    with pytest.raises(BundleError, match=r"ranker\.safetensors") as caught:
        read_bundle(copy)
    assert caught.value.code == "bad_file"


def _as_half(tensors: Tensors) -> None:
    tensors["model.out_norm"] = tensors["model.out_norm"].astype(np.float16)


def _one_longer(tensors: Tensors) -> None:
    tensors["model.out_norm"] = np.ones(17, dtype=np.float32)


def _with_nan(tensors: Tensors) -> None:
    tensors["table.item"][3, 1] = np.nan


def _with_infinity(tensors: Tensors) -> None:
    tensors["model.out_norm"][0] = -np.inf


def _one_more(tensors: Tensors) -> None:
    tensors["model.surprise"] = np.ones(2, dtype=np.float32)


def _one_less(tensors: Tensors) -> None:
    del tensors["model.out_norm"]


@pytest.mark.parametrize(
    ("change", "tensor", "code"),
    [
        (_as_half, "model.out_norm", "wrong_shape"),
        (_one_longer, "model.out_norm", "wrong_shape"),
        (_with_nan, "table.item", "not_finite"),
        (_with_infinity, "model.out_norm", "not_finite"),
        (_one_more, "model.surprise", "wrong_tensors"),
        (_one_less, "model.out_norm", "wrong_tensors"),
    ],
)
def test_a_wrong_tensor_is_refused_by_name(
    copy: Path, change: Callable[[Tensors], Any], tensor: str, code: str
) -> None:
    change_tensors(copy, change)
    with pytest.raises(BundleError, match=tensor) as caught:
        read_bundle(copy)
    assert caught.value.code == code
    assert "ranker.safetensors" in str(caught.value)


def test_tensors_that_the_manifest_does_not_list_are_refused(copy: Path) -> None:
    files = manifest_of(copy)["files"]
    files["ranker.safetensors"]["tensors"]["model.out_norm"]["shape"] = [1]
    change_manifest(copy, files=files)
    with pytest.raises(BundleError) as caught:
        read_bundle(copy)
    assert caught.value.code == "wrong_tensors"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"format": 2}, "other_format"),
        ({"actions": ["favorite"]}, "other_actions"),
        ({"files": {}}, "missing_file"),
        ({"files": []}, "bad_manifest"),
        ({"phoenix_config": {"emb_size": 16}}, "bad_config"),
    ],
)
def test_a_manifest_of_another_kind_is_refused(
    copy: Path, changes: dict[str, Any], code: str
) -> None:
    change_manifest(copy, **changes)
    with pytest.raises(BundleError) as caught:
        read_bundle(copy)
    assert caught.value.code == code


@pytest.mark.parametrize("text", ["", "[]", "{}", "\x00"])
def test_a_manifest_that_cannot_be_read_is_refused(copy: Path, text: str) -> None:
    (copy / "manifest.json").write_text(text)
    with pytest.raises(BundleError) as caught:
        read_bundle(copy)
    assert caught.value.code == "bad_manifest"


def test_a_bundle_is_never_written_over(bundle_dir: Path, world: World) -> None:
    before = (bundle_dir / "manifest.json").read_bytes()
    with pytest.raises(BundleError, match="exists already"):
        small_fit(bundle_dir, world)
    assert (bundle_dir / "manifest.json").read_bytes() == before


def test_tensors_that_are_not_finite_are_not_written(bundle_dir: Path, tmp_path: Path) -> None:
    bundle = read_bundle(bundle_dir)
    bad = bundle.ranker | {"model.out_norm": np.full(16, np.nan, dtype=np.float32)}
    with pytest.raises(BundleError, match=r"model\.out_norm") as caught:
        write_bundle(
            tmp_path / "bad",
            config=bundle.config,
            train=TrainConfig(),
            ranker=bad,
            retrieval=bundle.retrieval,
            metrics={},
            log_offset=0,
        )
    assert caught.value.code == "not_finite"
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_nothing_behind(
    bundle_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = read_bundle(bundle_dir)

    def full(_: Path) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(bundles, "_sync_directory", full)
    with pytest.raises(OSError, match="no space"):
        write_bundle(
            tmp_path / "new",
            config=bundle.config,
            train=TrainConfig(),
            ranker=bundle.ranker,
            retrieval=bundle.retrieval,
            metrics={},
            log_offset=0,
        )
    assert list(tmp_path.iterdir()) == []
