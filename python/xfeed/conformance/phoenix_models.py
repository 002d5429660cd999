"""Checks of the models of January and May 2026: the ranker and the two towers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

from xfeed.conformance.phoenix_differences import Differences, Verdict
from xfeed.conformance.phoenix_files import (
    Archive,
    config_of,
    inputs_of,
    parameters_of,
    read_archive,
    settings_of,
)
from xfeed.phoenix.model.ranker import Ranker
from xfeed.phoenix.model.retrieval import Retrieval
from xfeed.phoenix.published.may import load_published


def ranker(path: Path) -> Verdict:
    """Runs the published ranker in float32 and float64, in chunks."""
    z = read_archive(path)
    found, valid = Differences(), _valid_candidates(z)
    for dtype in (torch.float32, torch.float64):
        model = Ranker(config_of(z, retrieval=False)).to(dtype)
        load_published(model, parameters_of(z, dtype))
        logits, continuous = _score(model, z, dtype)
        exact = dtype == torch.float64
        tail = "_f64" if exact else ""
        limit = "float64" if exact else "logits_f32"
        found.note(limit, logits[valid], z["out/logits" + tail][valid])
        if "out/continuous_preds" in z:
            limit = "float64" if exact else "continuous_f32"
            found.note(limit, continuous[valid], z["out/continuous_preds" + tail][valid])
    return found.verdict()


def ranker_bf16(path: Path) -> Verdict:
    """Runs the ranker with its transformer in bfloat16; the file beside it has the inputs."""
    golden, z = read_archive(path), read_archive(path.with_name("ranker_01_f32_gqa.npz"))
    model = Ranker(config_of(z, retrieval=False))
    load_published(model, parameters_of(z, torch.float32))
    model.transformer.bfloat16()
    logits, _ = _score(model, z, torch.float32)
    found, valid = Differences(), _valid_candidates(z)
    found.note("logits_bf16", logits[valid], golden["out/logits"][valid])
    return found.verdict()


def retrieval(path: Path) -> Verdict:
    """Runs the published towers and an exact search over the golden corpus."""
    z = read_archive(path)
    found = Differences()
    for dtype in (torch.float32, torch.float64):
        model = Retrieval(config_of(z, retrieval=True)).to(dtype)
        load_published(model, parameters_of(z, dtype))
        viewers, lengths, vectors = _embed(model, z, dtype)
        tail = "_f64" if dtype == torch.float64 else ""
        limit = "float64" if tail else "unit_vectors_f32"
        found.note(limit, viewers, z["out/user_representation" + tail])
        found.note(limit, vectors, z["out/candidate_representation" + tail])
        if not tail:
            found.note("logits_f32", lengths, z["out/user_norm"])
            _search(viewers, z, z, "unit_vectors_f32", found)
    return found.verdict()


def retrieval_bf16(path: Path) -> Verdict:
    """Runs the towers with the transformer in bfloat16; the file beside it has the inputs."""
    golden, z = read_archive(path), read_archive(path.with_name("retrieval_01_f32_mlp_tower.npz"))
    model = Retrieval(config_of(z, retrieval=True))
    load_published(model, parameters_of(z, torch.float32))
    model.transformer.bfloat16()
    viewers, _, vectors = _embed(model, z, torch.float32)
    found = Differences()
    found.note("unit_vectors_bf16", viewers, golden["out/user_representation"])
    found.note("unit_vectors_bf16", vectors, golden["out/candidate_representation"])
    _search(viewers, z, golden, "unit_vectors_bf16", found)
    return found.verdict()


def _search(
    viewers: npt.NDArray[Any], z: Archive, golden: Archive, limit: str, found: Differences
) -> None:
    """The best posts of the corpus, with and without its mask."""
    scores = viewers @ z["in/corpus_embeddings"].T
    for kind, mask in (("", None), ("_masked", z["in/corpus_mask"])):
        shown = scores if mask is None else np.where(mask, scores, -1e12)
        order = np.argsort(-shown, axis=1, kind="stable")[:, : int(z["in/top_k"])]
        best = np.take_along_axis(shown, order, 1)
        found.note(limit, best, golden[f"out/top_k_scores{kind}"])
        # two posts whose scores differ by less than the noise may change places
        theirs = golden[f"out/top_k_indices{kind}"].astype(np.int64)
        found.note(limit, np.take_along_axis(shown, theirs, 1), best)


def _embed(model: Retrieval, z: Archive, dtype: torch.dtype) -> tuple[npt.NDArray[Any], ...]:
    """Vectors of viewers, their lengths, and vectors of candidates."""
    posts, history, candidates = inputs_of(z, dtype)
    with torch.inference_mode():
        viewers, lengths = model.user_vectors(posts, history)
        vectors = model.post_vectors(posts)[candidates.post]
    return viewers.numpy(), lengths.numpy(), vectors.numpy()


def _valid_candidates(z: Archive) -> npt.NDArray[np.bool_]:
    """(B, C) which candidates are no padding."""
    slots = np.arange(z["in/candidate_post_hashes"].shape[1])
    valid: npt.NDArray[np.bool_] = slots < np.array(settings_of(z)["candidate_lengths"])[:, None]
    return valid


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
            part = candidates.part(slice(first, first + chunk))
            scores = model.score_candidates(context, posts, part, first_slot=first)
            logits.append(scores.logits)
            continuous.append(scores.continuous)
    return torch.cat(logits, 1).numpy(), torch.cat(continuous, 1).numpy()


GOLDEN: Final[dict[str, Callable[[Path], Verdict]]] = {
    "ranker_01_f32_gqa": ranker,
    "ranker_02_bf16_gqa": ranker_bf16,
    "ranker_03_f32_right_anchored": ranker,
    "ranker_04_f32_mqa_no_optional": ranker,
    "ranker_05_f32_ip_log_dwell": ranker,
    "ranker_06_f32_mini_release_shape": ranker,
    "ranker_jan2026_01_f32": ranker,
    "retrieval_01_f32_mlp_tower": retrieval,
    "retrieval_02_bf16_mlp_tower": retrieval_bf16,
    "retrieval_03_f32_mean_pool": retrieval,
}
"""The check of each golden file, by its stem."""
