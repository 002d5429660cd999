"""Writes bundles: beside their place first, renamed when all of it is on disk.

Nothing that is large is held twice. Parameters are small; tables pass through block by block
(`table_streams`), are checked for values that are not finite on the way, and are hashed as they
are written. There is no pickle and no time of day in a bundle, so equal models give equal bytes.
"""

import contextlib
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from torch import nn

from xfeed import _core
from xfeed.actions import ACTIONS, N_DISCRETE
from xfeed.errors import BundleError
from xfeed.phoenix.bundles.layout import (
    CORPUS,
    FORMAT,
    MANIFEST,
    SEQUENCE,
    Kind,
    Origin,
    Shapes,
    Tensors,
    check_actions,
    parameter_shapes,
    parameters_file,
    table_shapes,
    tables_file,
)
from xfeed.phoenix.bundles.table_streams import TableDtype, TableSource, check_finite, table_streams
from xfeed.phoenix.bundles.tensor_file import Stream, write_tensors
from xfeed.phoenix.config import PhoenixConfig, TrainConfig

WRITING_THREADS: Final = 2
"""Files that are written side by side."""


@dataclass(frozen=True, slots=True)
class ModelParts:
    """One model to be written.

    Attributes:
        config: its shape.
        parameters: its parameters as ``model.<name>``.
        tables: its embedding tables by name, such as ``user``.
    """

    config: PhoenixConfig
    parameters: Tensors
    tables: Mapping[str, TableSource]


@dataclass(frozen=True, slots=True)
class Extras:
    """What an imported checkpoint brings beside its models.

    Attributes:
        corpus: tensors of `corpus.safetensors`; none for no corpus.
        sequence: content of `example_sequence.json`; empty for none.
    """

    corpus: Mapping[str, Stream]
    sequence: bytes = b""


def model_parts(
    config: PhoenixConfig, model: nn.Module, tables: Mapping[str, _core.EmbeddingTable]
) -> ModelParts:
    """A trained model and its tables, ready to be written."""
    parameters = {
        f"model.{name}": value.detach().contiguous().float().cpu().numpy()
        for name, value in model.state_dict().items()
    }
    sources = {name: TableSource.of_table(table) for name, table in tables.items()}
    return ModelParts(config, parameters, sources)


def write_bundle(
    directory: Path,
    *,
    ranker: ModelParts,
    retrieval: ModelParts,
    train: TrainConfig | None = None,
    metrics: dict[str, Any],
    log_offset: int,
    origin: Origin = "fit",
    actions: tuple[str, ...] | None = None,
    table_dtype: TableDtype = "float32",
    extras: Extras | None = None,
    notes: dict[str, Any] | None = None,
) -> str:
    """Writes a bundle.

    Args:
        directory: where the bundle will be; must not exist yet, or be empty.
        ranker: the ranker, from `model_parts`.
        retrieval: the two towers, likewise.
        train: how they were trained; None for models that come from elsewhere.
        metrics: plain values to keep with the models.
        log_offset: last event of the log that training had seen.
        origin: who made the models.
        actions: name of each discrete head; None for those of this version.
        table_dtype: how the rows of the tables are stored.
        extras: corpus and example of an imported checkpoint.
        notes: facts about an imported checkpoint, in plain values.

    Returns:
        The bundle's id.

    Raises:
        BundleError: the place is taken, there is too little space, or a tensor is missing, of
            another shape or not finite; nothing is left behind.
    """
    check_free(directory)
    names = actions or tuple(action.name for action in ACTIONS[:N_DISCRETE])
    parts: dict[Kind, ModelParts] = {"ranker": ranker, "retrieval": retrieval}
    check_actions(names, origin, ranker.config.n_actions)
    for kind, model in parts.items():
        _check_parts(kind, model)
    directory.parent.mkdir(parents=True, exist_ok=True)
    files = _streams(parts, table_dtype, extras)
    _check_space(directory.parent, files)
    temporary = directory.with_name(f".{directory.name}.{uuid.uuid4().hex}.tmp")
    temporary.mkdir()
    try:
        entries = _write_files(temporary, files)
        if extras is not None and extras.sequence:
            entries[SEQUENCE] = _write(temporary / SEQUENCE, extras.sequence)
        manifest = {
            "format": FORMAT,
            "origin": origin,
            "models": {kind: model.config.to_json() for kind, model in parts.items()},
            "actions": list(names),
            "train_config": None if train is None else train.to_json(),
            "files": entries,
            "metrics": metrics,
            "notes": notes or {},
            "log_offset": log_offset,
        }
        text = json.dumps(manifest, indent=1, sort_keys=True, allow_nan=False).encode()
        _write(temporary / MANIFEST, text)
        sync_directory(temporary)
        temporary.rename(directory)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    sync_directory(directory.parent)
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


def _check_parts(kind: Kind, model: ModelParts) -> None:
    """Refuses tensors that the configuration does not promise."""
    shapes: Shapes = {name: values.shape for name, values in model.parameters.items()}
    tables: Shapes = {
        f"table.{name}": (source.n_rows, source.width) for name, source in model.tables.items()
    }
    file = parameters_file(kind)
    check_shapes(file, shapes, parameter_shapes(kind, model.config))
    check_shapes(tables_file(kind), tables, table_shapes(model.config))
    for name, values in model.parameters.items():
        check_finite(file, name, values)


def check_shapes(file: str, found: Shapes, expected: Shapes) -> None:
    """Refuses a file whose tensors are not exactly those that are expected.

    Raises:
        BundleError: names the tensors.
    """
    unknown, missing = sorted(set(found) - set(expected)), sorted(set(expected) - set(found))
    if unknown or missing:
        raise BundleError(
            f"`{file}` has unknown tensors `{unknown}` and lacks `{missing}`", code="wrong_tensors"
        )
    for name, shape in expected.items():
        if found[name] != shape:
            raise BundleError(
                f"tensor `{name}` of `{file}` has the shape `{found[name]}`, expected `{shape}`",
                code="wrong_shape",
            )


def _streams(
    parts: dict[Kind, ModelParts], table_dtype: TableDtype, extras: Extras | None
) -> dict[str, dict[str, Stream]]:
    """Every tensor of every file."""
    files: dict[str, dict[str, Stream]] = {}
    for kind, model in parts.items():
        files[parameters_file(kind)] = {n: Stream.of(v) for n, v in model.parameters.items()}
        tables: dict[str, Stream] = {}
        for name, source in model.tables.items():
            tables |= table_streams(tables_file(kind), f"table.{name}", source, table_dtype)
        files[tables_file(kind)] = tables
    if extras is not None and extras.corpus:
        files[CORPUS] = dict(extras.corpus)
    return files


def _write_files(temporary: Path, files: dict[str, dict[str, Stream]]) -> dict[str, dict[str, Any]]:
    """Writes files side by side, because hashing takes most of the time; returns their entries."""

    def write(file: str) -> dict[str, Any]:
        return write_tensors(temporary / file, files[file]).to_json()

    with ThreadPoolExecutor(WRITING_THREADS) as pool:
        return dict(zip(files, pool.map(write, files), strict=True))


def _check_space(parent: Path, files: dict[str, dict[str, Stream]]) -> None:
    """Refuses to start what cannot end."""
    needed = sum(stream.n_bytes for streams in files.values() for stream in streams.values())
    free = shutil.disk_usage(parent).free
    if needed > free:
        raise BundleError(
            f"the bundle needs `{needed:,}` bytes, `{parent}` has `{free:,}` free",
            code="no_space",
            hint="free some space, or store the tables as bfloat16 or int8",
        )


def _write(path: Path, content: bytes) -> dict[str, Any]:
    """Writes a small file down to the disk; returns its entry in the manifest."""
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}


def sync_directory(path: Path) -> None:
    """Makes names durable; some systems cannot open a directory."""
    with contextlib.suppress(OSError):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
