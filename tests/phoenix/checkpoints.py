"""Small checkpoints in the published layout, made up for the tests."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from xfeed.errors import BundleError
from xfeed.phoenix.bundles.layout import MODELS, Kind
from xfeed.phoenix.published.checkpoint import import_checkpoint
from xfeed.phoenix.published.checkpoint_config import read_published_config
from xfeed.phoenix.published.may import published_name

Arrays = dict[str, npt.NDArray[Any]]

WIDTH = 16
N_POSTS = 40
N_ROWS = {"user": 50, "item": 70, "author": 30}

CONFIG: dict[str, Any] = {
    "emb_size": WIDTH,
    "key_size": 4,
    "num_heads": 2,
    "num_layers": 1,
    "history_seq_len": 5,
    "candidate_seq_len": 3,
    "num_actions": 19,
    "num_user_hashes": 2,
    "num_item_hashes": 2,
    "num_author_hashes": 1,
    "user_vocab_size": N_ROWS["user"],
    "item_vocab_size": N_ROWS["item"],
    "author_vocab_size": N_ROWS["author"],
    "hash_params": {
        "user_hash_scales": [101, 103],
        "user_biases": [7, 9],
        "user_modulus": 1_000_003,
        "item_hash_scales": [107, 109],
        "item_biases": [11, 13],
        "item_modulus": 1_000_003,
        "author_hash_scales": [113],
        "author_biases": [17],
        "author_modulus": 1_000_003,
    },
}


def make_checkpoint(directory: Path, *, compressed: bool = True) -> Path:
    """Writes a checkpoint with random weights, a corpus and an example history."""
    rng = np.random.default_rng(5)
    save: Callable[..., None] = np.savez_compressed if compressed else np.savez
    kinds: tuple[Kind, ...] = ("ranker", "retrieval")
    for kind in kinds:
        folder = directory / kind
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps(CONFIG | {"emb_size": WIDTH}))
        config = read_published_config(folder / "config.json", kind).config
        with torch.device("meta"):
            model = MODELS[kind](config)
        parameters: Arrays = {}
        for ours, value in model.state_dict().items():
            # queries and keys large enough that positions matter
            size = 2.0 if ours.endswith(("query", "key")) else 0.3
            values = random(rng, tuple(value.shape)) * np.float32(size)
            parameters[published_name(ours, model)] = values
        parameters["~/log_temperature"] = np.array(0.5, np.float32)
        save(folder / "model_params.npz", **parameters)
        tables = {f"{name}_embeddings": random(rng, (n, WIDTH)) for name, n in N_ROWS.items()}
        save(folder / "embedding_tables.npz", **tables)
    vectors = random(rng, (N_POSTS, WIDTH))
    save(
        directory / "sports_corpus.npz",
        post_ids=2**60 + np.arange(N_POSTS),
        author_ids=rng.integers(1, 9, N_POSTS),
        candidate_representations=vectors / np.linalg.norm(vectors, axis=1, keepdims=True),
        topics=np.array(["nba", "nfl"])[rng.integers(0, 2, N_POSTS)],
    )
    history = [
        {"post_id": 2**60 + place, "author_id": place % 3 + 1, "actions": {"1": 1.0, "25": 1.0}}
        for place in range(8)
    ]
    sequence = {"user_id": 77, "history": history}
    (directory / "example_sequence.json").write_text(json.dumps(sequence))
    return directory


def random(rng: np.random.Generator, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    return rng.standard_normal(shape).astype(np.float32)


def change_arrays(path: Path, change: Callable[[Arrays], Any], *, compressed: bool = False) -> None:
    """Changes the arrays of an archive."""
    with np.load(path, allow_pickle=True) as archive:
        arrays = {name: archive[name] for name in archive.files}
    change(arrays)
    save: Callable[..., None] = np.savez_compressed if compressed else np.savez
    save(path, **arrays)


def change_config(path: Path, **changes: Any) -> None:
    """Changes keys of a configuration; None removes one."""
    values = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({k: v for k, v in values.items() if v is not None}))


def refusal(source: Path, out_dir: Path) -> BundleError:
    """Why a checkpoint is refused; nothing is left behind."""
    with pytest.raises(BundleError) as caught:
        import_checkpoint(source, out_dir)
    assert not out_dir.exists()
    assert [path for path in out_dir.parent.iterdir() if path.name.endswith(".tmp")] == []
    return caught.value
