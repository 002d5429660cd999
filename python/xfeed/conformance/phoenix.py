"""Checks of the models against numbers observed from the published releases.

The golden files are not part of the package. Each function takes the path of one file and says
whether it passed, what was expected and what was got; `GOLDEN` finds the function by file stem.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

from xfeed import _core
from xfeed.conformance.phoenix_files import (
    Archive,
    config_of,
    inputs_of,
    parameters_of,
    read_archive,
    settings_of,
)
from xfeed.phoenix import hashes
from xfeed.phoenix.config import PhoenixConfig, ffn_size
from xfeed.phoenix.features import post_age_bucket
from xfeed.phoenix.inputs import CandidateInputs, normalised_dwell
from xfeed.phoenix.published import load_published
from xfeed.phoenix.ranker import Ranker
from xfeed.phoenix.retrieval import Retrieval
from xfeed.phoenix.transformer import (
    Transformer,
    right_anchored_positions,
    rms_norm,
    rotate,
    rotation,
)

Verdict = tuple[bool, str, str]

TOLERANCES: Final = {
    "logits_f32": 5e-5,
    "continuous_f32": 2e-5,
    "unit_vectors_f32": 2e-6,
    "float64": 1e-9,
}
"""Largest absolute difference allowed, as the authors of the golden files suggest."""

ROW_OFFSET: Final = 65
"""Rows of the published single table before the first viewer."""


def ranker(path: Path) -> Verdict:
    """Runs the published ranker in float32 and float64, dense and in chunks."""
    z = read_archive(path)
    config = config_of(z, retrieval=False)
    valid = np.arange(z["in/candidate_post_hashes"].shape[1]) < np.array(
        settings_of(z)["candidate_lengths"]
    ).reshape(-1, 1)
    worst: dict[str, float] = {}
    for dtype in (torch.float32, torch.float64):
        model = Ranker(config).to(dtype)
        load_published(model, parameters_of(z, dtype))
        logits, continuous = _score(model, z, dtype)
        exact = dtype == torch.float64
        tail = "_f64" if exact else ""
        limit = "float64" if exact else "logits_f32"
        _note(worst, limit, logits[valid], z["out/logits" + tail][valid])
        if "out/continuous_preds" in z:
            limit = "float64" if exact else "continuous_f32"
            _note(worst, limit, continuous[valid], z["out/continuous_preds" + tail][valid])
    return _verdict(worst)


def retrieval(path: Path) -> Verdict:
    """Runs the published towers and an exact search over the golden corpus."""
    z = read_archive(path)
    config = config_of(z, retrieval=True)
    worst: dict[str, float] = {}
    for dtype in (torch.float32, torch.float64):
        model = Retrieval(config).to(dtype)
        load_published(model, parameters_of(z, dtype))
        posts, history, candidates = inputs_of(z, dtype)
        with torch.inference_mode():
            viewers, lengths = model.user_vectors(posts, history)
            vectors = model.post_vectors(posts)[candidates.post]
        tail = "_f64" if dtype == torch.float64 else ""
        limit = "float64" if tail else "unit_vectors_f32"
        _note(worst, limit, viewers.numpy(), z["out/user_representation" + tail])
        _note(worst, limit, vectors.numpy(), z["out/candidate_representation" + tail])
        if tail:
            continue
        _note(worst, "logits_f32", lengths.numpy(), z["out/user_norm"])
        scores = viewers.numpy() @ z["in/corpus_embeddings"].T
        for kind, mask in (("", None), ("_masked", z["in/corpus_mask"])):
            shown = scores if mask is None else np.where(mask, scores, -1e12)
            order = np.argsort(-shown, axis=1, kind="stable")[:, : int(z["in/top_k"])]
            best = np.take_along_axis(shown, order, 1)
            _note(worst, "unit_vectors_f32", best, z[f"out/top_k_scores{kind}"])
            # two posts whose scores differ by less than the noise may change places
            theirs = np.take_along_axis(shown, z[f"out/top_k_indices{kind}"].astype(np.int64), 1)
            _note(worst, "unit_vectors_f32", theirs, best)
    return _verdict(worst)


def hashing(path: Path) -> Verdict:
    """Compares buckets and rows of the single table for every table size."""
    z = read_archive(path)
    settings = json.loads(bytes(z["params_json"]))
    makers: dict[str, Callable[[int], hashes.HashConfig]] = {
        "user": hashes.user_hash,
        "item": hashes.item_hash,
        "author": hashes.author_hash,
        "ip": hashes.address_hash,
    }
    ids = np.ascontiguousarray(z["ids_u64"])
    wrong = checked = 0
    for name, sizes in settings["sizes_user_item_author_ip"].items():
        offset = ROW_OFFSET
        for (kind, maker), n_rows in zip(makers.items(), sizes, strict=True):
            if n_rows:
                one = maker(n_rows)
                family = _core.HashFamily(list(one.scales), list(one.biases), one.modulus)
                bucket = np.empty((len(ids), one.n_functions), dtype=np.uint32)
                family.rows(ids, n_rows, bucket)
                row = np.where(bucket == 0, 0, bucket.astype(np.int64) + offset)
                wrong += int((bucket != z[f"{name}/raw_{kind}"]).sum())
                wrong += int((row != z[f"{name}/row_{kind}"]).sum())
                checked += 2 * bucket.size
            offset += n_rows
    return wrong == 0 and checked > 0, f"0 of {checked} differ", f"{wrong} of {checked} differ"


def components(path: Path) -> Verdict:
    """Compares masks, positions, rotation, norm, buckets, dwell and sizes one by one."""
    z = read_archive(path)
    worst: dict[str, float] = {}
    _components_of_attention(z, worst)
    scale, x = torch.from_numpy(z["rms_norm/scale"]), torch.from_numpy(z["rms_norm/x"])
    _note(worst, "unit_vectors_f32", rms_norm(x, scale).numpy(), z["rms_norm/y"])
    shown, created = (z[f"post_age/{k}_ts"].astype(np.int64) for k in ("impr", "creation"))
    for key in (key for key in z if key.startswith("post_age/bucket_")):
        bucket = post_age_bucket(shown, created, int(key.rsplit("_", 1)[1]))
        _note(worst, "float64", bucket, z[key])
    for secs in (30, 300):
        for kind in ("lin", "log"):
            n = normalised_dwell(torch.from_numpy(z["dwell/x"]), float(secs), log=kind == "log")
            _note(worst, "unit_vectors_f32", n.numpy(), z[f"dwell/norm_{secs}_{kind}"])
    sizes = [
        [ffn_size(int(width), float(factor)) for factor in z["ffn_size/widening"]]
        for width in z["ffn_size/emb"]
    ]
    _note(worst, "float64", np.array(sizes), z["ffn_size/size"])
    return _verdict(worst)


def _components_of_attention(z: Archive, worst: dict[str, float]) -> None:
    """Rotation, positions and the mask that the split into context and candidates stands for."""
    x = torch.from_numpy(z["rope/x"]).transpose(1, 2)  # (B, heads, T, K)
    default = np.arange(x.shape[2], dtype=np.float32)[None].repeat(x.shape[0], 0)
    for positions, expected in ((z["rope/t"], "y"), (default, "y_default_positions")):
        cos, sin = rotation(torch.from_numpy(positions), x.shape[-1])
        turned = rotate(x, cos[:, None], sin[:, None]).transpose(1, 2)
        _note(worst, "logits_f32", turned.numpy(), z[f"rope/{expected}"])
    index = 0
    while f"rope_pos/{index}/positions" in z:
        part = f"rope_pos/{index}/"
        prefix, S = int(z[part + "num_user_prefix_tokens"]), int(z[part + "history_seq_len"])
        valid = torch.from_numpy(z[part + "padding_mask"])
        golden = z[part + "positions"]
        _note(worst, "float64", np.arange(prefix) + 0 * golden[:, :prefix], golden[:, :prefix])
        # our prefix is one token; a longer one moves every later position by the difference
        shift = prefix - 1
        ours = right_anchored_positions(valid[:, prefix : prefix + S], S).numpy()
        ours = np.where(ours > 0, ours + shift, 0)
        _note(worst, "float64", ours, golden[:, prefix : prefix + S])
        after, after_valid = golden[:, prefix + S :], valid[:, prefix + S :].numpy()
        _note(worst, "float64", np.where(after_valid, prefix + S, 0), after)
        index += 1
    for key in (key for key in z if key.startswith("mask/")):
        T, n_context = (int(part[3:]) for part in key.split("/")[1].split("_"))
        model = Transformer(_tiny(n_context))
        context = model.visible(torch.ones(1, n_context, dtype=torch.bool))[0, 0, 0].numpy()
        ours = np.eye(T, dtype=np.uint8)
        ours[:, :n_context] = 1
        ours[:n_context, :n_context] = context
        _note(worst, "float64", ours, z[key])


def _tiny(n_context: int) -> PhoenixConfig:
    """A configuration whose sizes do not matter."""
    return PhoenixConfig(
        emb_size=8,
        table_width=8,
        n_layers=1,
        n_query_heads=1,
        n_kv_heads=1,
        key_size=8,
        history_len=max(n_context - 1, 1),
        user=hashes.user_hash(9),
        item=hashes.item_hash(9),
        author=hashes.author_hash(9),
    )


def _score(
    model: Ranker, z: Archive, dtype: torch.dtype
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Scores candidates in chunks of two, each chunk at its place."""
    posts, history, candidates = inputs_of(z, dtype)
    logits, continuous = [], []
    chunk = 2
    with torch.inference_mode():
        context = model.encode_context(posts, history)
        for first in range(0, candidates.post.shape[1], chunk):
            here = slice(first, first + chunk)
            part = CandidateInputs(
                candidates.post[:, here],
                candidates.surface[:, here],
                None if candidates.post_age is None else candidates.post_age[:, here],
            )
            scores = model.score_candidates(context, posts, part, first_slot=first)
            logits.append(scores.logits)
            continuous.append(scores.continuous)
    return torch.cat(logits, 1).numpy(), torch.cat(continuous, 1).numpy()


def _note(
    worst: dict[str, float], limit: str, got: npt.NDArray[Any], expected: npt.NDArray[Any]
) -> None:
    """Keeps the largest difference under a limit; another shape counts as infinite."""
    same = got.shape == expected.shape
    difference = float(np.abs(got - expected).max(initial=0)) if same else float("inf")
    if np.isnan(difference):
        difference = float("inf")
    worst[limit] = max(worst.get(limit, 0.0), difference)


def _verdict(worst: dict[str, float]) -> Verdict:
    """Compares the largest differences with their limits."""
    passed = bool(worst) and all(value <= TOLERANCES[limit] for limit, value in worst.items())
    expected = ", ".join(f"{limit} <= {TOLERANCES[limit]:g}" for limit in worst)
    return passed, expected, ", ".join(f"{limit} {value:.2g}" for limit, value in worst.items())


GOLDEN: Final[dict[str, Callable[[Path], Verdict]]] = {
    "ranker_01_f32_gqa": ranker,
    "ranker_03_f32_right_anchored": ranker,
    "ranker_04_f32_mqa_no_optional": ranker,
    "ranker_05_f32_ip_log_dwell": ranker,
    "ranker_06_f32_mini_release_shape": ranker,
    "ranker_jan2026_01_f32": ranker,
    "retrieval_01_f32_mlp_tower": retrieval,
    "retrieval_03_f32_mean_pool": retrieval,
    "hash_01": hashing,
    "components_01": components,
}
"""The check of each golden file, by its stem."""
