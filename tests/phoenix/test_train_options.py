"""Profiles, options of training, and the comparison with the bundle that serves."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from xfeed.actions import ACTIONS, INDEX, N_DISCRETE
from xfeed.errors import ConfigError
from xfeed.phoenix.bundles.read import read_bundle
from xfeed.phoenix.config import TrainConfig
from xfeed.phoenix.learning.batching import Batch, Batcher
from xfeed.phoenix.learning.examples import Examples
from xfeed.phoenix.learning.tables import TrainingTables
from xfeed.phoenix.learning.train import fit
from xfeed.phoenix.learning.train_ranker import ranker_loss, with_negatives
from xfeed.phoenix.learning.train_retrieval import without_history
from xfeed.phoenix.model.ranker import Scores
from xfeed.phoenix.profiles import for_training
from xfeed.training import is_worse

from tests.phoenix.worlds import World, make_world, small_config, small_fit

QUICK = TrainConfig(
    batch_size=64, retrieval_batch_size=64, retrieval_negatives=8, held_out_fraction=0.2
)


@pytest.mark.parametrize("name", ["tiny", "tiny-prod"])
def test_every_profile_can_be_trained(tmp_path: Path, world: World, name: str) -> None:
    preset = for_training(name)
    report = fit(
        world.posts,
        world.interactions,
        preset.ranker,
        replace(QUICK, activation_weight=1e-4),
        lambda _: None,
        tmp_path / "bundle",
        retrieval_config=preset.retrieval,
    )
    assert report.ranker_training.n_skipped == report.retrieval_training.n_skipped == 0
    assert report.ranker_training.loss is not None
    assert report.retrieval_training.loss is not None
    bundle = read_bundle(tmp_path / "bundle")
    assert (bundle.config, bundle.retrieval_config) == (preset.ranker, preset.retrieval)


def test_a_preset_that_does_not_fit_into_memory_is_refused(tmp_path: Path, world: World) -> None:
    preset = for_training("prod")
    with pytest.raises(ConfigError) as caught:
        small_fit(tmp_path / "bundle", world, QUICK, preset.ranker)
    assert caught.value.code == "too_large"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"optimizer": "muon", "dense_lr": 1.5e-2},
        {"sampled_negatives": True},
        {"table_half_life_steps": 20.0, "table_lazy_decay": True, "table_weight_decay": 1e-3},
    ],
    ids=["muon", "negatives", "forgetting tables"],
)
def test_the_ranker_learns_with_every_option(tmp_path: Path, changes: dict[str, Any]) -> None:
    train = TrainConfig(batch_size=32, ranker_epochs=4, retrieval_epochs=0, **changes)
    report = small_fit(tmp_path / "bundle", make_world(120, 6_000, seed=2), train)
    assert report.ranker_training.n_skipped == 0
    favorite = report.ranker.actions["favorite"]
    assert favorite.auc is not None
    assert favorite.auc > 0.6
    assert favorite.rce is not None
    assert favorite.ndcg is not None
    assert favorite.pr_auc is not None


def test_the_towers_learn_by_muon_and_with_cold_starts(tmp_path: Path) -> None:
    train = TrainConfig(
        ranker_epochs=0,
        retrieval_epochs=2,
        retrieval_batch_size=32,
        retrieval_negatives=16,
        optimizer="muon",
        cold_start_dropout=0.2,
        log_q_scale=1.5,
    )
    report = small_fit(tmp_path / "bundle", make_world(120, 6_000, seed=2), train)
    assert report.retrieval_training.n_skipped == 0
    found, popular = report.retrieval.recall["50"], report.retrieval.popularity_recall["50"]
    assert found is not None
    assert popular is not None
    assert found > popular + 0.1


def make_batch(world: World, n_samples: int) -> Batch:
    config = small_config()
    examples = Examples.split(world.interactions, 0.1)
    tables = TrainingTables.fresh(
        config, world.posts, TrainConfig(), torch.Generator().manual_seed(0)
    )
    samples = examples.training_samples(4, np.random.default_rng(0))
    rows = np.linspace(0, len(samples) - 1, n_samples).astype(np.int64)
    return Batcher(config, world.posts, examples, tables).batch(samples.take(rows))


def test_sampled_negatives_are_another_viewer_s_candidates(world: World) -> None:
    batch = make_batch(world, 24)
    C = batch.candidate_valid.shape[1]
    wider, negative = with_negatives(batch, np.random.default_rng(3))
    assert wider.candidate_valid.shape == (24, 2 * C)
    assert not negative[:, :C].any()
    assert negative[:, C:].all()
    assert torch.equal(wider.candidates.post[:, :C], batch.candidates.post)
    assert torch.equal(wider.labels[:, :C], batch.labels)
    labels = wider.labels[:, C:]
    assert labels[..., INDEX["not_dwelled"]].all()
    assert labels.sum() == labels.shape[0] * labels.shape[1]
    for row in range(24):
        donors = (batch.candidates.post == wider.candidates.post[row, C:]).all(1).nonzero()
        assert any(batch.viewer_key[int(donor)] != batch.viewer_key[row] for donor in donors)


def test_a_batch_of_one_viewer_has_no_negatives(world: World) -> None:
    batch = make_batch(world, 24)
    alone = replace(batch, viewer_key=np.full_like(batch.viewer_key, 7))
    wider, negative = with_negatives(alone, np.random.default_rng(3))
    assert not (wider.candidate_valid & negative).any()


def test_sampled_negatives_teach_no_rejections(world: World) -> None:
    batch = make_batch(world, 24)
    wider, negative = with_negatives(batch, np.random.default_rng(3))
    shape = (*wider.candidate_valid.shape, len(ACTIONS))
    logits = torch.zeros(shape, requires_grad=True)
    scores = Scores(
        logits[..., :N_DISCRETE], logits[..., N_DISCRETE:].sigmoid(), torch.zeros(*shape[:2], 1)
    )
    ranker_loss(scores, wider, small_config(), TrainConfig(), negative).backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    learned = logits.grad[negative & wider.candidate_valid]
    assert not learned[:, INDEX["report"]].any()
    assert learned[:, INDEX["favorite"]].all()
    assert not learned[:, N_DISCRETE:].any()  # nor seconds


def test_a_cold_start_blanks_row_and_history_of_some_viewers(world: World) -> None:
    history = make_batch(world, 24).history
    cold = torch.arange(24) % 2 == 0
    blank = without_history(history, cold)
    assert not blank.user_rows[cold].any()
    assert not blank.valid[cold].any()
    assert blank.user_valid.all()
    assert torch.equal(blank.valid[~cold], history.valid[~cold])


def test_a_bundle_is_measured_again_on_the_same_impressions(tmp_path: Path, world: World) -> None:
    first = small_fit(tmp_path / "first", world, QUICK)
    second = fit(
        world.posts, world.interactions, small_config(), replace(QUICK, seed=1), lambda _: None,
        tmp_path / "second", rival=tmp_path / "first",
    )  # fmt: skip
    assert second.rival_id == "first"
    assert second.rival_loss == pytest.approx(first.ranker.loss, rel=1e-6)


def test_a_damaged_bundle_is_no_rival(tmp_path: Path, world: World) -> None:
    small_fit(tmp_path / "first", world, QUICK)
    (tmp_path / "first" / "manifest.json").write_text("{}")
    report = fit(
        world.posts, world.interactions, small_config(), QUICK, lambda _: None,
        tmp_path / "second", rival=tmp_path / "first",
    )  # fmt: skip
    assert report.rival_loss is None
    assert not is_worse(report, 0.0)


def test_worse_is_more_than_the_loss_allowed(tmp_path: Path, world: World) -> None:
    report = small_fit(tmp_path / "bundle", world, QUICK)
    loss = report.ranker.loss
    assert loss is not None
    rival = replace(report, rival_id="before", rival_loss=loss / 1.05)
    assert is_worse(rival, 0.02)
    assert not is_worse(rival, 0.06)
    assert not is_worse(replace(rival, rival_loss=loss * 2), 0.0)
    lost = replace(rival, ranker=replace(report.ranker, loss=float("nan")))
    assert is_worse(lost, 10.0)
