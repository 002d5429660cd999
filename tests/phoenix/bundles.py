"""Bundles to be broken: reads and changes their files and makes the manifest fit again."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file, save_file
from xfeed.errors import BundleError
from xfeed.phoenix.bundles.read import Bundle, ModelParts, Verify, read_bundle
from xfeed.phoenix.bundles.table_streams import TableSource

Tensors = dict[str, Any]

FILES = [
    f"{kind}{part}.safetensors" for kind in ("ranker", "retrieval") for part in ("", "_tables")
]
SHORT_NAMES = {
    "float32": "F32",
    "float16": "F16",
    "int8": "I8",
    "int64": "I64",
    "int32": "I32",
    "uint64": "U64",
    "uint8": "U8",
}
MODEL, TABLES = "ranker.safetensors", "ranker_tables.safetensors"


def manifest_of(directory: Path) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads((directory / "manifest.json").read_bytes())
    return manifest


def change_manifest(directory: Path, **changes: Any) -> None:
    text = json.dumps(manifest_of(directory) | changes)
    (directory / "manifest.json").write_text(text)


def update_entry(directory: Path, file: str) -> None:
    """Makes the manifest fit a file again, as somebody would who means harm."""
    path = directory / file
    files = manifest_of(directory)["files"]
    files[file] |= {
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "bytes": path.stat().st_size,
    }
    change_manifest(directory, files=files)


def change_tensors(directory: Path, file: str, change: Callable[[Tensors], Any]) -> None:
    """Changes the tensors of a file and makes the manifest fit them again."""
    tensors = load_file(directory / file)
    change(tensors)
    save_file(tensors, directory / file)
    files = manifest_of(directory)["files"]
    files[file]["tensors"] = {
        name: {"dtype": SHORT_NAMES[str(values.dtype)], "shape": list(values.shape)}
        for name, values in sorted(tensors.items())
    }
    change_manifest(directory, files=files)
    update_entry(directory, file)


def refusal(directory: Path, verify: Verify = "full") -> BundleError:
    with pytest.raises(BundleError) as caught:
        read_bundle(directory, verify=verify)
    return caught.value


def parts_of(bundle: Bundle, **changes: Any) -> dict[str, Any]:
    """Both models of a bundle, to be written again."""
    models = {}
    for kind, config in (("ranker", bundle.config), ("retrieval", bundle.retrieval_config)):
        tables = getattr(bundle, f"{kind}_tables")
        models[kind] = ModelParts(
            config,
            getattr(bundle, kind) | changes.get(kind, {}),
            {name: TableSource.of(table.to_array()) for name, table in tables.items()},
        )
    return models


def with_value(name: str, value: float) -> Callable[[Tensors], Any]:
    def change(tensors: Tensors) -> None:
        tensors[name][-1] = value

    return change
