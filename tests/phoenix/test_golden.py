"""The published releases' numbers, at the tolerances that came with them."""

from pathlib import Path

import numpy as np
import pytest
from xfeed.conformance.phoenix import GOLDEN

from tests.shared_data import shared_path


@pytest.mark.parametrize("stem", sorted(GOLDEN))
def test_model_reproduces_the_published_numbers(stem: str) -> None:
    passed, expected, got = GOLDEN[stem](shared_path("conformance", "phoenix", f"{stem}.npz"))
    assert passed, f"expected {expected}, got {got}"


@pytest.mark.parametrize(
    ("stem", "name"),
    [
        ("ranker_01_f32_gqa", "out/logits"),
        ("retrieval_01_f32_mlp_tower", "out/user_representation"),
        ("retrieval_01_f32_mlp_tower", "out/top_k_scores_masked"),
        ("hash_01", "nano/raw_author"),
        ("components_01", "rope/y"),
        ("components_01", "mask/seq6_off3"),
        ("components_01", "rope_pos/1/positions"),
    ],
)
def test_a_changed_number_is_noticed(stem: str, name: str, tmp_path: Path) -> None:
    with np.load(shared_path("conformance", "phoenix", f"{stem}.npz")) as archive:
        arrays = {key: archive[key] for key in archive.files}
    arrays[name].flat[0] += 1
    np.savez(tmp_path / "changed.npz", **arrays)
    assert not GOLDEN[stem](tmp_path / "changed.npz")[0]
