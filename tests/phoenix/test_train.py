"""Training learns, repeats itself exactly, and survives bad steps."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from xfeed.actions import INDEX
from xfeed.errors import BundleError
from xfeed.phoenix.config import TrainConfig
from xfeed.phoenix.learning.examples import Examples
from xfeed.phoenix.learning.optimize import Progress
from xfeed.phoenix.learning.tables import RowTable
from xfeed.phoenix.learning.train import fit
from xfeed.phoenix.learning.train_ranker import base_rates
from xfeed.phoenix.learning.train_retrieval import softmax_loss

from tests.phoenix.worlds import World, make_world, small_config, small_fit

QUICK = TrainConfig(
    batch_size=64, retrieval_batch_size=64, retrieval_negatives=8, held_out_fraction=0.2
)


def digest(directory: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in directory.iterdir()
    }


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path, world: World) -> None:
    first = small_fit(tmp_path / "first", world, QUICK)
    second = small_fit(tmp_path / "second", world, QUICK)
    other = small_fit(tmp_path / "other", world, replace(QUICK, seed=1))
    assert digest(tmp_path / "first") == digest(tmp_path / "second")
    assert first.bundle_id == second.bundle_id != other.bundle_id
    assert not set(digest(tmp_path / "first").values()) & set(digest(tmp_path / "other").values())


def test_the_models_learn_what_the_viewers_like(tmp_path: Path) -> None:
    world = make_world(n_posts=120, n_rows=8_000, seed=2)
    train = TrainConfig(
        batch_size=32,
        retrieval_batch_size=32,
        retrieval_negatives=16,
        ranker_epochs=4,
        retrieval_epochs=3,
    )
    report = small_fit(tmp_path / "bundle", world, train)
    favorite = report.ranker.actions["favorite"]
    assert favorite.auc is not None
    assert favorite.post_rate_auc is not None
    assert favorite.viewer_rate_auc is not None
    assert favorite.auc > max(favorite.post_rate_auc, favorite.viewer_rate_auc) + 0.1
    assert favorite.calibration == pytest.approx(1, abs=0.4)
    found, popular = report.retrieval.recall["50"], report.retrieval.popularity_recall["50"]
    assert found is not None
    assert popular is not None
    assert found > popular + 0.1


def test_the_report_is_plain_json_and_says_what_was_done(tmp_path: Path, world: World) -> None:
    seen: list[Progress] = []
    report = fit(
        world.posts, world.interactions, small_config(), QUICK, seen.append, tmp_path / "bundle"
    )
    values = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert values["bundle_id"] == report.bundle_id
    assert values["ranker"]["actions"]["report"]["auc"] is None
    assert report.training_impressions + report.held_out_impressions == int(
        world.interactions.is_impression.sum()
    )
    assert {progress.stage for progress in seen} == {
        "ranker",
        "retrieval",
        "ranker evaluation",
        "retrieval evaluation",
    }
    last = [progress for progress in seen if progress.stage == "ranker"][-1]
    assert last.step == last.n_steps == report.ranker_training.n_steps


def test_the_bytes_do_not_depend_on_the_number_of_threads(tmp_path: Path, world: World) -> None:
    before = torch.get_num_threads()
    try:
        ids = []
        for n_threads in (1, 2):
            torch.set_num_threads(n_threads)
            ids.append(small_fit(tmp_path / str(n_threads), world, QUICK).bundle_id)
            assert torch.get_num_threads() == n_threads
    finally:
        torch.set_num_threads(before)
    assert ids[0] == ids[1]


def test_what_the_callback_raises_ends_the_fit(tmp_path: Path, world: World) -> None:
    n_calls = 0

    def stop(_: Progress) -> None:
        nonlocal n_calls
        n_calls += 1
        if n_calls == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(world.posts, world.interactions, small_config(), QUICK, stop, tmp_path / "bundle")
    assert n_calls == 5
    assert list(tmp_path.iterdir()) == []


def test_everything_can_be_trained_on(tmp_path: Path, world: World) -> None:
    report = small_fit(tmp_path / "bundle", world, replace(QUICK, held_out_fraction=0.0))
    assert report.held_out_impressions == 0
    assert report.cutoff_ms is None
    assert report.ranker.actions["favorite"].auc is None
    assert report.retrieval.recall["10"] is None


def test_a_log_without_any_positive_still_fits(tmp_path: Path, world: World) -> None:
    rows = world.interactions
    quiet = replace(
        rows,
        actions=np.zeros_like(rows.actions),
        dwell_secs=np.zeros_like(rows.dwell_secs),
        acted_ms=np.zeros_like(rows.acted_ms),
    )
    report = small_fit(tmp_path / "bundle", World(world.posts, quiet), QUICK)
    assert report.retrieval_training.n_steps == 0
    assert report.ranker.actions["not_dwelled"].positives == report.held_out_impressions


def test_a_fit_that_ends_not_finite_writes_nothing(
    tmp_path: Path, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def explode(table: RowTable, learning_rate: float) -> None:
        rows = np.full((1, table.table.width), learning_rate * np.inf, dtype=np.float32)
        table.table.core.write(1, rows)

    monkeypatch.setattr(RowTable, "step", explode)
    with pytest.raises(BundleError) as caught:
        small_fit(tmp_path / "bundle", world, QUICK)
    assert caught.value.code == "not_finite"
    assert list(tmp_path.iterdir()) == []


def test_fresh_heads_predict_the_base_rates(world: World) -> None:
    rates = base_rates(Examples.split(world.interactions, 0.1))
    assert ((rates > 0) & (rates < 1)).all()
    share = (world.interactions.actions != 0).mean()
    assert float(rates[INDEX["favorite"]]) == pytest.approx(share, abs=0.05)
    assert float(rates[INDEX["report"]]) < 1e-3


def test_frequent_draws_are_corrected_in_the_softmax() -> None:
    scores = torch.zeros(1, 3)
    target = torch.tensor([0])
    nothing = torch.zeros(1, 3, dtype=torch.bool)
    draws = torch.tensor([1.0, 2.0, 4.0]).log()
    loss = softmax_loss(scores, draws, target, nothing)
    assert float(loss) == pytest.approx(-np.log(1 / (1 + 1 / 2 + 1 / 4)))
    excluded = torch.tensor([[False, False, True]])
    loss = softmax_loss(scores, draws, target, excluded)
    assert float(loss) == pytest.approx(-np.log(1 / (1 + 1 / 2)))
