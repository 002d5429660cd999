"""A trained pair of models as a directory that can be checked byte for byte.

``manifest.json`` describes ``ranker.safetensors`` and ``retrieval.safetensors``: configurations,
action names, hash families, every tensor and the SHA-256 of each file. The SHA-256 of the
manifest is the bundle's id, so the id pins everything. A bundle is written beside its place and
renamed once it is on disk; loading refuses anything that is not exactly what the manifest and
the configuration promise. There is no pickle and no time of day in it.
"""

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors
from torch import nn

from xfeed.actions import ACTIONS
from xfeed.errors import BundleError, ConfigError
from xfeed.phoenix.config import PhoenixConfig, TrainConfig
from xfeed.phoenix.ranker import Ranker
from xfeed.phoenix.retrieval import Retrieval

FORMAT: Final = 1
"""Version of the layout."""

MANIFEST: Final = "manifest.json"

MODELS: Final[dict[str, type[Ranker | Retrieval]]] = {
    "ranker.safetensors": Ranker,
    "retrieval.safetensors": Retrieval,
}
"""The model in each file."""

Tensors = dict[str, npt.NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Bundle:
    """A loaded and checked bundle.

    Attributes:
        id: SHA-256 of the manifest.
        config: shape of both models.
        ranker: the ranker's tensors; parameters as ``model.<name>``, tables as ``table.<name>``.
        retrieval: the towers' tensors, likewise.
        log_offset: last event of the log that training had seen.
        metrics: what evaluation measured.
    """

    id: str
    config: PhoenixConfig
    ranker: Tensors
    retrieval: Tensors
    log_offset: int
    metrics: dict[str, Any]


def gather_tensors(model: nn.Module, tables: Mapping[str, torch.Tensor]) -> Tensors:
    """Tensors of a model and of its tables under the names that bundles use."""
    named = {f"model.{name}": value for name, value in model.state_dict().items()}
    named |= {f"table.{name}": value for name, value in tables.items()}
    return {name: named[name].detach().contiguous().numpy() for name in sorted(named)}


def write_bundle(
    directory: Path,
    *,
    config: PhoenixConfig,
    train: TrainConfig,
    ranker: Tensors,
    retrieval: Tensors,
    metrics: dict[str, Any],
    log_offset: int,
) -> str:
    """Writes a bundle: beside its place first, renamed when all of it is on disk.

    Args:
        directory: where the bundle will be; must not exist yet.
        config: shape of both models.
        train: how they were trained.
        ranker: from `gather_tensors`.
        retrieval: from `gather_tensors`.
        metrics: plain values to keep with the models.
        log_offset: last event of the log that training had seen.

    Returns:
        The bundle's id.

    Raises:
        BundleError: the place is taken, or a tensor is not finite; nothing is written.
    """
    check_free(directory)
    contents = {"ranker.safetensors": ranker, "retrieval.safetensors": retrieval}
    for file, tensors in contents.items():
        for name, values in tensors.items():
            _check_finite(file, name, values)
    data = {file: save_tensors(tensors) for file, tensors in contents.items()}
    manifest = {
        "format": FORMAT,
        "phoenix_config": config.to_json(),
        "train_config": train.to_json(),
        "actions": [action.name for action in ACTIONS],
        "files": {
            file: {"sha256": hashlib.sha256(data[file]).hexdigest(), "tensors": _describe(tensors)}
            for file, tensors in contents.items()
        },
        "metrics": metrics,
        "seed": train.seed,
        "log_offset": log_offset,
    }
    text = json.dumps(manifest, indent=1, sort_keys=True, allow_nan=False).encode()
    directory.parent.mkdir(parents=True, exist_ok=True)
    temporary = directory.with_name(f".{directory.name}.{os.getpid()}.tmp")
    temporary.mkdir()
    try:
        for file, content in (data | {MANIFEST: text}).items():
            _write(temporary / file, content)
        _sync_directory(temporary)
        temporary.rename(directory)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    _sync_directory(directory.parent)
    return hashlib.sha256(text).hexdigest()


def check_free(directory: Path) -> None:
    """Refuses a place that is taken; an empty directory is not.

    Raises:
        BundleError: something is there.
    """
    if directory.is_dir() and not any(directory.iterdir()):
        return
    if directory.exists():
        raise BundleError(
            f"`{directory}` exists already",
            code="exists",
            hint="write each bundle to a directory of its own",
        )


def read_bundle(directory: Path) -> Bundle:
    """Loads a bundle after checking all of it.

    Raises:
        BundleError: a file is missing or altered, a tensor is missing, unknown, of another
            shape or dtype or not finite, or the bundle was made for other actions or by another
            version of the format.
    """
    text = _read(directory / MANIFEST)
    manifest = _parse(text)
    try:
        config = PhoenixConfig.from_json(manifest["phoenix_config"])
    except ConfigError as error:
        raise BundleError(
            f"`{MANIFEST}` holds a configuration that cannot be used: {error}", code="bad_config"
        ) from error
    tensors = {}
    for file, kind in MODELS.items():
        entry = manifest["files"].get(file)
        if entry is None:
            raise BundleError(f"`{MANIFEST}` does not list `{file}`", code="missing_file")
        tensors[file] = _read_tensors(directory / file, entry, expected_shapes(kind, config))
    return Bundle(
        id=hashlib.sha256(text).hexdigest(),
        config=config,
        ranker=tensors["ranker.safetensors"],
        retrieval=tensors["retrieval.safetensors"],
        log_offset=int(manifest["log_offset"]),
        metrics=manifest["metrics"],
    )


def expected_shapes(
    kind: type[Ranker | Retrieval], config: PhoenixConfig
) -> dict[str, tuple[int, ...]]:
    """Shape of every tensor that a bundle's file must hold."""
    with torch.device("meta"):
        model = kind(config)
    shapes = {f"model.{name}": tuple(value.shape) for name, value in model.state_dict().items()}
    for name, hashed in config.hashes.items():
        shapes[f"table.{name}"] = (hashed.n_rows, config.table_width)
    return shapes


def _parse(text: bytes) -> dict[str, Any]:
    """Reads a manifest and checks what does not depend on the tensors."""
    try:
        manifest = json.loads(text)
    except ValueError as error:
        raise BundleError(f"`{MANIFEST}` is not JSON: {error}", code="bad_manifest") from error
    wanted = {"format", "phoenix_config", "files", "actions", "log_offset", "metrics"}
    if not isinstance(manifest, dict) or "format" not in manifest:
        raise BundleError(f"`{MANIFEST}` names no format", code="bad_manifest")
    if manifest["format"] != FORMAT:
        raise BundleError(
            f"bundle has format `{manifest['format']}`, this version reads `{FORMAT}`",
            code="other_format",
            hint="fit again with this version",
        )
    if not wanted <= set(manifest) or not isinstance(manifest["files"], dict):
        raise BundleError(
            f"`{MANIFEST}` lacks `{sorted(wanted - set(manifest))}`", code="bad_manifest"
        )
    names = [action.name for action in ACTIONS]
    if manifest["actions"] != names:
        raise BundleError(
            f"bundle was made for the actions `{manifest['actions']}`, this version has `{names}`",
            code="other_actions",
            hint="fit again with this version",
        )
    return manifest


def _read_tensors(path: Path, entry: Any, expected: dict[str, tuple[int, ...]]) -> Tensors:
    """Reads one file and compares it with the manifest and the configuration."""
    content = _read(path)
    promised = entry.get("sha256") if isinstance(entry, dict) else None
    found = hashlib.sha256(content).hexdigest()
    if found != promised:
        raise BundleError(
            f"`{path.name}` has SHA-256 `{found}`, the manifest says `{promised}`",
            code="wrong_hash",
            hint="the file was altered or cut; restore it or fit again",
        )
    try:
        tensors = load_tensors(content)
    except (SafetensorError, KeyError, ValueError) as error:
        raise BundleError(
            f"`{path.name}` is not a safetensors file: {error}", code="bad_file"
        ) from error
    if set(tensors) != set(expected):
        unknown, missing = (
            sorted(set(tensors) - set(expected)),
            sorted(set(expected) - set(tensors)),
        )
        raise BundleError(
            f"`{path.name}` has unknown tensors `{unknown}` and lacks `{missing}`",
            code="wrong_tensors",
        )
    described = _describe(tensors)
    if entry.get("tensors") != described:
        raise BundleError(
            f"the tensors of `{path.name}` are not those that the manifest lists",
            code="wrong_tensors",
        )
    for name, values in tensors.items():
        if values.dtype != np.float32 or values.shape != expected[name]:
            raise BundleError(
                f"tensor `{name}` of `{path.name}` is `{values.dtype} {values.shape}`, expected "
                f"`float32 {expected[name]}`",
                code="wrong_shape",
            )
        _check_finite(path.name, name, values)
    return tensors


def _describe(tensors: Tensors) -> dict[str, Any]:
    """Dtype and shape of each tensor, as the manifest lists them."""
    return {
        name: {"dtype": str(values.dtype), "shape": list(values.shape)}
        for name, values in sorted(tensors.items())
    }


def _check_finite(file: str, name: str, values: npt.NDArray[np.float32]) -> None:
    """Refuses NaN and infinity."""
    n_bad = int((~np.isfinite(values)).sum())
    if n_bad:
        raise BundleError(
            f"tensor `{name}` of `{file}` has `{n_bad}` values that are not finite",
            code="not_finite",
        )


def _read(path: Path) -> bytes:
    """All bytes of a file."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise BundleError(
            f"cannot read `{path.name}`: {error}", code="missing_file", hint="fit first"
        ) from error


def _write(path: Path, content: bytes) -> None:
    """Writes a file down to the disk."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_directory(path: Path) -> None:
    """Makes names durable; some systems cannot open a directory."""
    with contextlib.suppress(OSError):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
