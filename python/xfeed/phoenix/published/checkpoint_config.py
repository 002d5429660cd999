"""Reads the `config.json` of a published model into our configuration, strictly.

The file holds sizes and hash constants. What the release fixes in its code and not in the file
(widening 2, multiplier 0.125, cap 30, causal history, positions by slot, a two-layer candidate
tower, dwell up to 30 s) are the defaults of `PhoenixConfig`.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from xfeed.errors import BundleError, ConfigError
from xfeed.phoenix.bundles.layout import Kind
from xfeed.phoenix.bundles.tensor_file import MAX_HEADER_BYTES, open_regular, strict_json
from xfeed.phoenix.config import MAX_HISTORY_LEN, PhoenixConfig
from xfeed.phoenix.hashes import HashConfig

ENTITIES: Final = ("user", "item", "author")
"""Kinds of ids with a table of their own, in the order of the published tables."""

SIZES: Final = (
    "emb_size",
    "key_size",
    "num_heads",
    "num_layers",
    "num_actions",
    "history_seq_len",
    "candidate_seq_len",
    *(f"num_{entity}_hashes" for entity in ENTITIES),
    *(f"{entity}_vocab_size" for entity in ENTITIES),
)
"""Sizes that must be there."""

DEFAULTS: Final = {"product_surface_vocab_size": 16, "post_age_granularity_mins": 60}
"""Sizes that may be missing, and what the release takes then."""

MAX_SIZE: Final = 2**31 - 1

MAX_POSITIONS: Final = dict.fromkeys(("history_seq_len", "candidate_seq_len"), MAX_HISTORY_LEN)
"""Bounds of sizes that no tensor of the checkpoint would contradict."""

N_CONTINUOUS: Final = 8
"""Continuous heads of the release."""


@dataclass(frozen=True, slots=True)
class PublishedConfig:
    """What a `config.json` says.

    Attributes:
        config: in our terms.
        candidate_len: candidates that the release ranks together (`candidate_seq_len`).
        ignored: keys that nothing reads.
    """

    config: PhoenixConfig
    candidate_len: int
    ignored: tuple[str, ...]


def read_published_config(path: Path, kind: Kind) -> PublishedConfig:
    """Reads the configuration of one published model.

    Args:
        path: its `config.json`.
        kind: which model it is; only the ranker reads dwell and post age.

    Raises:
        BundleError: the file is missing or no JSON object, a key is missing, or a value is no
            whole number within its bounds.
    """
    name = f"{path.parent.name}/{path.name}"
    values = _read_object(path, name)
    sizes = {k: _whole(name, k, values, 1, MAX_POSITIONS.get(k, MAX_SIZE)) for k in SIZES}
    sizes |= {k: _whole(name, k, values, 1) if k in values else d for k, d in DEFAULTS.items()}
    constants = values.get("hash_params")
    if not isinstance(constants, dict):
        raise BundleError(
            f"`{name}` lacks the object `hash_params`",
            code="missing_key",
            hint="without its hash constants a checkpoint's tables cannot be read",
        )
    try:
        hashes = {entity: _hash(name, entity, constants, sizes) for entity in ENTITIES}
        config = PhoenixConfig(
            emb_size=sizes["emb_size"],
            table_width=sizes["emb_size"],
            n_layers=sizes["num_layers"],
            n_query_heads=sizes["num_heads"],
            n_kv_heads=sizes["num_heads"],
            key_size=sizes["key_size"],
            history_len=sizes["history_seq_len"],
            user=hashes["user"],
            item=hashes["item"],
            author=hashes["author"],
            n_actions=sizes["num_actions"],
            n_continuous=N_CONTINUOUS if kind == "ranker" else 0,
            n_surfaces=sizes["product_surface_vocab_size"],
            post_age_granularity_mins=sizes["post_age_granularity_mins"],
            post_age_input=kind == "ranker",
            dwell_input=kind == "ranker",
        )
    except ConfigError as error:
        raise BundleError(f"`{name}` cannot be used: {error}", code="bad_config") from error
    known = {*SIZES, *DEFAULTS, "hash_params"}
    ignored = [key for key in values if key not in known]
    ignored += [f"hash_params.{key}" for key in constants if key not in _hash_keys()]
    return PublishedConfig(config, sizes["candidate_seq_len"], tuple(sorted(ignored)))


def _read_object(path: Path, name: str) -> dict[str, Any]:
    with open_regular(path) as file:
        text = file.read(MAX_HEADER_BYTES)
    try:
        values = strict_json(text)
    except ValueError as error:
        raise BundleError(f"`{name}` cannot be read: {error}", code="bad_config") from error
    if not isinstance(values, dict):
        raise BundleError(f"`{name}` is not an object", code="bad_config")
    return values


def _hash_keys() -> set[str]:
    parts = ("hash_scales", "biases", "modulus")
    return {f"{entity}_{part}" for entity in ENTITIES for part in parts}


def _hash(name: str, entity: str, constants: dict[str, Any], sizes: dict[str, int]) -> HashConfig:
    """Constants of one kind of id, as many as the model has hash functions."""
    n_functions = sizes[f"num_{entity}_hashes"]
    found = []
    for part in ("hash_scales", "biases"):
        key = f"{entity}_{part}"
        values = constants.get(key)
        whole = isinstance(values, list) and all(type(v) is int and 0 <= v < 2**64 for v in values)
        if not isinstance(values, list) or not whole or len(values) != n_functions:
            raise BundleError(
                f"`hash_params.{key}` of `{name}` is `{values!r:.80}`, expected `{n_functions}` "
                "whole numbers of 64 bits",
                code="missing_key" if values is None else "bad_value",
            )
        found.append(tuple(values))
    modulus = _whole(f"hash_params of {name}", f"{entity}_modulus", constants, 1, 2**63 - 1)
    return HashConfig(found[0], found[1], modulus, sizes[f"{entity}_vocab_size"])


def _whole(name: str, key: str, values: dict[str, Any], low: int, high: int = MAX_SIZE) -> int:
    """A whole number within its bounds."""
    if key not in values:
        raise BundleError(f"`{name}` lacks `{key}`", code="missing_key")
    value = values[key]
    if type(value) is not int or not low <= value <= high:
        raise BundleError(
            f"`{key}` of `{name}` is `{value!r:.40}`, allowed is a whole number in [{low}, {high}]",
            code="bad_value",
        )
    return value
