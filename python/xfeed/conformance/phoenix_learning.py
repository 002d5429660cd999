"""Checks of losses, metrics, optimizers and features against numbers of the published releases."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from xfeed.conformance import phoenix_training
from xfeed.conformance.phoenix_differences import Differences, Verdict
from xfeed.conformance.phoenix_files import Archive, read_archive
from xfeed.embeddings import Dtype, EmbeddingTable
from xfeed.phoenix import features
from xfeed.phoenix.input_config import DwellHead
from xfeed.phoenix.learning import metrics
from xfeed.phoenix.learning.contrastive import ContrastiveSettings, contrastive_loss
from xfeed.phoenix.learning.dense_steps import (
    PUBLISHED_BETAS,
    FlatAdamW,
    Muon,
    MuonSettings,
    clip_global_norm,
    decays_beside_muon,
    is_matrix,
)
from xfeed.phoenix.learning.losses import DwellLoss, discrete_loss, dwell_loss
from xfeed.phoenix.learning.row_adagrad import RowAdagrad
from xfeed.phoenix.model.semantic_ids import hash_code

N_STEPS: Final = 3
"""Steps in the file of the optimizers."""


def optimizers(path: Path) -> Verdict:
    """Takes three steps of every optimizer in the file."""
    z = read_archive(path)
    found = Differences()
    dtypes: tuple[Dtype, ...] = ("float32", "bfloat16")
    for rule in ("plain", "halflife_eager_wd", "halflife_lazy_wd"):
        for dtype in dtypes:
            _row_steps(z, rule, dtype, found)
    for kind in ("adamw", "muon_ns_float32", "muon_ns_bfloat16"):
        _dense_steps(z, kind, found)
    return found.verdict()


def _settings(z: Archive, name: str) -> dict[str, Any]:
    """Decodes a block of settings."""
    settings: dict[str, Any] = json.loads(bytes(z[name]))
    return settings


def _row_steps(z: Archive, kind: str, dtype: Dtype, found: Differences) -> None:
    """Row-wise AdaGrad; tables in half precision come out bit by bit."""
    s = _settings(z, f"adagrad/{kind}/settings_json")
    rate = s.pop("learning_rate")
    table = EmbeddingTable.from_array(z["adagrad/table"], dtype)
    optimizer = RowAdagrad(table, **s)
    for step in range(N_STEPS):
        rows, gradients = (z[f"adagrad/step{step}_{part}"] for part in ("rows", "grads"))
        optimizer.step(rows, gradients, rate=rate)
        part = f"adagrad/{kind}/{dtype}"
        limit = "steps_f32" if dtype == "float32" else "exact"
        found.note(limit, table.to_array(), z[f"{part}/table_after_{step}"])
        sums, _ = optimizer.core.state()
        found.note("steps_f32", sums, z[f"{part}/row_sum_sq_after_{step}"])


def _dense_steps(z: Archive, kind: str, found: Differences) -> None:
    """AdamW, and Muon beside AdamW, in float32 or with a half-precision iteration."""
    s = _settings(z, f"dense/{kind}/settings_json")
    start = "dense/param/"
    parameters = {
        name.removeprefix(start): nn.Parameter(torch.from_numpy(z[name].copy()))
        for name in z
        if name.startswith(start)
    }
    multipliers = {name: float(z[f"dense/lr_multiplier/{name}"]) for name in parameters}
    matrices: dict[str, nn.Parameter] = {}
    muon: Muon | None = None
    dtype = torch.float32
    if s["optim"] == "muon":
        matrices = {name: one for name, one in parameters.items() if is_matrix(name, one)}
        dtype = getattr(torch, s["muon_ns_dtype"])
        fused, width = s["muon_split_fused"].split(":")
        settings = MuonSettings(
            s["b1"], s["muon_matrix_weight_decay"], s["muon_consistent_rms"], dtype
        )
        muon = Muon(
            matrices,
            settings,
            columns=lambda name: int(width) if fused in name else None,
            multipliers=multipliers,
        )
    adam = FlatAdamW(
        {name: one for name, one in parameters.items() if name not in matrices},
        s["adam_embedding_weight_decay"] if muon else s["weight_decay"],
        decays=decays_beside_muon if muon else lambda _, __: True,
        betas=PUBLISHED_BETAS,
        multipliers=multipliers,
        first_moment=dtype,
    )
    for step in range(N_STEPS):
        for name, one in parameters.items():
            assert one.grad is not None
            one.grad.copy_(torch.from_numpy(z[f"dense/grad{step}/{name}"]))
        clip_global_norm([one.grad for one in parameters.values() if one.grad is not None], 1.0)
        adam.step(s["lr"])
        if muon is not None:
            muon.step(s["lr"])
        for name, one in parameters.items():
            got, expected = one.detach().numpy(), z[f"dense/{kind}/after_{step}/{name}"]
            if dtype == torch.bfloat16 and name in matrices:
                # in units of one step, since rounding moves a step and steps differ in size
                size = s["lr"] * multipliers[name] * (step + 1)
                found.note("muon_bf16", got / size, expected / size)
            else:
                found.note("steps_f32", got, expected)


def losses(path: Path) -> Verdict:
    """Computes every loss and metric in the file, with gradients where it has some."""
    z = read_archive(path)
    found = Differences()
    _discrete_losses(z, found)
    _dwell_losses(z, found)
    _metrics(z, found)
    for case in range(4):
        _contrastive_losses(z, f"contrastive/{case}/", found)
    return found.verdict()


def _discrete_losses(z: Archive, found: Differences) -> None:
    """Binary cross-entropy with and without weights."""
    labels = torch.from_numpy(z["bce/targets"]).float()
    for kind in ("unweighted", "weighted"):
        logits = torch.from_numpy(z["bce/logits"]).requires_grad_()
        loss = discrete_loss(
            logits,
            labels,
            torch.from_numpy(z["bce/padding_mask"]),
            loss_mask=torch.from_numpy(z["bce/loss_mask"]),
            weights=torch.from_numpy(z["bce/raw_weights"]) if kind == "weighted" else None,
        )
        (gradient,) = torch.autograd.grad(loss, logits)
        found.note("losses_f32", loss.detach().numpy(), z[f"bce/out_{kind}"])
        found.note("losses_f32", gradient.numpy(), z[f"bce/out_{kind}_grad"])


def _dwell_losses(z: Archive, found: Differences) -> None:
    """Every kind of dwell loss; Tweedie's predictions are seconds with a scale of 300."""
    secs, valid, negative, weights = (
        torch.from_numpy(z[f"cont/{name}"])
        for name in ("gt_raw", "valid_mask", "negative_sample_mask", "raw_weights")
    )

    def check(name: str, prediction: str, loss: DwellLoss, scale_secs: float) -> None:
        head = DwellHead(1, "sigmoid", scale_secs)
        for kind in ("unweighted", "weighted"):
            got = dwell_loss(
                torch.from_numpy(z[prediction]),
                secs,
                valid,
                loss,
                head,
                negative=negative,
                weights=weights if kind == "weighted" else None,
            )
            expected = z[f"{name}_{kind}"]
            found.note("losses_relative", got.numpy() / expected, np.ones_like(expected))

    for kind in ("mae", "mse", "huber"):
        for keep in (False, True):
            loss = DwellLoss(kind, keep_negatives=keep)
            check(f"cont/out_{kind}_{'keep' if keep else 'mask'}neg", "cont/pred_raw", loss, 30.0)
    for power in (1.0, 1.3, 1.5, 2.0):
        loss = DwellLoss("tweedie", tweedie_power=power)
        check(f"tweedie/out_p{power}", "tweedie/pred_raw", loss, 300.0)


def _metrics(z: Archive, found: Differences) -> None:
    """Every metric over the valid candidates."""
    valid = z["metric/mask"] > 0
    group = np.broadcast_to(np.arange(len(valid))[:, None], valid.shape)[valid]
    p, labels = z["metric/p"][valid], z["metric/y"][valid] > 0
    values = {
        "loss": metrics.log_loss(labels, p),
        "rce": metrics.relative_cross_entropy(labels, p),
        "ndcg": metrics.ndcg(labels, p, group, without_positive=1.0),
        "ratio_pos": metrics.positive_ratio(labels),
        "calib": metrics.published_calibration(labels, p),
        "prauc": metrics.pr_auc(labels, p),
    }
    for name, value in values.items():
        expected = z[f"metric/out_{name}"]
        got = np.asarray(np.nan if value is None else value)
        found.note("losses_relative", got / expected, np.ones_like(expected))


def _contrastive_losses(z: Archive, part: str, found: Differences) -> None:
    """One contrastive loss and its gradients."""
    s = _settings(z, part + "settings_json")
    settings = ContrastiveSettings(
        n_own=s["candidate_seq_len"],
        in_batch=s["use_in_batch_negatives"],
        log_q_scale=s["logq_correction_scale"],
        positive=tuple(s["positive"]),
        hard_negative=tuple(s["hard_negative"]),
        soft_negative=tuple(s["soft_negative"]),
        self_terms=s["apply_u2u_and_i2i"],
        fake_positives=s["enable_fake_positives"],
    )
    viewers, candidates = (
        torch.from_numpy(z[part + name]).requires_grad_() for name in ("user", "candidates")
    )
    temperature = torch.tensor(s["temperature"], requires_grad=True)
    got = contrastive_loss(
        viewers,
        candidates,
        torch.from_numpy(z[part + "post_hashes"])[..., 0],
        torch.from_numpy(z[part + "actions"]),
        temperature,
        settings,
    )
    gradients = torch.autograd.grad(got.loss, (viewers, candidates, temperature))
    found.note("losses_f32", got.loss.detach().numpy(), z[part + "out_loss"])
    found.note("exact", np.asarray(got.n_positives), z[part + "out_num_valid_positives"])
    names = ("user", "candidates", "temperature")
    for name, gradient in zip(names, gradients, strict=True):
        expected = z[f"{part}out_grad_{name}"]
        largest = np.abs(expected).max()
        found.note("losses_f32", gradient.numpy() / largest, expected / largest)


def data_features(path: Path) -> Verdict:
    """Recomputes every derived column in the file; all are whole numbers."""
    z = read_archive(path)
    found = Differences()

    def whole(name: str) -> npt.NDArray[np.int64]:
        return z[name].astype(np.int64)

    hour, weekday = features.local_time(
        whole("local_time/impression_ms"), whole("local_time/timezone")
    )
    found.note("exact", hour, whole("local_time/hour_plus1"))
    found.note("exact", weekday, whole("local_time/dow_plus1"))
    created = features.snowflake_secs(whole("snowflake/id"))
    found.note("exact", created, whole("snowflake/creation_ts_sec"))
    unexplored = features.is_unexplored(
        z["unexplored/followers"],
        z["unexplored/views"],
        whole("unexplored/impression_ts"),
        whole("unexplored/creation_ts"),
        whole("unexplored/in_reply_to") != 0,
    )
    found.note("exact", unexplored.astype(np.int64), whole("unexplored/label"))
    for name in (name for name in z if name.startswith("engagement_bucket/max")):
        last = int(name.removeprefix("engagement_bucket/max"))
        bucket = features.count_bucket(whole("engagement_bucket/raw"), last)
        found.note("exact", bucket, whole(name))
    row, first = whole("sid_hash/post_row"), whole("sid_hash/first_sid")
    code = hash_code(torch.from_numpy(row), torch.from_numpy(first), 256)
    found.note("exact", code.numpy(), whole("sid_hash/code_256"))
    age = features.post_age_log_bucket(
        whole("post_age_log/impr_ts"), whole("post_age_log/creation_ts"), 80
    )
    found.note("exact", age, whole("post_age_log/bucket_80"))
    fitted = features.fit_budget(
        whole("fit_budget/in"), 45, int(z["fit_budget/lo"]), int(z["fit_budget/hi"])
    )
    found.note("exact", fitted, whole("fit_budget/out_sum45"))
    return found.verdict()


GOLDEN: Final[dict[str, Callable[[Path], Verdict]]] = {
    "aug_data_01": data_features,
    "aug_losses_01": losses,
    "aug_optim_01": optimizers,
    **phoenix_training.GOLDEN,
}
"""The check of each golden file of this part, by its stem."""
