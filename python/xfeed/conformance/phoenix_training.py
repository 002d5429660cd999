"""Checks the ranker's whole training loss: its value, its gradients and what it reports."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from xfeed.conformance.phoenix_aug_files import AugustInputs, config_of
from xfeed.conformance.phoenix_differences import Differences, Verdict
from xfeed.conformance.phoenix_files import Archive, parameters_of, read_archive, settings_of
from xfeed.phoenix.input_config import DwellHead
from xfeed.phoenix.learning import metrics
from xfeed.phoenix.learning.losses import (
    NEGATIVE_FEEDBACK,
    DwellLoss,
    activation_penalty,
    discrete_loss,
    dwell_loss,
    feedback_mask,
    log_q_weights,
)
from xfeed.phoenix.model.heads import for_surfaces
from xfeed.phoenix.model.ranker import Ranker
from xfeed.phoenix.published.august import load_august

PADDED_TO: Final = 128
"""The released code pads sequences to a multiple of this."""

DWELL: Final = 1
"""Published number of the continuous action that is seconds spent."""

FAVORITE: Final = 1


class Step(NamedTuple):
    """One forward pass of the golden batch; everything has (B, C) in front.

    Attributes:
        loss: all parts together.
        discrete: its first part.
        penalty: mean square of the last layer, not weighed.
        table: embedding table, to differentiate by.
        model: likewise.
        logits: (B, C, A).
        secs: predicted seconds.
        target: seconds spent.
        labels: (B, C, A).
        valid: candidates that count.
        negative: sampled negatives.
        surface: where each was shown.
        weights: what each counts.
    """

    loss: Tensor
    discrete: Tensor
    penalty: Tensor
    table: Tensor
    model: Ranker
    logits: Tensor
    secs: Tensor
    target: Tensor
    labels: Tensor
    valid: Tensor
    negative: Tensor
    surface: Tensor
    weights: Tensor


def ranker_training(path: Path) -> Verdict:
    """Computes loss and gradients in float32 and float64, and the metrics."""
    z = read_archive(path)
    found = Differences()
    for dtype, tail in ((torch.float32, ""), (torch.float64, "_f64")):
        step = _step(z, dtype)
        limit = "float64_august" if tail else "losses_relative"
        golden = z["out/loss" + tail]
        value = step.loss.detach().numpy()
        found.note(limit, value / golden, np.ones_like(golden))
        step.loss.backward()  # type: ignore[no-untyped-call]
        _gradients(z, step, dtype, tail, found)
    _reported(z, _step(z, torch.float32), found)
    return found.verdict()


def _step(z: Archive, dtype: torch.dtype) -> Step:
    """The loss of the golden batch; the second half of the candidates are negatives."""
    settings = settings_of(z)
    config = config_of(settings)
    model = Ranker(config).to(dtype)
    load_august(model, parameters_of(z, dtype))
    inputs = AugustInputs(z, config, dtype)
    inputs.table.requires_grad_()
    posts, history, candidates = inputs.posts(), inputs.history(), inputs.candidates()
    context = model.encode_context(posts, history, keep_hidden=True)
    scores = model.score_candidates(context, posts, candidates)
    first_row = inputs.whole("candidate_seq/post_hashes")[..., 0]
    labels = inputs.floats("candidate_seq/actions")
    target = inputs.floats("candidate_seq/continuous_actions")[..., DWELL]
    valid = first_row != 0
    negative = torch.arange(inputs.C).expand(valid.shape) >= settings["candidate_seq_len"]
    weights = log_q_weights(first_row, negative & valid, settings["log_q_num_bins"])
    mask = feedback_mask(negative, NEGATIVE_FEEDBACK, config.n_actions)
    discrete = discrete_loss(scores.logits, labels, valid, loss_mask=mask, weights=weights)
    loss = discrete
    for head, how in zip(config.dwell_heads, settings["continuous_action_losses"], strict=True):
        kind = DwellLoss(how["loss_type"], how["loss_weight"], how["tweedie_power"])
        loss = loss + kind.weight * dwell_loss(
            scores.continuous[..., head.head],
            target,
            valid,
            kind,
            head,
            negative=negative,
            surface=candidates.surface,
            weights=weights,
        )
    assert context.attention.hidden is not None
    hidden = torch.cat((context.attention.hidden, scores.hidden), 1)
    seen = torch.cat((model.context_tokens.valid(history), valid), 1)
    n_positions = -(-hidden.shape[1] // PADDED_TO) * PADDED_TO
    penalty = activation_penalty(hidden, seen, n_positions)
    loss = loss + settings["act_l2_weight"] * penalty
    secs = model.seconds(scores, candidates)[..., DWELL]
    return Step(
        loss, discrete, penalty, inputs.table, model, scores.logits, secs, target, labels, valid,
        negative, candidates.surface, weights,
    )  # fmt: skip


def _gradients(z: Archive, step: Step, dtype: torch.dtype, tail: str, found: Differences) -> None:
    """Compares gradients as shares of the largest number of each tensor."""
    limit = "gradients_f64" if tail else "gradients_f32"
    gradients = {name: one.grad for name, one in step.model.named_parameters()}
    squares = sum(
        float(one.double().square().sum()) for one in gradients.values() if one is not None
    )
    golden_norm = z["out/grad_global_norm" + tail]
    found.note(limit, np.sqrt(squares) / golden_norm, np.ones_like(golden_norm))
    assert step.table.grad is not None
    golden_table = z["out/grad_emb_table" + tail]
    largest = np.abs(golden_table).max()
    found.note(limit, step.table.grad.numpy()[1:] / largest, golden_table[1:] / largest)
    if tail:
        return
    # published gradients are brought into our layout by the loader; NaN is what was not recorded
    recorded = {
        name: torch.full_like(one, torch.nan) for name, one in parameters_of(z, dtype).items()
    }
    for name in recorded:
        if f"out/grad/{name}" in z:
            recorded[name] = torch.from_numpy(z[f"out/grad/{name}"])
    holder = Ranker(step.model.config)
    load_august(holder, recorded)
    for name, one in holder.named_parameters():
        golden = one.detach().numpy()
        ours = gradients[name]
        if np.isnan(golden).any() or ours is None:
            continue
        found.note(limit, ours.numpy() / np.abs(golden).max(), golden / np.abs(golden).max())


def _reported(z: Archive, step: Step, found: Differences) -> None:
    """Metrics of one action and of the seconds, over several parts of the batch."""

    def check(name: str, value: float | None, missing: float = 0.0) -> None:
        golden = float(z[f"out/stats/{name}"])
        got = missing if value is None else value
        scale = max(abs(golden), 1.0)
        found.note("reported", np.asarray(got / scale), np.asarray(golden / scale))

    check("origin-loss", float(step.discrete.detach()))
    check("act-l2-loss", float(step.penalty.detach()))
    valid, negative = step.valid.numpy(), step.negative.numpy()
    gallery = step.surface.numpy() == step.model.config.dwell_heads[0].surfaces[0]
    logits = step.logits[..., FAVORITE].detach()
    p, labels = logits.sigmoid().numpy(), step.labels[..., FAVORITE].numpy() > 0
    # from probabilities in float32, as the release does; from the logits it would be more exact
    losses = -np.where(labels, np.log(p), np.log1p(-p))
    weights = step.weights.double().numpy()
    viewer = np.broadcast_to(np.arange(len(p))[:, None], p.shape)
    parts = {
        "all": valid,
        "negative": valid & negative,
        "non_negative": valid & ~negative,
        "gallery": valid & gallery,
        "non_negative_gallery": valid & ~negative & gallery,
    }
    for part, rows in parts.items():
        y, q, w = labels[rows], p[rows], weights[rows]
        loss = float((w * losses[rows]).sum() / w.sum())
        base = float((w * y).sum() / w.sum())
        check(f"IsFavorited_{part}_loss", loss)
        gain = metrics.relative_to_base(loss, base) if 0 < base < 1 else None
        check(f"IsFavorited_{part}_RCE", gain)
        check(f"IsFavorited_{part}_calib", metrics.published_calibration(y, q, w))
        check(f"IsFavorited_{part}_ratio_pos", base)
        check(f"IsFavorited_{part}_PRAUC", metrics.pr_auc(y, q))
        if "gallery" not in part:  # there, viewers without any candidate count as well
            order = metrics.ndcg(y, q, viewer[rows], without_positive=1.0)
            check(f"IsFavorited_{part}_NDCG", order)
    for head, name in zip(step.model.config.dwell_heads, ("dt-tw", "dt-mae"), strict=True):
        _reported_seconds(step, head, valid & ~negative, f"{name}_all", check)


def _reported_seconds(
    step: Step,
    head: DwellHead,
    rows: npt.NDArray[np.bool_],
    name: str,
    check: Callable[..., None],
) -> None:
    """Error of one head's seconds beside that of the median."""
    counted = rows & for_surfaces(head, step.surface).numpy()
    secs: npt.NDArray[Any] = step.secs.detach().numpy()[counted]
    target = np.clip(step.target.numpy()[counted], 0, head.scale_secs)
    error = float(np.abs(secs - target).mean())
    baseline = float(np.abs(np.median(target) - target).mean())
    check(f"{name}-mae", error)
    check(f"{name}-baseline-mae", baseline)
    check(f"{name}-rmae", metrics.relative_error(error, baseline))
    explained = metrics.r_squared(target, secs)
    # the published number is a percentage that ends at -100
    check(f"{name}-r-squared", None if explained is None else max(100 * explained, -100.0))


GOLDEN: Final[dict[str, Callable[[Path], Verdict]]] = {
    "aug_ranker_loss_01": ranker_training,
}
"""The check of each golden file of this part, by its stem."""
