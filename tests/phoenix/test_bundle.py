"""A bundle that is not exactly what it promises is refused, and says why."""

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file
from xfeed.phoenix.bundles.read import Verify, read_bundle
from xfeed.phoenix.runtime import Phoenix

from tests.phoenix.bundles import (
    FILES,
    MODEL,
    TABLES,
    Tensors,
    change_manifest,
    change_tensors,
    manifest_of,
    refusal,
    update_entry,
    with_value,
)

MODES: list[Verify] = ["full", "structure"]


@pytest.fixture
def copy(bundle_dir: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bundle_dir, tmp_path / "copy"))


def test_the_id_is_the_hash_of_the_manifest(bundle_dir: Path) -> None:
    text = (bundle_dir / "manifest.json").read_bytes()
    loaded = Phoenix.load(bundle_dir)
    assert loaded.bundle_id == hashlib.sha256(text).hexdigest()
    assert loaded.log_offset == 77
    assert loaded.metrics["ranker"]["actions"]["favorite"]["positives"] > 0


def test_the_manifest_names_every_file_hash_and_action(bundle_dir: Path) -> None:
    manifest = manifest_of(bundle_dir)
    assert sorted(manifest["files"]) == sorted(FILES)
    for file, entry in manifest["files"].items():
        content = (bundle_dir / file).read_bytes()
        assert entry["sha256"] == hashlib.sha256(content).hexdigest()
        assert entry["bytes"] == len(content)
    assert manifest["actions"][0] == "favorite"
    assert len(manifest["models"]["ranker"]["item"]["scales"]) == 2


@pytest.mark.parametrize("verify", MODES)
def test_tables_are_mapped_and_hold_what_was_trained(bundle_dir: Path, verify: Verify) -> None:
    read = read_bundle(bundle_dir, verify=verify)
    stored = load_file(bundle_dir / "ranker_tables.safetensors")
    assert set(read.ranker_tables) == set(read.config.hashes)
    for name, table in read.ranker_tables.items():
        assert table.is_mapped
        np.testing.assert_array_equal(table.to_array(), stored[f"table.{name}"])
    assert read.origin == "fit"
    assert read.actions[0] == "favorite"
    assert read.directory == bundle_dir


@pytest.mark.parametrize("verify", MODES)
@pytest.mark.parametrize("file", ["manifest.json", *FILES])
def test_a_missing_file_is_refused(copy: Path, file: str, verify: Verify) -> None:
    (copy / file).unlink()
    error = refusal(copy, verify)
    assert error.code == "missing_file"
    assert file in str(error)


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("place", [0, 8, 1_500, -1])
def test_one_changed_byte_is_refused(copy: Path, file: str, place: int) -> None:
    content = bytearray((copy / file).read_bytes())
    content[place] ^= 1
    (copy / file).write_bytes(content)
    error = refusal(copy)
    assert error.code == "wrong_hash"
    assert file in str(error)


def test_a_quick_look_sees_all_but_the_values_of_tables(copy: Path) -> None:
    for file, place, seen in (
        ("ranker.safetensors", -1, True),
        ("ranker_tables.safetensors", 8, True),
        ("ranker_tables.safetensors", -1, False),
    ):
        before = (copy / file).read_bytes()
        content = bytearray(before)
        content[place] ^= 1
        (copy / file).write_bytes(content)
        if seen:
            assert file in str(refusal(copy, "structure"))
        else:
            read_bundle(copy, verify="structure")
        (copy / file).write_bytes(before)


@pytest.mark.parametrize("verify", MODES)
@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("change", [-1, -1_000, 1])
def test_a_cut_or_extended_file_is_refused(
    copy: Path, file: str, change: int, verify: Verify
) -> None:
    content = (copy / file).read_bytes()
    (copy / file).write_bytes(content[:change] if change < 0 else content + bytes(change))
    error = refusal(copy, verify)
    assert error.code == "wrong_size"
    assert file in str(error)


@pytest.mark.parametrize("verify", MODES)
@pytest.mark.parametrize("file", FILES)
def test_a_file_that_is_no_safetensors_is_refused(copy: Path, file: str, verify: Verify) -> None:
    (copy / file).write_bytes(b"\x08" + bytes(30))
    update_entry(copy, file)
    error = refusal(copy, verify)
    assert error.code == "bad_file"
    assert file in str(error)


def _as_half(name: str) -> Callable[[Tensors], Any]:
    return lambda tensors: tensors.update({name: tensors[name].astype(np.float16)})


def _one_longer(name: str) -> Callable[[Tensors], Any]:
    def change(tensors: Tensors) -> None:
        shape = (tensors[name].shape[0] + 1, *tensors[name].shape[1:])
        tensors[name] = np.ones(shape, np.float32)

    return change


def _one_more(tensors: Tensors) -> None:
    tensors["model.surprise"] = np.ones(2, dtype=np.float32)


def _stray_scale(tensors: Tensors) -> None:
    tensors["table.user.scale"] = np.ones(257, dtype=np.float32)


@pytest.mark.parametrize(
    ("file", "change", "tensor", "code"),
    [
        (MODEL, _as_half("model.out_norm"), "model.out_norm", "wrong_shape"),
        (MODEL, _one_longer("model.out_norm"), "model.out_norm", "wrong_shape"),
        (MODEL, with_value("model.out_norm", -np.inf), "model.out_norm", "not_finite"),
        (MODEL, with_value("model.action_heads", np.nan), "model.action_heads", "not_finite"),
        (MODEL, _one_more, "model.surprise", "wrong_tensors"),
        (MODEL, lambda t: t.pop("model.out_norm"), "model.out_norm", "wrong_tensors"),
        (TABLES, _one_longer("table.item"), "table.item", "wrong_shape"),
        (TABLES, with_value("table.item", np.nan), "table.item", "not_finite"),
        (TABLES, with_value("table.user", np.inf), "table.user", "not_finite"),
        (TABLES, _one_more, "model.surprise", "wrong_tensors"),
        (TABLES, _stray_scale, "table.user.scale", "wrong_tensors"),
        (TABLES, lambda t: t.pop("table.topic"), "table.topic", "wrong_tensors"),
    ],
)
def test_a_wrong_tensor_is_refused_by_name(
    copy: Path, file: str, change: Callable[[Tensors], Any], tensor: str, code: str
) -> None:
    change_tensors(copy, file, change)
    error = refusal(copy)
    assert error.code == code
    assert f"`{tensor}`" in str(error) or f"'{tensor}'" in str(error)
    assert file in str(error)


def test_the_row_of_a_value_that_is_not_finite_is_named(copy: Path) -> None:
    change_tensors(copy, TABLES, with_value("table.item", np.nan))
    assert "row `508`" in str(refusal(copy))


def test_tensors_that_the_manifest_does_not_list_are_refused(copy: Path) -> None:
    for file, tensor in ((MODEL, "model.out_norm"), (TABLES, "table.user")):
        files = manifest_of(copy)["files"]
        files[file]["tensors"][tensor]["shape"] = [1]
        change_manifest(copy, files=files)
        assert refusal(copy).code == "wrong_tensors"


def entries(copy: Path, **changes: Any) -> dict[str, Any]:
    return manifest_of(copy)["files"] | changes  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"format": 1}, "other_format"),
        ({"format": 3}, "other_format"),
        ({"format": "2"}, "other_format"),
        ({"actions": ["favorite"]}, "other_actions"),
        ({"actions": "favorite"}, "bad_manifest"),
        ({"actions": [1]}, "bad_manifest"),
        ({"files": {}}, "missing_file"),
        ({"files": []}, "bad_manifest"),
        ({"models": {}}, "bad_manifest"),
        ({"models": {"ranker": {"emb_size": 16}, "retrieval": {}}}, "bad_config"),
        ({"origin": "elsewhere"}, "bad_manifest"),
        ({"log_offset": -1}, "bad_manifest"),
        ({"log_offset": "1"}, "bad_manifest"),
        ({"metrics": []}, "bad_manifest"),
        ({"notes": 3}, "bad_manifest"),
    ],
)
def test_a_manifest_of_another_kind_is_refused(
    copy: Path, changes: dict[str, Any], code: str
) -> None:
    change_manifest(copy, **changes)
    assert refusal(copy).code == code


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "ranker.bin", "a\x00b", "manifest.json"])
def test_a_file_with_an_unknown_name_is_refused_before_it_is_opened(copy: Path, name: str) -> None:
    entry = {"sha256": "0" * 64, "bytes": 1, "tensors": {}}
    change_manifest(copy, files=entries(copy, **{name: entry}))
    assert refusal(copy).code == "unknown_file"


@pytest.mark.parametrize(
    "entry",
    [
        7,
        {},
        {"sha256": 1, "bytes": 1, "tensors": {}},
        {"sha256": "", "bytes": "1", "tensors": {}},
        {"sha256": "", "bytes": True, "tensors": {}},
    ],
)
def test_a_broken_entry_is_refused(copy: Path, entry: Any) -> None:
    change_manifest(copy, files=entries(copy, **{MODEL: entry}))
    assert refusal(copy).code == "bad_manifest"


@pytest.mark.parametrize("n_bytes", [-1, 2**62])
def test_a_claimed_size_is_never_allocated(copy: Path, n_bytes: int) -> None:
    entry = entries(copy)[MODEL] | {"bytes": n_bytes}
    change_manifest(copy, files=entries(copy, **{MODEL: entry}))
    assert refusal(copy).code == "wrong_size"


@pytest.mark.parametrize("field", ["emb_size", "table_width", "n_actions", "n_layers"])
def test_a_configuration_that_does_not_fit_the_tensors_is_refused(copy: Path, field: str) -> None:
    models = manifest_of(copy)["models"]
    models["ranker"][field] += 8
    change_manifest(copy, models=models)
    assert refusal(copy).code in {"wrong_shape", "wrong_tensors", "other_actions"}


@pytest.mark.parametrize("field", ["emb_size", "n_layers", "n_towers", "key_size", "n_surfaces"])
def test_a_gigantic_configuration_is_refused_without_building_it(copy: Path, field: str) -> None:
    models = manifest_of(copy)["models"]
    models["retrieval"][field] = 2**62
    change_manifest(copy, models=models)
    assert refusal(copy, "structure").code in {"bad_config", "wrong_shape"}


@pytest.mark.parametrize("text", ["", "[]", "{}", "\x00", '{"format": 2}', "[" * 100_000])
def test_a_manifest_that_cannot_be_read_is_refused(copy: Path, text: str) -> None:
    (copy / "manifest.json").write_text(text)
    assert refusal(copy).code == "bad_manifest"


def test_a_manifest_that_says_two_things_is_refused(copy: Path) -> None:
    text = (copy / "manifest.json").read_text()
    (copy / "manifest.json").write_text(text.replace("{", '{"format": 2,', 1))
    assert refusal(copy).code == "bad_manifest"


@pytest.mark.parametrize("file", ["manifest.json", MODEL, TABLES])
def test_a_pipe_in_the_place_of_a_file_is_refused_at_once(copy: Path, file: str) -> None:
    (copy / file).unlink()
    os.mkfifo(copy / file)
    assert refusal(copy).code == "missing_file"
