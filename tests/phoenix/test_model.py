"""Properties of the forward pass, on random weights."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from xfeed.actions import INDEX
from xfeed.errors import BundleError, ConfigError
from xfeed.phoenix.config import PhoenixConfig, TrainConfig
from xfeed.phoenix.features import duration_bucket, hour_of_day, media_index, post_age_bucket
from xfeed.phoenix.hashes import HashConfig
from xfeed.phoenix.learning.batching import Batch, Batcher
from xfeed.phoenix.learning.examples import Examples
from xfeed.phoenix.learning.optimize import initialise
from xfeed.phoenix.learning.tables import TrainingTables
from xfeed.phoenix.model.affinity import matches
from xfeed.phoenix.model.inputs import PostKeys
from xfeed.phoenix.model.ranker import Ranker
from xfeed.phoenix.published.may import load_published

from tests.phoenix.worlds import World, make_world, small_config


def build(config: PhoenixConfig, world: World, n_candidates: int = 5) -> tuple[Ranker, Batch]:
    """A random ranker and eight samples."""
    generator = torch.Generator().manual_seed(1)
    model = Ranker(config)
    initialise(model, generator)
    with torch.no_grad():
        model.action_heads.mul_(10)
    examples = Examples.split(world.interactions, 0.1)
    tables = TrainingTables.fresh(config, world.posts, TrainConfig(table_init_std=1.0), generator)
    samples = examples.training_samples(n_candidates, np.random.default_rng(0))
    chosen = samples.take(np.flatnonzero(samples.count == n_candidates)[::5][:8])
    return model, Batcher(config, world.posts, examples, tables).batch(chosen)


def scores(model: Ranker, batch: Batch) -> torch.Tensor:
    with torch.inference_mode():
        logits: torch.Tensor = model(batch.posts, batch.history, batch.candidates).logits
    return logits


@pytest.mark.parametrize("positions", ["slot", "right_anchored"])
@pytest.mark.parametrize("attention", ["causal", "bidirectional"])
def test_padding_has_no_effect(world: World, positions: Any, attention: Any) -> None:
    config = small_config(positions=positions, history_attention=attention)
    model, batch = build(config, world)
    plain = scores(model, batch)
    pad = (0, 3)
    history = batch.history
    assert history.dwell_secs is not None
    longer = replace(
        history,
        post=torch.nn.functional.pad(history.post, pad, value=7),
        valid=torch.nn.functional.pad(history.valid, pad),
        actions=torch.nn.functional.pad(history.actions, (0, 0, *pad), value=1.0),
        surface=torch.nn.functional.pad(history.surface, pad, value=2),
        dwell_secs=torch.nn.functional.pad(history.dwell_secs, pad, value=9.0),
    )
    torch.testing.assert_close(
        scores(model, replace(batch, history=longer)), plain, atol=1e-5, rtol=0
    )


def test_history_is_read(world: World) -> None:
    model, batch = build(small_config(), world)
    for column in ("actions", "surface", "dwell_secs", "post"):
        values = getattr(batch.history, column)
        changed = replace(batch.history, **{column: values.flip(0)})
        difference = scores(model, replace(batch, history=changed)) - scores(model, batch)
        assert difference.abs().max() > 1e-3, column


def test_candidate_inputs_are_read(world: World) -> None:
    model, batch = build(small_config(), world)
    for column in ("post", "surface", "hour", "post_age"):
        values = getattr(batch.candidates, column)
        other = values.flip(0) if column == "post" else values + 1
        changed = replace(batch.candidates, **{column: other})
        difference = scores(model, replace(batch, candidates=changed)) - scores(model, batch)
        assert difference.abs().max() > 1e-3, column


def test_a_candidate_is_not_seen_by_its_neighbours(world: World) -> None:
    model, batch = build(small_config(), world)
    plain = scores(model, batch)
    post = batch.candidates.post.clone()
    post[:, 2] = (post[:, 2] + 1) % len(batch.post_row)
    changed = scores(model, replace(batch, candidates=replace(batch.candidates, post=post)))
    torch.testing.assert_close(changed[:, [0, 1, 3, 4]], plain[:, [0, 1, 3, 4]], atol=1e-5, rtol=0)
    assert (changed[:, 2] - plain[:, 2]).abs().max() > 1e-3


def test_slots_matter_only_where_positions_follow_them(world: World) -> None:
    for positions, moves in (("slot", True), ("right_anchored", False)):
        model, batch = build(small_config(positions=positions), world)
        with torch.inference_mode():
            context = model.encode_context(batch.posts, batch.history)
            first, later = (
                model.score_candidates(context, batch.posts, batch.candidates, slot).logits
                for slot in (0, 9)
            )
        assert ((first - later).abs().max() > 1e-4) == moves


def test_the_order_of_history_matters(world: World) -> None:
    model, batch = build(small_config(affinity_input=False), world)
    full = batch.history.valid.all(1)
    assert full.any()
    turned = replace(batch.history, post=batch.history.post.flip(1))
    difference = scores(model, replace(batch, history=turned)) - scores(model, batch)
    assert difference[full].abs().max() > 1e-3


def test_matches_are_exact() -> None:
    model, batch = build(small_config(), make_world(n_posts=16))
    history, keys = batch.history, batch.posts.keys
    with torch.inference_mode():
        context = model.encode_context(batch.posts, history)
    assert context.history is not None
    assert keys is not None
    found = matches(context.history.keys, keys.take(batch.candidates.post))
    found = found * history.valid[:, None, None]
    for b in range(len(history.valid)):
        for c, place in enumerate(batch.candidates.post[b]):
            seen = history.post[b]
            expected = (seen == place, keys.author[seen] == keys.author[place])
            shared = keys.topics[seen][:, 0] == keys.topics[place][0]
            for kind, same in enumerate((*expected, shared, torch.ones_like(shared))):
                assert torch.equal(found[b, c, kind], (same & history.valid[b]).float())
    assert found[:, :, 0].any()
    assert not torch.equal(found[:, :, 0], found[:, :, 1])


def test_unknown_keys_match_nothing(world: World) -> None:
    model, batch = build(small_config(), world)
    assert batch.posts.keys is not None
    keys = batch.posts.keys
    unknown = PostKeys(
        torch.zeros_like(keys.post), torch.zeros_like(keys.author), torch.zeros_like(keys.topics)
    )
    found = matches(unknown.take(batch.history.post), unknown.take(batch.candidates.post))
    assert not found[:, :, :3].any()
    assert found[:, :, 3].all()
    assert model.affinity is not None


def test_affinity_is_the_smoothed_log_lift_over_the_usual_rate(world: World) -> None:
    model, batch = build(small_config(), world)
    assert model.affinity is not None
    assert batch.posts.keys is not None
    head = INDEX["favorite"]
    with torch.no_grad():
        model.affinity.usual_rates.fill_(0.25)
        model.affinity.own_action.zero_()
        model.affinity.own_action[3, head] = 2.0
        context = model.encode_context(batch.posts, batch.history)
        assert context.history is not None
        keys = batch.posts.keys.take(batch.candidates.post)
        _, logits = model.affinity(context.history, keys)
    n_valid = batch.history.valid.sum(1)
    liked = (batch.history.actions[..., head] * batch.history.valid).sum(1)
    expected = 2.0 * ((liked + 2.5) / ((n_valid + 10) * 0.25)).log()
    torch.testing.assert_close(logits[..., head], expected[:, None].expand(-1, 5))
    assert not logits[..., head + 1].any()


def test_buckets_cover_their_edges() -> None:
    duration = np.array([0, -5, 1, 1_000, 1_001, 2_000, 2_001, 2**31 - 1], dtype=np.int32)
    assert duration_bucket(duration).tolist() == [0, 0, 1, 1, 2, 2, 3, 15]
    assert media_index(np.array([0, 4, 5, 255], dtype=np.uint8)).tolist() == [0, 4, 0, 0]
    hours = hour_of_day(np.array([0, 1, 3_600_000, 24 * 3_600_000]))
    assert hours.tolist() == [0, 1, 2, 1]
    age = post_age_bucket(np.array([7_200, 60, 0, 10**9]), np.array([3_600, 120, 5, 1]), 60)
    assert age.tolist() == [2, 0, 0, 81]


def test_configurations_survive_json_and_unknown_keys_are_refused() -> None:
    for config in (PhoenixConfig.demo(), PhoenixConfig.published_mini(), small_config()):
        assert PhoenixConfig.from_json(config.to_json()) == config
    assert TrainConfig.from_json(TrainConfig(seed=3).to_json()) == TrainConfig(seed=3)
    with pytest.raises(ConfigError, match="surprise"):
        PhoenixConfig.from_json(PhoenixConfig.demo().to_json() | {"surprise": 1})
    values = PhoenixConfig.demo().to_json()
    del values["emb_size"]
    with pytest.raises(ConfigError, match="emb_size"):
        PhoenixConfig.from_json(values)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("emb_size", "48"),
        ("emb_size", 0),
        ("key_size", 7),
        ("n_kv_heads", 3),
        ("positions", "circle"),
        ("post_features", 1),
        ("topic", None),
        ("user", {"scales": [1]}),
    ],
)
def test_values_of_the_wrong_kind_are_refused(key: str, value: Any) -> None:
    with pytest.raises(ConfigError):
        PhoenixConfig.from_json(PhoenixConfig.demo().to_json() | {key: value})


def test_a_hash_needs_a_bias_for_each_scale() -> None:
    with pytest.raises(ConfigError, match="biases"):
        HashConfig((1, 2), (1,), 7, 9)
    with pytest.raises(ConfigError, match="rows"):
        HashConfig((1,), (1,), 7, 1)
    with pytest.raises(ConfigError, match="held_out_fraction"):
        TrainConfig(held_out_fraction=1.0)


def test_published_parameters_fit_only_the_published_shape(world: World) -> None:
    model = Ranker(small_config())
    with pytest.raises(BundleError, match="not part of the published model"):
        load_published(model, {})
    plain = Ranker(
        small_config(
            post_features=False, context_features=False, affinity_input=False, head_bias=False
        )
    )
    with pytest.raises(BundleError, match="proj_mat_2"):
        load_published(plain, {})
    assert len(make_world(5, 10).posts) == 5
    assert len(world.posts) == 80
