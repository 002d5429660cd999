"""Heads and columns: what a model says, and what it does not say."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from xfeed.actions import ACTIONS, INDEX, N_DISCRETE
from xfeed.errors import BundleError
from xfeed.phoenix.batch import InteractionColumns, PostColumns
from xfeed.phoenix.bundles.read import read_bundle
from xfeed.phoenix.runtime import Phoenix
from xfeed.phoenix.runtime.heads import HeadMap

from tests.phoenix.worlds import HOUR_MS, START_MS, World, make_posts

pytestmark = pytest.mark.usefixtures("one_thread")

NOW_MS = START_MS + 200 * HOUR_MS


def test_heads_fill_the_columns_of_their_names() -> None:
    heads = HeadMap.of(("2", "reply", "favorite", "17"), 1)
    chances = torch.tensor([[0.1, 0.2, 0.3, 0.4]])
    out = heads.spread(torch.logit(chances), torch.tensor([[5.0, 6.0]]))
    assert out.shape == (1, len(ACTIONS))
    expected = {"reply": 0.2, "favorite": 0.3, "dwell_time": 6.0}
    for name, row in INDEX.items():
        if name in expected:
            assert out[0, row] == pytest.approx(expected[name], rel=1e-6)
            assert heads.filled[row]
        else:
            assert np.isnan(out[0, row])
            assert not heads.filled[row]


def test_log_odds_of_any_size_are_probabilities() -> None:
    heads = HeadMap.of(("favorite", "reply", "quote", "click", "share", "report"), None)
    logits = torch.tensor([[0.0, 200.0, -200.0, np.inf, -np.inf, np.nan]])
    out = heads.spread(logits, torch.zeros(1, 0))[0]
    names = ("favorite", "reply", "quote", "click", "share")
    assert [out[INDEX[name]] for name in names] == [0.5, 1, 0, 1, 0]
    assert np.isnan(out[INDEX["report"]])
    spaced = torch.linspace(-20, 20, 600).view(100, 6)
    expected = torch.sigmoid(spaced.double()).numpy()[:, 0]
    np.testing.assert_allclose(
        heads.spread(spaced, torch.zeros(100, 0))[:, INDEX["favorite"]], expected, rtol=5e-7
    )


def test_actions_are_read_in_the_order_of_the_heads() -> None:
    heads = HeadMap.of(("2", "reply", "favorite", "report"), None)
    bits = np.array(
        [
            0,
            1 << INDEX["favorite"],
            1 << INDEX["reply"] | 1 << INDEX["report"],
            1 << INDEX["quote"],
        ],
        dtype=np.uint64,
    )
    assert heads.multi_hot(bits).tolist() == [
        [0, 0, 0, 0], [0, 0, 1, 0], [0, 1, 0, 1], [0, 0, 0, 0],
    ]  # fmt: skip


def test_all_bits_come_back() -> None:
    heads = HeadMap.of(tuple(action.name for action in ACTIONS[:N_DISCRETE]), 0)
    bits = np.random.default_rng(0).integers(0, 2**N_DISCRETE, 50).astype(np.uint64)
    back = heads.multi_hot(bits).numpy().astype(np.uint64) << np.arange(N_DISCRETE, dtype=np.uint64)
    np.testing.assert_array_equal(back.sum(axis=1), bits)


@pytest.mark.parametrize("names", [("2", "3"), (), ("favorite", "favorite"), ("dwell_time",)])
def test_heads_that_say_nothing_or_the_same_are_refused(names: tuple[str, ...]) -> None:
    with pytest.raises(BundleError):
        HeadMap.of(names, None)


def test_a_model_with_other_heads_serves(bundle_dir: Path, world: World) -> None:
    """The heads of an imported release: some of ours are missing, some of theirs unknown."""
    bundle = read_bundle(bundle_dir)
    config = replace(bundle.config, n_actions=3, affinity_input=False, n_continuous=2)
    keep = [0, 5, 3]
    ranker = {
        name: values for name, values in bundle.ranker.items() if not name.startswith("model.affin")
    }
    for name, axis in (("action_heads", 1), ("action_bias", 0)):
        ranker[f"model.{name}"] = np.take(ranker[f"model.{name}"], keep, axis=axis)
    for name in ("continuous_heads", "continuous_bias"):
        ranker[f"model.{name}"] = ranker[f"model.{name}"][..., :2].copy()
    name = "model.context_tokens.action_projection"
    ranker[name] = ranker[name][keep]
    retrieval_config = replace(config, history_len=3, history_pool=False)
    retrieval = {k: v for k, v in bundle.retrieval.items() if k != "model.pool_weights"}
    retrieval[name] = retrieval[name][keep]
    other = replace(
        bundle,
        config=config,
        ranker=ranker,
        retrieval_config=retrieval_config,
        retrieval=retrieval,
        actions=("favorite", "2", "quote"),
        origin="published-import",
    )
    phoenix = Phoenix(other)
    history = world.interactions.take(world.interactions.viewer_key == 7)
    posts = make_posts(20, np.random.default_rng(5))
    out = phoenix.predict(7, history, world.posts, posts, 1, NOW_MS)
    predicted = np.asarray(np.isfinite(out).all(axis=0))
    names = [action.name for action, there in zip(ACTIONS, predicted, strict=True) if there]
    assert names == ["favorite", "quote", "dwell_time"]
    assert np.isnan(out[:, ~predicted]).all()
    assert phoenix.n_not_finite == 0
    assert phoenix.user_vector(7, history, world.posts, NOW_MS).shape == (config.emb_size,)
    empty = InteractionColumns.zeros(0)
    assert np.isfinite(phoenix.user_vector(0, empty, PostColumns.zeros(0), NOW_MS)).all()
