"""Checks of the models of August 2026: both input paths of the ranker, and the two towers.

The bfloat16 numbers come from models whose inputs and heads may be rounded elsewhere than ours:
the table is rounded as theirs, the transformer runs in bfloat16, the rest in float32.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from xfeed.conformance.phoenix_aug_files import AugustInputs, config_of, retrieval_config_of
from xfeed.conformance.phoenix_differences import Differences, Verdict
from xfeed.conformance.phoenix_files import Archive, parameters_of, read_archive, settings_of
from xfeed.phoenix.config import PhoenixConfig
from xfeed.phoenix.learning.contrastive import ContrastiveSettings, contrastive_loss
from xfeed.phoenix.model.ranker import Ranker
from xfeed.phoenix.model.retrieval import Retrieval
from xfeed.phoenix.published.august import load_august

PRECISIONS: Final = (("f32", torch.float32), ("f64", torch.float64), ("bf16", torch.float32))
"""Name in the golden file and dtype of inputs and heads; the transformer follows the name."""

SUFFIX: Final = {"f32": "", "f64": "_f64", "bf16": "_bf16"}


def loaded(
    model: Ranker | Retrieval, z: Archive, name: str, dtype: torch.dtype
) -> Ranker | Retrieval:
    """The model with the published parameters, in one of the precisions."""
    model.to(dtype)
    load_august(model, parameters_of(z, dtype))
    if name == "bf16":
        model.transformer.bfloat16()
    return model


def passes(
    z: Archive, config: PhoenixConfig, kind: type[Ranker | Retrieval]
) -> Iterator[tuple[str, Any, AugustInputs]]:
    """The model and its inputs in every precision."""
    for name, dtype in PRECISIONS:
        model = loaded(kind(config), z, name, dtype)
        yield name, model, AugustInputs(z, config, dtype, rounded=name == "bf16")


def ranker(path: Path) -> Verdict:
    """Scores candidates in chunks of two in three precisions; only valid rows count."""
    z = read_archive(path)
    config = config_of(settings_of(z))
    # with enlarged queries and keys the authors allow the concatenated form more
    tail = "_concat" if config.inputs == "concat" else ""
    limits = {
        "f32": ("logits_f32" + tail, "continuous_f32" + tail),
        "f64": ("float64_august", "float64_august"),
        "bf16": ("logits_bf16" + tail, "seconds_bf16"),
    }
    found, valid = Differences(), z["out/candidate_valid"]
    for name, model, inputs in passes(z, config, Ranker):
        posts, candidates = inputs.posts(), inputs.candidates()
        chunks = [candidates.part(slice(i, i + 2)) for i in range(0, inputs.C, 2)]
        with torch.inference_mode():
            context = model.encode_context(posts, inputs.history())
            scores = [model.score_candidates(context, posts, chunk) for chunk in chunks]
            secs = [model.seconds(*pair) for pair in zip(scores, chunks, strict=True)]
        logits = torch.cat([one.logits for one in scores], 1).numpy()
        of_logits, of_seconds = limits[name]
        found.note(of_logits, logits[valid], z["out/logits" + SUFFIX[name]][valid])
        golden = z["out/continuous" + SUFFIX[name]][valid]
        found.note(of_seconds, torch.cat(secs, 1).numpy()[valid], golden)
    return found.verdict()


def two_tower(path: Path) -> Verdict:
    """Vectors of viewers and posts, the loss, and a search in half precision."""
    z = read_archive(path)
    settings = settings_of(z)
    config = retrieval_config_of(settings)
    limits = {"f32": "unit_vectors_f32", "f64": "float64_august", "bf16": "unit_vectors_bf16"}
    found = Differences()
    for name, model, inputs in passes(z, config, Retrieval):
        posts, history = inputs.posts(), inputs.history()
        candidates = inputs.candidates()
        with torch.inference_mode():
            viewers, _ = model.user_vectors(posts, history)
            towers = [model.post_vectors(posts, i)[candidates.post] for i in range(config.n_towers)]
        golden = z["out/user_representation" + SUFFIX[name]]
        found.note(limits[name], viewers.numpy(), golden)
        for i, vectors in enumerate(towers):
            golden = z[f"out/candidate_representation_head{i}" + SUFFIX[name]]
            found.note(limits[name], vectors.numpy(), golden)
        if name == "f32":
            _losses(z, settings, model, viewers, towers, found)
        if name == "bf16":
            _search(z, viewers, found)
    return found.verdict()


def _losses(
    z: Archive,
    settings: dict[str, Any],
    model: Retrieval,
    viewers: torch.Tensor,
    towers: list[torch.Tensor],
    found: Differences,
) -> None:
    """The contrastive loss of every tower, each with its own sets of actions."""
    total = 0.0
    post = torch.from_numpy(z["in/candidate_seq/post_hashes"][..., 0].astype(np.int64))
    actions = torch.from_numpy(z["in/candidate_seq/actions"])
    n_own = post.shape[1] - settings["num_global_negatives_per_example"]
    for head, vectors in zip(settings["head_names"], towers, strict=True):
        kind = "immersive_" if head == "immersive" else ""
        choice = ContrastiveSettings(
            n_own=n_own,
            in_batch=settings["use_in_batch_negatives"],
            log_q_scale=settings["logq_correction_scale"],
            positive=tuple(settings[f"{kind}positive_actions"]),
            hard_negative=tuple(settings[f"{kind}hard_negative_actions"]),
            soft_negative=tuple(settings[f"{kind}soft_negative_actions"]),
        )
        with torch.inference_mode():
            one = contrastive_loss(viewers, vectors, post, actions, model.temperature, choice)
        total += float(one.loss)
        part = f"{head}/" if len(towers) > 1 else ""
        golden = z[f"out/stats/{part}contrastive_loss"]
        found.note("loss_f32", np.array(float(one.loss)), golden)
    penalty = settings["user_tower_config"]["act_l2_weight"] * z["out/stats/act-l2-loss"]
    found.note("loss_f32", np.array(total + penalty), z["out/loss"])


def _search(z: Archive, viewers: torch.Tensor, found: Differences) -> None:
    """The best posts of each kind, by products that are rounded to bfloat16.

    Neighbours whose scores differ by less than the rounding may change places, so their posts
    are looked at and compared by score.
    """
    index = torch.from_numpy(z["in/index_embeddings_bf16_as_f32"]).bfloat16()
    scores = (viewers.bfloat16() @ index.T).float().numpy()
    kinds = z["in/index_dataset_types"][:, 0]
    for kind in np.unique(kinds):
        golden = z[f"out/topk_type{kind}_indices"].astype(np.int64)
        shown = np.where(kinds == kind, scores, -np.inf)
        order = np.argsort(-shown, axis=1, kind="stable")[:, : golden.shape[1]]
        best = np.take_along_axis(shown, order, 1)
        found.note("unit_vectors_bf16", best, z[f"out/topk_type{kind}_scores"])
        found.note("unit_vectors_bf16", np.take_along_axis(shown, golden, 1), best)


GOLDEN: Final[dict[str, Callable[[Path], Verdict]]] = {
    "aug_ranker_01_feature_prep": ranker,
    "aug_ranker_02_concat_legacy": ranker,
    "aug_two_tower_01_concat_mlp": two_tower,
    "aug_two_tower_02_combined": two_tower,
}
"""The check of each golden file, by its stem."""
