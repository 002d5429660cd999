"""The published releases' numbers, at the tolerances that came with them."""

from pathlib import Path

import numpy as np
import pytest
from xfeed.conformance.phoenix import GOLDEN

from tests.shared_data import shared_path


@pytest.mark.parametrize("stem", sorted(GOLDEN))
def test_model_reproduces_the_published_numbers(stem: str) -> None:
    # a checkpoint is a folder, everything else one file
    folder = shared_path("conformance", "phoenix")
    path = folder / stem if (folder / stem).is_dir() else folder / f"{stem}.npz"
    passed, expected, got = GOLDEN[stem](path)
    assert passed, f"expected {expected}, got {got}"


def test_every_golden_file_has_a_check() -> None:
    folder = shared_path("conformance", "phoenix")
    found = {path.stem for path in folder.iterdir() if path.is_dir() or path.suffix == ".npz"}
    assert found == set(GOLDEN)


@pytest.mark.parametrize(
    ("stem", "name"),
    [
        ("ranker_01_f32_gqa", "out/logits"),
        ("ranker_02_bf16_gqa", "out/logits"),
        ("retrieval_01_f32_mlp_tower", "out/user_representation"),
        ("retrieval_01_f32_mlp_tower", "out/top_k_scores_masked"),
        ("retrieval_02_bf16_mlp_tower", "out/top_k_scores"),
        ("aug_ranker_01_feature_prep", "out/logits_f64"),
        ("aug_ranker_01_feature_prep", "out/logits_bf16"),
        ("aug_ranker_01_feature_prep", "in/history_seq/post_sids"),
        ("aug_ranker_02_concat_legacy", "out/continuous"),
        ("aug_ranker_02_concat_legacy", "param/~/post_sid_xattn_qkv"),
        ("aug_two_tower_01_concat_mlp", "out/loss"),
        ("aug_two_tower_01_concat_mlp", "out/candidate_representation_head0"),
        ("aug_two_tower_02_combined", "out/topk_type4_scores"),
        ("aug_two_tower_02_combined", "out/stats/immersive/contrastive_loss"),
        ("hash_01", "nano/raw_author"),
        ("components_01", "rope/y"),
        ("components_01", "mask/seq6_off3"),
        ("components_01", "rope_pos/1/positions"),
    ],
)
def test_a_changed_number_is_noticed(stem: str, name: str, tmp_path: Path) -> None:
    folder = shared_path("conformance", "phoenix")
    for path in folder.glob("*_01_*.npz"):
        # checks in bfloat16 read the inputs from the file beside theirs
        (tmp_path / path.name).symlink_to(path)
    with np.load(folder / f"{stem}.npz") as archive:
        arrays = {key: archive[key] for key in archive.files}
    arrays[name] = arrays[name].copy()
    arrays[name].flat[0] += 1
    np.savez(tmp_path / "changed.npz", **arrays)
    assert not GOLDEN[stem](tmp_path / "changed.npz")[0]
