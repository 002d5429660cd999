"""A trained pair of models as a directory that can be checked byte for byte.

`layout.py` says which files there are. The SHA-256 of the manifest is the bundle's id, and
the manifest holds the SHA-256 of every file, so the id pins everything. Loading refuses anything
that is not exactly what the manifest and the configurations promise, and names it. Parameters
are read into memory; embedding tables are mapped, so their size costs no time and no memory
until rows are used. What nobody can protect from is a mapped file that is changed or cut in
place while it is in use: replace bundles, never edit them.
"""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np

from xfeed import _core
from xfeed.errors import BundleError, XfeedError
from xfeed.phoenix.bundles.corpus import check_corpus_header
from xfeed.phoenix.bundles.layout import (
    CORPUS,
    FORMAT,
    MANIFEST,
    MODELS,
    Kind,
    Manifest,
    Origin,
    Shapes,
    Tensors,
    check_actions,
    check_dtypes,
    parameter_shapes,
    parameters_file,
    read_manifest,
    table_shapes,
    tables_file,
)
from xfeed.phoenix.bundles.scan import Scanned, scan_file
from xfeed.phoenix.bundles.stamp import file_stats, note_checked, was_checked
from xfeed.phoenix.bundles.table_streams import SCALE_SUFFIX, check_finite
from xfeed.phoenix.bundles.tensor_file import Entry, open_regular, read_header
from xfeed.phoenix.bundles.write import (
    Extras,
    ModelParts,
    check_free,
    check_shapes,
    model_parts,
    write_bundle,
)
from xfeed.phoenix.config import PhoenixConfig

Verify = Literal["full", "structure", "once"]
"""``full`` reads every byte, ``structure`` all but those of the tables and of the corpus.

``once`` reads every byte unless that was done before and no file changed since (`stamp`).
"""

HASHING_THREADS: Final = 2
"""Files that are hashed side by side."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """A loaded and checked bundle.

    Attributes:
        id: SHA-256 of the manifest.
        directory: where it lies.
        config: shape of the ranker.
        retrieval_config: shape of the two towers.
        ranker: the ranker's parameters as ``model.<name>``.
        retrieval: the towers' parameters, likewise.
        ranker_tables: the ranker's embedding tables by name, mapped.
        retrieval_tables: the towers' embedding tables.
        actions: name of each discrete head: one of our actions, or the number that the
            published vocabulary gives an action that we do not have.
        origin: who made the models.
        log_offset: last event of the log that training had seen.
        metrics: what evaluation measured.
        files: names of all its files but the manifest.
        notes: facts about an imported checkpoint: ``candidate_len`` is the number of candidates
            that its release ranks together, ``ignored`` what nothing reads.
    """

    id: str
    directory: Path
    config: PhoenixConfig
    retrieval_config: PhoenixConfig
    ranker: Tensors
    retrieval: Tensors
    ranker_tables: dict[str, _core.EmbeddingTable]
    retrieval_tables: dict[str, _core.EmbeddingTable]
    actions: tuple[str, ...]
    origin: Origin
    log_offset: int
    metrics: dict[str, Any]
    files: tuple[str, ...]
    notes: dict[str, Any]


def read_bundle(directory: Path, *, verify: Verify = "full") -> Bundle:
    """Loads a bundle after checking it.

    Args:
        directory: where it lies.
        verify: whether the bytes of tables and corpus are hashed and searched for values that
            are not finite, too. Everything else is checked in either case.

    Raises:
        BundleError: a file is missing, cut or altered, a tensor is missing, unknown, of another
            shape or dtype or not finite, or the bundle was made for other actions or by another
            version of the format.
    """
    manifest = Manifest.parse(read_manifest(directory))
    check_actions(manifest.actions, manifest.origin, manifest.configs["ranker"].n_actions)
    _check_sizes(directory, manifest)
    stats = file_stats(directory, manifest.files)
    parameters: dict[Kind, Tensors] = {
        kind: _read_parameters(directory, kind, manifest) for kind in MODELS
    }
    if verify == "full" or (verify == "once" and not was_checked(directory, manifest.id, stats)):
        _check_contents(directory, manifest)
        if verify == "once":
            note_checked(directory, manifest.id, stats)
    tables = {kind: _open_tables(directory, kind, manifest) for kind in MODELS}
    if CORPUS in manifest.files:
        header = _checked_header(directory / CORPUS, manifest.files[CORPUS])
        check_corpus_header(CORPUS, header, manifest.configs["retrieval"].emb_size)
    return Bundle(
        id=manifest.id,
        directory=directory,
        config=manifest.configs["ranker"],
        retrieval_config=manifest.configs["retrieval"],
        ranker=parameters["ranker"],
        retrieval=parameters["retrieval"],
        ranker_tables=tables["ranker"],
        retrieval_tables=tables["retrieval"],
        actions=manifest.actions,
        origin=manifest.origin,
        log_offset=manifest.log_offset,
        metrics=manifest.metrics,
        files=tuple(sorted(manifest.files)),
        notes=manifest.notes,
    )


def _check_sizes(directory: Path, manifest: Manifest) -> None:
    """Compares the size of every file with the manifest, before anything is read."""
    for file, entry in manifest.files.items():
        with open_regular(directory / file) as opened:
            size = opened.seek(0, 2)
        if size != entry["bytes"]:
            raise BundleError(
                f"`{file}` has `{size}` bytes, the manifest says `{entry['bytes']}`",
                code="wrong_size",
                hint="the file was cut or extended; restore it, or fit or import again",
            )


def _check_hash(file: str, found: str, promised: str) -> None:
    if found != promised:
        raise BundleError(
            f"`{file}` has SHA-256 `{found}`, the manifest says `{promised}`",
            code="wrong_hash",
            hint="the file was altered; restore it, or fit or import again",
        )


def _check_contents(directory: Path, manifest: Manifest) -> None:
    """Reads the large files side by side; parameters are checked where they are read."""
    read_already = {parameters_file(kind) for kind in MODELS}
    files = [file for file in sorted(manifest.files) if file not in read_already]

    def scan(file: str) -> Scanned:
        # with a header that cannot be read, only the hash can be told, and it is wrong
        try:
            entries = read_header(directory / file) if file.endswith(".safetensors") else {}
        except BundleError:
            entries = {}
        return scan_file(directory / file, entries)

    with ThreadPoolExecutor(HASHING_THREADS) as pool:
        scans = list(pool.map(scan, files))
    for file, scanned in zip(files, scans, strict=True):
        _check_hash(file, scanned.sha256, manifest.files[file]["sha256"])
    for file, scanned in zip(files, scans, strict=True):
        if scanned.not_finite is not None:
            name, row = scanned.not_finite
            raise BundleError(
                f"tensor `{name}` of `{file}` has values that are not finite, or scales that make "
                f"them so, the first in row `{row}`",
                code="not_finite",
            )


def _checked_header(path: Path, entry: dict[str, Any]) -> dict[str, Entry]:
    """Header of a file whose tensors are those that the manifest lists."""
    header = read_header(path)
    if {name: one.to_json() for name, one in header.items()} != entry["tensors"]:
        raise BundleError(
            f"the tensors of `{path.name}` are not those that the manifest lists",
            code="wrong_tensors",
        )
    return header


def _read_parameters(directory: Path, kind: Kind, manifest: Manifest) -> Tensors:
    """Reads the parameters of one model; the bytes that were hashed are those that are used."""
    file = parameters_file(kind)
    entry = manifest.files[file]
    content = bytearray(entry["bytes"])
    with open_regular(directory / file) as opened:
        n_read = opened.readinto(content)  # type: ignore[attr-defined]
    _check_hash(file, hashlib.sha256(content[:n_read]).hexdigest(), entry["sha256"])
    header = _checked_header(directory / file, entry)
    expected = parameter_shapes(kind, manifest.configs[kind])
    check_shapes(file, {name: one.shape for name, one in header.items()}, expected)
    check_dtypes(file, entry["tensors"], tables=False)
    tensors = {}
    for name, one in header.items():
        flat = np.frombuffer(content, np.uint8, one.stop - one.start, one.start)
        tensors[name] = flat.copy().view(np.float32).reshape(one.shape)
        check_finite(file, name, tensors[name])
    return tensors


def _open_tables(
    directory: Path, kind: Kind, manifest: Manifest
) -> dict[str, _core.EmbeddingTable]:
    """Maps the tables of one model after comparing their header with the configuration."""
    file = tables_file(kind)
    entry = manifest.files[file]
    header = _checked_header(directory / file, entry)
    expected = table_shapes(manifest.configs[kind])
    with_scales: Shapes = dict(expected)
    for name, shape in expected.items():
        if name in header and header[name].dtype == "I8":
            with_scales[name + SCALE_SUFFIX] = shape[:1]
    check_shapes(file, {name: one.shape for name, one in header.items()}, with_scales)
    check_dtypes(file, entry["tensors"], tables=True)
    return {name.removeprefix("table."): _open_table(directory / file, name) for name in expected}


def _open_table(path: Path, name: str) -> _core.EmbeddingTable:
    """Maps one table."""
    try:
        return _core.EmbeddingTable.open(str(path), name)
    except (XfeedError, OSError) as error:
        raise BundleError(
            f"tensor `{name}` of `{path.name}` cannot be mapped: {error}", code="bad_file"
        ) from error


__all__ = [
    "FORMAT",
    "MANIFEST",
    "Bundle",
    "Extras",
    "ModelParts",
    "Verify",
    "check_free",
    "model_parts",
    "read_bundle",
    "write_bundle",
]
