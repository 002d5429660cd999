"""Checks of the models' parts: hashes, masks, positions, rotation, norm, buckets and sizes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
import torch

from xfeed import _core
from xfeed.conformance.phoenix_differences import Differences, Verdict
from xfeed.conformance.phoenix_files import Archive, read_archive
from xfeed.phoenix import hashes
from xfeed.phoenix.config import PhoenixConfig, ffn_size
from xfeed.phoenix.features import post_age_bucket
from xfeed.phoenix.model.inputs import normalised_dwell
from xfeed.phoenix.model.layer import rms_norm, rotate, rotation
from xfeed.phoenix.model.transformer import Transformer, right_anchored_positions

ROW_OFFSET: Final = 65
"""Rows of the published single table before the first viewer."""


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
    worst = Differences()
    _components_of_attention(z, worst)
    scale, x = torch.from_numpy(z["rms_norm/scale"]), torch.from_numpy(z["rms_norm/x"])
    worst.note("unit_vectors_f32", rms_norm(x, scale).numpy(), z["rms_norm/y"])
    shown, created = (z[f"post_age/{k}_ts"].astype(np.int64) for k in ("impr", "creation"))
    for key in (key for key in z if key.startswith("post_age/bucket_")):
        bucket = post_age_bucket(shown, created, int(key.rsplit("_", 1)[1]))
        worst.note("float64", bucket, z[key])
    for secs in (30, 300):
        for kind in ("lin", "log"):
            n = normalised_dwell(torch.from_numpy(z["dwell/x"]), float(secs), log=kind == "log")
            worst.note("unit_vectors_f32", n.numpy(), z[f"dwell/norm_{secs}_{kind}"])
    sizes = [
        [ffn_size(int(width), float(factor)) for factor in z["ffn_size/widening"]]
        for width in z["ffn_size/emb"]
    ]
    worst.note("float64", np.array(sizes), z["ffn_size/size"])
    return worst.verdict()


def _components_of_attention(z: Archive, worst: Differences) -> None:
    """Rotation, positions and the mask that the split into context and candidates stands for."""
    x = torch.from_numpy(z["rope/x"]).transpose(1, 2)  # (B, heads, T, K)
    default = np.arange(x.shape[2], dtype=np.float32)[None].repeat(x.shape[0], 0)
    for positions, expected in ((z["rope/t"], "y"), (default, "y_default_positions")):
        cos, sin = rotation(torch.from_numpy(positions), x.shape[-1])
        turned = rotate(x, cos[:, None], sin[:, None]).transpose(1, 2)
        worst.note("logits_f32", turned.numpy(), z[f"rope/{expected}"])
    index = 0
    while f"rope_pos/{index}/positions" in z:
        part = f"rope_pos/{index}/"
        prefix, S = int(z[part + "num_user_prefix_tokens"]), int(z[part + "history_seq_len"])
        valid = torch.from_numpy(z[part + "padding_mask"])
        golden = z[part + "positions"]
        worst.note("float64", np.arange(prefix) + 0 * golden[:, :prefix], golden[:, :prefix])
        ours = right_anchored_positions(valid[:, prefix : prefix + S], S, prefix).numpy()
        worst.note("float64", ours, golden[:, prefix : prefix + S])
        after, after_valid = golden[:, prefix + S :], valid[:, prefix + S :].numpy()
        worst.note("float64", np.where(after_valid, prefix + S, 0), after)
        index += 1
    for key in (key for key in z if key.startswith("mask/")):
        T, n_context = (int(part[3:]) for part in key.split("/")[1].split("_"))
        model = Transformer(_tiny(n_context))
        context = model.visible(torch.ones(1, n_context, dtype=torch.bool))[0, 0, 0].numpy()
        ours = np.eye(T, dtype=np.uint8)
        ours[:, :n_context] = 1
        ours[:n_context, :n_context] = context
        worst.note("float64", ours, z[key])


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


GOLDEN: Final[dict[str, Callable[[Path], Verdict]]] = {
    "hash_01": hashing,
    "components_01": components,
}
"""The check of each golden file, by its stem."""
