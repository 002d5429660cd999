"""What a bundle consists of: its files, its manifest and the tensors that each file must hold.

==========================  ======================================================================
``manifest.json``           origin, configurations, actions, metrics; size, SHA-256 and tensors of
                            every other file
``ranker.safetensors``      parameters of the ranker as ``model.<name>``
``ranker_tables…``          its embedding tables as ``table.<name>``
``retrieval.safetensors``   parameters of the two towers
``retrieval_tables…``       their embedding tables
``corpus.safetensors``      optional: posts with ready vectors, from a published checkpoint
``example_sequence.json``   optional: a history to try the models on, from the same place
==========================  ======================================================================

Parameters and tables lie apart because parameters are read and tables are mapped: a server that
starts with tables of gigabytes reads megabytes.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import torch

from xfeed.actions import ACTIONS, N_DISCRETE
from xfeed.errors import BundleError, ConfigError
from xfeed.phoenix.bundles.table_streams import SCALE_SUFFIX, TABLE_DTYPES
from xfeed.phoenix.bundles.tensor_file import MAX_HEADER_BYTES, open_regular, strict_json
from xfeed.phoenix.config import PhoenixConfig
from xfeed.phoenix.model.ranker import Ranker
from xfeed.phoenix.model.retrieval import Retrieval

FORMAT: Final = 2
"""Version of the layout."""

MANIFEST: Final = "manifest.json"
CORPUS: Final = "corpus.safetensors"
SEQUENCE: Final = "example_sequence.json"

Kind = Literal["ranker", "retrieval"]
Origin = Literal["fit", "published-import"]

MODELS: Final[dict[Kind, type[Ranker | Retrieval]]] = {"ranker": Ranker, "retrieval": Retrieval}
"""The two models of a bundle."""

REQUIRED_FILES: Final = frozenset(
    f"{kind}{part}.safetensors" for kind in MODELS for part in ("", "_tables")
)
OPTIONAL_FILES: Final = frozenset({CORPUS, SEQUENCE})

N_PUBLISHED_ACTIONS: Final = 64
"""Numbers of the published action vocabulary that a ranking model may predict."""

MAX_LAYERS: Final = 1_024
"""Layers and towers of a model, so that a wrong number does not keep the reader busy."""

Tensors = dict[str, npt.NDArray[np.float32]]
Shapes = dict[str, tuple[int, ...]]


def parameters_file(kind: Kind) -> str:
    """File of a model's parameters."""
    return f"{kind}.safetensors"


def tables_file(kind: Kind) -> str:
    """File of a model's embedding tables."""
    return f"{kind}_tables.safetensors"


def shape_of_model(kind: Kind, config: PhoenixConfig) -> Ranker | Retrieval:
    """A model of this configuration whose parameters have shapes and no values.

    Raises:
        BundleError: nobody could hold such a model.
    """
    if max(config.n_layers, config.n_towers) > MAX_LAYERS:
        raise BundleError(
            f"the {kind} would have `{config.n_layers}` layers and `{config.n_towers}` towers, "
            f"at most `{MAX_LAYERS}` are read",
            code="bad_config",
        )
    try:
        with torch.device("meta"):
            return MODELS[kind](config)
    except (RuntimeError, ValueError, TypeError, OverflowError) as error:
        raise BundleError(
            f"the {kind} cannot have the sizes of its configuration: {error!s:.200}",
            code="bad_config",
        ) from error


def parameter_shapes(kind: Kind, config: PhoenixConfig) -> Shapes:
    """Shape of every parameter that a model of this configuration has.

    Raises:
        BundleError: nobody could hold such a model.
    """
    model = shape_of_model(kind, config)
    return {f"model.{name}": tuple(value.shape) for name, value in model.state_dict().items()}


def table_shapes(config: PhoenixConfig) -> Shapes:
    """Shape of every embedding table that a model of this configuration has."""
    width = config.table_width
    return {f"table.{name}": (hashed.n_rows, width) for name, hashed in config.hashes.items()}


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest that is consistent in itself.

    Attributes:
        id: SHA-256 of its bytes, which is the bundle's id.
        configs: configuration of each model.
        actions: name of each discrete head of the ranker.
        origin: who made the models.
        files: size, SHA-256 and tensors by file.
        log_offset: last event of the log that training had seen.
        metrics: what evaluation measured.
        notes: facts about an imported checkpoint.
    """

    id: str
    configs: dict[Kind, PhoenixConfig]
    actions: tuple[str, ...]
    origin: Origin
    files: dict[str, dict[str, Any]]
    log_offset: int
    metrics: dict[str, Any]
    notes: dict[str, Any]

    @classmethod
    def parse(cls, text: bytes) -> "Manifest":
        """Reads and checks a manifest.

        Raises:
            BundleError: it is not one, or not of this version.
        """
        values = _object(text)
        return cls(
            id=hashlib.sha256(text).hexdigest(),
            configs=_configs(values["models"]),
            actions=_strings("actions", values["actions"]),
            origin=_origin(values["origin"]),
            files=_files(values["files"]),
            log_offset=_whole("log_offset", values["log_offset"]),
            metrics=_dict("metrics", values["metrics"]),
            notes=_dict("notes", values.get("notes", {})),
        )


def read_manifest(directory: Path) -> bytes:
    """The bytes of a bundle's manifest.

    Raises:
        BundleError: there is none, or it is far too long.
    """
    with open_regular(directory / MANIFEST) as file:
        text = file.read(MAX_HEADER_BYTES + 1)
    if len(text) > MAX_HEADER_BYTES:
        raise BundleError(
            f"`{MANIFEST}` is longer than `{MAX_HEADER_BYTES}` bytes", code="bad_manifest"
        )
    return text


def check_actions(actions: tuple[str, ...], origin: Origin, n_actions: int) -> None:
    """Refuses heads that this version could not tell apart.

    Raises:
        BundleError: the number of names is not that of the heads, a name comes twice or is
            neither an action nor a published number, or a bundle that was fitted here has other
            actions than this version.
    """
    known = [action.name for action in ACTIONS[:N_DISCRETE]]
    numbers = {str(number) for number in range(N_PUBLISHED_ACTIONS)}
    if origin == "fit" and list(actions) != known:
        raise BundleError(
            f"bundle was made for the actions `{list(actions)}`, this version has `{known}`",
            code="other_actions",
            hint="fit again with this version",
        )
    unknown = sorted(set(actions) - set(known) - numbers)
    if unknown or len(set(actions)) != len(actions) or len(actions) != n_actions:
        raise BundleError(
            f"the ranker has `{n_actions}` heads for the actions `{list(actions)}`, of which "
            f"`{unknown}` are unknown; each must be named once",
            code="other_actions",
        )


def check_dtypes(file: str, tensors: dict[str, Any], *, tables: bool) -> None:
    """Refuses dtypes that parameters or tables cannot have.

    Args:
        file: for messages.
        tensors: dtype and shape by name, as `Entry.to_json` gives them.
        tables: whether these are tables; parameters are float32.

    Raises:
        BundleError: names the tensor.
    """
    for name, entry in tensors.items():
        allowed = list(TABLE_DTYPES.values()) if tables else ["F32"]
        if name.endswith(SCALE_SUFFIX):
            allowed = ["F32"]
        if entry["dtype"] not in allowed:
            raise BundleError(
                f"tensor `{name}` of `{file}` is `{entry['dtype']}`, expected one of `{allowed}`",
                code="wrong_shape",
            )


def _object(text: bytes) -> dict[str, Any]:
    """The manifest as a dict with all its keys, of the right format."""
    try:
        values = strict_json(text)
    except ValueError as error:
        raise BundleError(f"`{MANIFEST}` cannot be read: {error}", code="bad_manifest") from error
    if not isinstance(values, dict) or "format" not in values:
        raise BundleError(f"`{MANIFEST}` names no format", code="bad_manifest")
    if values["format"] != FORMAT:
        raise BundleError(
            f"bundle has format `{values['format']!r:.40}`, this version reads `{FORMAT}`",
            code="other_format",
            hint="fit or import again with this version",
        )
    wanted = {"models", "actions", "origin", "files", "log_offset", "metrics"}
    if not wanted <= set(values):
        raise BundleError(
            f"`{MANIFEST}` lacks `{sorted(wanted - set(values))}`", code="bad_manifest"
        )
    return values


def _configs(models: Any) -> dict[Kind, PhoenixConfig]:
    if not isinstance(models, dict) or set(models) != set(MODELS):
        raise BundleError(
            f"`models` of `{MANIFEST}` must have exactly `{list(MODELS)}`", code="bad_manifest"
        )
    try:
        return {kind: PhoenixConfig.from_json(models[kind]) for kind in MODELS}
    except ConfigError as error:
        raise BundleError(
            f"`{MANIFEST}` holds a configuration that cannot be used: {error}", code="bad_config"
        ) from error


def _files(files: Any) -> dict[str, dict[str, Any]]:
    """Entries of known files only: a name is never used as a path before it is known."""
    if not isinstance(files, dict):
        raise BundleError(f"`files` of `{MANIFEST}` is not an object", code="bad_manifest")
    unknown = sorted(set(files) - REQUIRED_FILES - OPTIONAL_FILES)
    missing = sorted(REQUIRED_FILES - set(files))
    if unknown or missing:
        raise BundleError(
            f"`{MANIFEST}` lists unknown files `{unknown}` and lacks `{missing}`",
            code="unknown_file" if unknown else "missing_file",
        )
    for name, entry in files.items():
        wanted = {"sha256", "bytes"} | ({"tensors"} if name != SEQUENCE else set())
        good = isinstance(entry, dict) and set(entry) == wanted
        if not good or not isinstance(entry["sha256"], str) or type(entry["bytes"]) is not int:
            raise BundleError(
                f"the entry of `{name}` in `{MANIFEST}` must have `{sorted(wanted)}`",
                code="bad_manifest",
            )
    return files


def _dict(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BundleError(f"`{name}` of `{MANIFEST}` is not an object", code="bad_manifest")
    return value


def _strings(name: str, values: Any) -> tuple[str, ...]:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise BundleError(f"`{name}` of `{MANIFEST}` is no list of names", code="bad_manifest")
    return tuple(values)


def _origin(value: Any) -> Origin:
    if value not in ("fit", "published-import"):
        raise BundleError(f"`origin` of `{MANIFEST}` is `{value!r:.40}`", code="bad_manifest")
    found: Origin = value
    return found


def _whole(name: str, value: Any) -> int:
    if type(value) is not int or value < 0:
        raise BundleError(f"`{name}` of `{MANIFEST}` is `{value!r:.40}`", code="bad_manifest")
    return value
