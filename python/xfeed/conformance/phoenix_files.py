"""Reads golden files of the models: configuration, parameters and inputs in our terms."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from xfeed.phoenix import hashes
from xfeed.phoenix.config import PhoenixConfig
from xfeed.phoenix.features import post_age_bucket
from xfeed.phoenix.model.inputs import CandidateInputs, HistoryInputs, PostInputs

Archive = dict[str, npt.NDArray[Any]]


def read_archive(path: Path) -> Archive:
    """All arrays of a golden file."""
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def settings_of(z: Archive) -> dict[str, Any]:
    """Sizes and switches of a golden file."""
    settings: dict[str, Any] = json.loads(bytes(z["config_json"]))
    return settings


def config_of(z: Archive, *, retrieval: bool) -> PhoenixConfig:
    """Our configuration of the published model in a golden file."""
    s = settings_of(z)
    january = not retrieval and "out/continuous_preds" not in z

    def hashed(maker: Callable[[int], hashes.HashConfig], n_functions: int) -> hashes.HashConfig:
        one = maker(2)
        repeat = (one.scales * n_functions)[:n_functions], (one.biases * n_functions)[:n_functions]
        return hashes.HashConfig(*repeat, one.modulus, 2)

    n_addresses = s.get("num_ip_hashes", 0)
    return PhoenixConfig(
        emb_size=s["emb_size"],
        table_width=s["emb_size"],
        n_layers=s["num_layers"],
        n_query_heads=s["num_q_heads"],
        n_kv_heads=s["num_kv_heads"],
        key_size=s["key_size"],
        history_len=s["history_seq_len"],
        widening_factor=s["widening_factor"],
        user=hashed(hashes.user_hash, s["num_user_hashes"]),
        item=hashed(hashes.item_hash, s["num_item_hashes"]),
        author=hashed(hashes.author_hash, s["num_author_hashes"]),
        address=hashed(hashes.address_hash, n_addresses) if n_addresses else None,
        n_actions=s["num_actions"],
        n_continuous=0 if january else s["num_continuous_actions"],
        positions="right_anchored" if s.get("right_anchored_rope") else "slot",
        attention_multiplier=s["attn_output_multiplier"],
        n_surfaces=s["product_surface_vocab_size"],
        post_age_granularity_mins=s.get("post_age_granularity_mins", 60),
        post_age_input=not january,
        dwell_input=not january and not retrieval,
        dwell_hidden=s.get("continuous_action_hidden_dim", 64),
        dwell_scale_secs=s.get("dwell_norm_scale", 30.0),
        dwell_log=s.get("dwell_use_log", False),
        candidate_tower="mlp" if s.get("enable_linear_proj", True) else "mean",
    )


def parameters_of(z: Archive, dtype: torch.dtype) -> dict[str, Tensor]:
    """Parameters by published path."""
    return {
        name.removeprefix("param/"): torch.from_numpy(values).to(dtype)
        for name, values in z.items()
        if name.startswith("param/")
    }


def inputs_of(z: Archive, dtype: torch.dtype) -> tuple[PostInputs, HistoryInputs, CandidateInputs]:
    """The golden inputs; every position counts as a post of its own."""

    def floats(name: str) -> Tensor:
        return torch.from_numpy(z[f"in/{name}"]).to(dtype)

    def whole(name: str) -> Tensor:
        return torch.from_numpy(z[f"in/{name}"].astype(np.int64))

    B, S = z["in/history_post_hashes"].shape[:2]
    C = z["in/candidate_post_hashes"].shape[1]
    rows = {
        kind: torch.cat(
            [floats(f"{side}_{kind}_embeddings").flatten(2).flatten(0, 1) for side in _SIDES]
        )
        for kind in ("post", "author")
    }
    posts = PostInputs(rows["post"], rows["author"])
    dwell = floats("history_continuous_actions")[..., 1] if _has(z, "continuous_actions") else None
    history = HistoryInputs(
        user_rows=floats("user_embeddings").flatten(1),
        user_valid=whole("user_hashes")[:, 0] != 0,
        post=torch.arange(B * S).view(B, S),
        valid=whole("history_post_hashes")[..., 0] != 0,
        actions=floats("history_actions"),
        surface=whole("history_product_surface"),
        dwell_secs=dwell,
        address_rows=floats("user_ip_embeddings") if "in/user_ip_embeddings" in z else None,
    )
    age = None
    if "in/candidate_impr_ts" in z:
        shown, created = (z[f"in/candidate_{k}_ts"] for k in ("impr", "post_creation"))
        granularity = settings_of(z)["post_age_granularity_mins"]
        bucket = post_age_bucket(shown.astype(np.int64), created.astype(np.int64), granularity)
        age = torch.from_numpy(bucket)
    post = B * S + torch.arange(B * C).view(B, C)
    return posts, history, CandidateInputs(post, whole("candidate_product_surface"), age)


_SIDES: Final = ("history", "candidate")


def _has(z: Archive, name: str) -> bool:
    """Whether the history has an input."""
    return f"in/history_{name}" in z
