"""Turns the published checkpoint layout into a bundle, without executing anything in it.

The layout of the mid-2026 release: folders `ranker/` and `retrieval/`, each with
`model_params.npz`, `embedding_tables.npz` and `config.json`; beside them perhaps
`sports_corpus.npz` and `example_sequence.json`. Everything is compared with the configuration
before it is read; tables are streamed from the archive into the bundle, so memory stays small
however large they are.
"""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from xfeed.errors import BundleError
from xfeed.phoenix.bundles.layout import MODELS, SEQUENCE, Kind, Tensors, shape_of_model
from xfeed.phoenix.bundles.table_streams import TableDtype, check_finite
from xfeed.phoenix.bundles.write import Extras, ModelParts, check_free, write_bundle
from xfeed.phoenix.published.checkpoint_config import (
    ENTITIES,
    PublishedConfig,
    read_published_config,
)
from xfeed.phoenix.published.corpus import published_corpus
from xfeed.phoenix.published.may import IGNORED_PARAMETERS, published_actions, published_name
from xfeed.phoenix.published.npz import Npz
from xfeed.phoenix.published.sequence import parse_sequence, sequence_bytes

PARAMETERS: Final = "model_params.npz"
TABLES: Final = "embedding_tables.npz"
CONFIG: Final = "config.json"
PUBLISHED_CORPUS: Final = "sports_corpus.npz"


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import did.

    Attributes:
        bundle_id: id of the written bundle.
        actions: name of each head.
        n_parameters: numbers in the parameters of each model.
        table_rows: rows of the tables of each model.
        table_dtype: how the rows are stored now.
        corpus_posts: posts of the corpus; 0 without one.
        has_sequence: whether an example history came along.
        ignored: what the checkpoint holds and nothing reads.
        seconds: time it took.
    """

    bundle_id: str
    actions: tuple[str, ...]
    n_parameters: dict[str, int]
    table_rows: dict[str, int]
    table_dtype: str
    corpus_posts: int
    has_sequence: bool
    ignored: tuple[str, ...]
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class _Opened:
    """One model of a checkpoint, checked but for the values of its tables."""

    parts: ModelParts
    published: PublishedConfig
    ignored: tuple[str, ...]


def is_checkpoint(directory: Path) -> bool:
    """Whether a directory looks like a published checkpoint."""
    return all((directory / kind / CONFIG).is_file() for kind in MODELS)


def import_checkpoint(
    source: Path, out_dir: Path, *, table_dtype: TableDtype = "float32"
) -> ImportReport:
    """Writes a published checkpoint as a bundle.

    Args:
        source: directory of the checkpoint.
        out_dir: directory of the bundle; must not exist yet, or be empty.
        table_dtype: how the rows of the tables are stored.

    Raises:
        BundleError: a file or an array is missing, damaged, of another shape than the
            configuration says, or not finite; nothing is written then.
    """
    started = time.perf_counter()
    check_free(out_dir)
    if not source.is_dir():
        raise BundleError(f"there is no directory `{source}`", code="missing_file")
    opened: dict[Kind, _Opened] = {kind: _open(source / kind, kind) for kind in MODELS}
    ranker, retrieval = opened["ranker"], opened["retrieval"]
    extras = _extras(source, retrieval.parts.config.emb_size)
    actions = published_actions(ranker.parts.config.n_actions)
    ignored = tuple(name for kind in MODELS for name in opened[kind].ignored)
    bundle_id = write_bundle(
        out_dir,
        ranker=ranker.parts,
        retrieval=retrieval.parts,
        metrics={},
        log_offset=0,
        origin="published-import",
        actions=actions,
        table_dtype=table_dtype,
        extras=extras,
        notes={"candidate_len": ranker.published.candidate_len, "ignored": list(ignored)},
    )
    return ImportReport(
        bundle_id=bundle_id,
        actions=actions,
        n_parameters={kind: _count(opened[kind].parts.parameters) for kind in MODELS},
        table_rows={
            kind: sum(table.n_rows for table in opened[kind].parts.tables.values())
            for kind in MODELS
        },
        table_dtype=table_dtype,
        corpus_posts=extras.corpus["post_ids"].shape[0] if extras.corpus else 0,
        has_sequence=bool(extras.sequence),
        ignored=ignored,
        seconds=time.perf_counter() - started,
    )


def _open(folder: Path, kind: Kind) -> _Opened:
    """Opens one model: configuration, parameters, and the headers of its tables."""
    published = read_published_config(folder / CONFIG, kind)
    config = published.config
    archive = Npz(folder / PARAMETERS)
    parameters, used = _parameters(archive, kind, published)
    tables = Npz(folder / TABLES)
    sources = {}
    for entity in ENTITIES:
        name = f"{entity}_embeddings"
        tables.require(name, (config.hashes[entity].n_rows, config.table_width))
        sources[entity] = tables.table(name)
    ignored = [f"{kind}/{CONFIG}: {key}" for key in published.ignored]
    left = set(archive.members) - used - IGNORED_PARAMETERS
    ignored += [f"{kind}/{PARAMETERS}: {name}" for name in sorted(left)]
    left = set(tables.members) - {f"{entity}_embeddings" for entity in ENTITIES}
    ignored += [f"{kind}/{TABLES}: {name}" for name in sorted(left)]
    return _Opened(ModelParts(config, parameters, sources), published, tuple(ignored))


def _parameters(archive: Npz, kind: Kind, published: PublishedConfig) -> tuple[Tensors, set[str]]:
    """Parameters under our names, and the published names that were used."""
    model = shape_of_model(kind, published.config)
    parameters: Tensors = {}
    used = set()
    for ours, wanted in model.state_dict().items():
        theirs = published_name(ours, model)
        archive.require(theirs, tuple(wanted.shape))
        values = archive.read(theirs)
        check_finite(archive.name, theirs, values)
        parameters[f"model.{ours}"] = values
        used.add(theirs)
    return parameters, used


def _extras(source: Path, width: int) -> Extras:
    """Corpus and example history, where the checkpoint has them."""
    corpus, sequence = source / PUBLISHED_CORPUS, source / SEQUENCE
    content = b""
    if sequence.exists():
        content = sequence_bytes(sequence)
        parse_sequence(sequence, content)
    return Extras(published_corpus(corpus, width) if corpus.exists() else {}, content)


def _count(tensors: Mapping[str, Any]) -> int:
    """Numbers in all tensors."""
    return sum(values.size for values in tensors.values())
