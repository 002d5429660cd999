"""The profile of August 2026: inputs, heads, presets and the names of its parameters."""

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
import torch
from xfeed.actions import N_DISCRETE
from xfeed.errors import BundleError, ConfigError
from xfeed.phoenix.config import PhoenixConfig
from xfeed.phoenix.input_config import DwellHead, MomentConfig, SemanticIdConfig
from xfeed.phoenix.model.heads import activate, seconds
from xfeed.phoenix.model.inputs import ViewerColumns
from xfeed.phoenix.model.ranker import Ranker
from xfeed.phoenix.model.retrieval import Retrieval
from xfeed.phoenix.model.semantic_ids import SemanticIds, hash_code
from xfeed.phoenix.model.viewer_features import fourier
from xfeed.phoenix.prod_style import dwell_heads
from xfeed.phoenix.profiles import PRESETS, for_training, preset
from xfeed.phoenix.published.august import load_august, published_parts

from tests.phoenix.random_inputs import RANKERS, Inputs, make_inputs, make_ranker

AUGUST = pytest.mark.parametrize("profile", ["summed", "concat"])


def logits(model: Ranker, inputs: Inputs) -> torch.Tensor:
    with torch.inference_mode():
        found: torch.Tensor = model(*inputs).logits
    return found


def with_column(inputs: Inputs, place: str, name: str, value: Any) -> Inputs:
    """The inputs with one column exchanged."""
    if place == "viewer":
        assert inputs.history.viewer is not None
        viewer = replace(inputs.history.viewer, **{name: value})
        return inputs._replace(history=replace(inputs.history, viewer=viewer))
    return inputs._replace(**{place: replace(getattr(inputs, place), **{name: value})})


def optional_columns(config: PhoenixConfig) -> list[tuple[str, str]]:
    """Place and name of every column that a profile reads and that may be missing."""
    assert config.moment is not None
    moment = [str(one) for one in config.moment.categories if one not in {"surface", "stale"}]
    if config.moment.counts_hidden:
        moment.append("counts")
    stale = [("candidates", "stale")] if "stale" in config.moment.categories else []
    return [
        *((place, name) for place in ("history", "candidates") for name in moment),
        *stale,
        ("history", "dwell_secs"),
        ("history", "address_rows"),
        ("posts", "semantic_ids"),
        ("posts", "item_hash"),
        *(("viewer", field.name) for field in fields(ViewerColumns)),
    ]


@AUGUST
def test_a_missing_column_is_a_column_of_zeros_and_every_column_is_read(profile: str) -> None:
    model = make_ranker(profile).double()
    inputs = make_inputs(model.config)
    columns = optional_columns(model.config)
    assert len(columns) >= 18
    plain = logits(model, _double(inputs))
    for place, name in columns:
        holder = inputs.history.viewer if place == "viewer" else getattr(inputs, place)
        zeros = torch.zeros_like(getattr(holder, name))
        missing = logits(model, _double(with_column(inputs, place, name, None)))
        blank = logits(model, _double(with_column(inputs, place, name, zeros)))
        torch.testing.assert_close(missing, blank, atol=1e-12, rtol=0, msg=f"{place}.{name}")
        assert (missing - plain).abs().max() > 1e-4, f"{place}.{name} is not read"


def _double(inputs: Inputs) -> Inputs:
    """The rows in float64; facts are cast by the model."""
    posts, history, candidates = inputs
    viewer = history.viewer
    if viewer is not None:
        columns = {field.name: _wide(getattr(viewer, field.name)) for field in fields(viewer)}
        viewer = ViewerColumns(**columns)
    names = ("user_rows", "actions", "dwell_secs", "address_rows", "counts")
    wide_history: dict[str, Any] = {name: _wide(getattr(history, name)) for name in names}
    return Inputs(
        replace(posts, item_rows=posts.item_rows.double(), author_rows=posts.author_rows.double()),
        replace(history, viewer=viewer, **wide_history),
        replace(candidates, counts=_wide(candidates.counts)),
    )


def _wide(value: torch.Tensor | None) -> torch.Tensor | None:
    return value.double() if value is not None and value.is_floating_point() else value


@AUGUST
def test_facts_outside_of_their_tables_are_moved_to_the_ends(profile: str) -> None:
    model = make_ranker(profile)
    inputs = make_inputs(model.config)
    for value, end in ((99, 24), (-5, 0)):
        hour = torch.full_like(inputs.candidates.post, value)
        moved = torch.full_like(hour, end)
        got = logits(model, with_column(inputs, "candidates", "hour", hour))
        assert torch.equal(got, logits(model, with_column(inputs, "candidates", "hour", moved)))


def test_the_prefix_holds_the_viewer_and_their_features() -> None:
    model = make_ranker("summed")
    posts, history, _ = make_inputs(model.config)
    valid = model.context_tokens.valid(history)
    assert valid.shape == (3, 2 + model.config.history_len)
    assert valid[:, 0].tolist() == [True, True, False]
    assert valid[:, 1].all()
    tokens = model.context_tokens(posts, history)
    unknown = model.context_tokens(posts, replace(history, viewer=None))
    assert torch.equal(tokens[:, 0], unknown[:, 0])
    assert not torch.equal(tokens[:, 1], unknown[:, 1])


def test_heads_depend_on_the_surface() -> None:
    rules = dwell_heads(1)
    raw = torch.tensor([[5.0, 400.0, -1.0], [5.0, -2.0, -1.0], [5.0, 400.0, -1.0]])
    surface = torch.tensor([10, 0, 3])
    active = activate(raw, surface, rules)
    assert torch.equal(active[:, [0, 2]], raw[:, [0, 2]])
    torch.testing.assert_close(
        active[:, 1], torch.tensor([300 * torch.tanh(torch.tensor(4 / 3)), 0.119203, 1.0])
    )
    secs = seconds(active, surface, rules, 30.0)[:, 1]
    torch.testing.assert_close(secs[1:], torch.tensor([0.119203 * 30, 30.0]))
    assert 200 < secs[0] < 300
    assert torch.equal(activate(raw, surface, ()), raw.sigmoid())
    assert torch.equal(seconds(raw.sigmoid(), surface, (), 30.0), raw.sigmoid() * 30)


def test_missing_codes_say_nothing() -> None:
    config = SemanticIdConfig(6, n_levels=3, codebook_size=8, cross_attention=True)
    module = SemanticIds(config, 4)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter)
    posts = make_inputs(RANKERS["summed"]).posts
    some = replace(posts, semantic_ids=torch.zeros(len(posts.author_rows), 3, dtype=torch.long))
    with torch.no_grad():
        assert not module(some).any()
        assert not module(replace(some, semantic_ids=None)).any()
        known = replace(
            some, semantic_ids=torch.tensor([[0, 3, 2]]).expand(len(posts.author_rows), 3)
        )
        # without the first code there is no hash level either, so all posts are the same
        assert len(module(known).unique(dim=0)) == 1
        first = replace(
            some, semantic_ids=torch.tensor([[1, 3, 2]]).expand(len(posts.author_rows), 3)
        )
        assert len(module(first).unique(dim=0)) > 1


def test_codes_of_the_hash_level_wrap_like_32_bit_integers() -> None:
    rows = np.array([0, 1, 2, 3, 65, 99_999_999, 2**31 - 1], dtype=np.int32)
    with np.errstate(over="ignore"):
        product = rows * np.int32(1_540_483_477)
    assert (product < 0).any()
    mixed = product ^ (product >> np.int32(16))
    expected = np.abs(mixed.astype(np.int64)) % 251 + 1
    ones = torch.ones(len(rows), dtype=torch.long)
    assert hash_code(torch.from_numpy(rows), ones, 251).tolist() == expected.tolist()
    assert not hash_code(torch.from_numpy(rows), 0 * ones, 251).any()


def test_the_location_turns_once_around_the_globe() -> None:
    waves = fourier(torch.tensor([45.0, 0.0]), torch.tensor([-180.0, 180.0]), 2)
    expected = torch.tensor([[1.0, 0, 0, -1, 0, 0, -1, 1], [0.0, 0, 1, 1, 0, 0, -1, 1]])
    torch.testing.assert_close(waves, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_every_preset_can_be_built_and_survives_json(name: str) -> None:
    for found in (preset(name), for_training(name)):
        with torch.device("meta"):
            Ranker(found.ranker)
            Retrieval(found.retrieval)
        for config in found:
            assert PhoenixConfig.from_json(config.to_json()) == config
    assert for_training(name).ranker.n_actions == N_DISCRETE


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_a_preset_for_training_reads_only_what_events_tell(name: str) -> None:
    for config in for_training(name):
        assert (config.positions, config.history_attention) == ("right_anchored", "bidirectional")
        assert config.semantic_ids is None
        assert config.address is None
        # posts must differ by something
        assert {"item", "author"} <= set(config.hashes)


def test_published_sizes_of_prod() -> None:
    ranker, retrieval = preset("prod")
    D, K, H, G, W = 2_560, 128, 20, 4, 1_024
    layer = D * (H + 2 * G) * K + H * K * D + 2 * D * 2 * D + 2 * D + (H + G) * K
    with torch.device("meta"):
        model, towers = Ranker(ranker), Retrieval(retrieval)
    assert sum(one.numel() for one in model.transformer.parameters()) == 8 * layer
    side = 4 * W * D + (16 + 82 + 32 + 25 + 2 + 2) * D + 6 * 64 + 64 * D
    viewer = (250 + 200 + 32 + 64 + 3 + 2 + 10 + 1) * D
    codes = 7 * 257 * W + W * D
    context = 2 * side + 2 * D + 4 * W * D + viewer + codes + 64 * D + D
    heads = D + D * (64 + 8)
    assert sum(one.numel() for one in model.parameters()) == 8 * layer + context + heads
    assert ranker.hashes["item"].n_rows == 100_000_000
    assert {name: one.n_rows for name, one in retrieval.hashes.items()} == {"author": 30_000_000}
    D, K, H = 1_024, 64, 16
    layer = D * (H + 2 * G) * K + H * K * D + 2 * D * 2 * D + 4 * D
    assert sum(one.numel() for one in towers.transformer.parameters()) == 8 * layer


def test_nano_has_the_geometry_of_prod() -> None:
    sizes = {
        "emb_size", "table_width", "n_layers", "n_query_heads", "n_kv_heads", "user", "item",
        "author", "address", "semantic_ids", "logit_scale",
    }  # fmt: skip
    small, large = preset("nano").ranker.to_json(), preset("prod").ranker.to_json()
    assert {name for name in small if small[name] != large[name]} == sizes
    assert preset("nano").ranker.history_len == 1_022


def test_an_unknown_preset_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="huge") as caught:
        preset("huge")
    assert caught.value.code == "unknown_preset"
    assert "`nano`" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"prefix_len": 1}, "bad_prefix"),
        ({"user_rows": False}, "bad_prefix"),
        ({"inputs": "blocks"}, "bad_inputs"),
        ({"context_features": True}, "bad_inputs"),
        ({"inputs": "concat"}, "bad_widths"),
        ({"action_slices": True, "n_actions": 5}, "bad_slices"),
        ({"n_continuous": 1}, "out_of_bounds"),
        ({"n_towers": 0}, "out_of_bounds"),
    ],
)
def test_switches_that_contradict_each_other_are_refused(
    changes: dict[str, Any], code: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        replace(RANKERS["summed"], **changes)
    assert caught.value.code == code


def test_groups_of_switches_check_themselves() -> None:
    with pytest.raises(ConfigError, match="widths"):
        MomentConfig(("hour", "weekday"), (4,))
    with pytest.raises(ConfigError, match="codebook_size"):
        SemanticIdConfig(4, codebook_size=0)
    with pytest.raises(ConfigError, match="scale_secs"):
        DwellHead(0, "sigmoid", 0.0)


def test_only_parameters_of_august_have_published_names() -> None:
    model = Ranker(replace(RANKERS["summed"], head_bias=True))
    with pytest.raises(BundleError, match="action_bias") as caught:
        published_parts("action_bias", model)
    assert caught.value.code == "not_published"
    fine = Ranker(RANKERS["summed"])
    parameters = {
        path: torch.zeros(1)
        for ours, _ in fine.named_parameters()
        for path in published_parts(ours, fine)
    }
    with pytest.raises(BundleError) as caught:
        load_august(fine, {})
    assert caught.value.code == "missing_tensor"
    with pytest.raises(BundleError) as caught:
        load_august(fine, parameters | {"transformer/decoder_layer_0/up_proj/w": torch.zeros(2)})
    assert caught.value.code == "wrong_shape"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("attention_cap", 0.0),
        ("attention_cap", float("nan")),
        ("dwell_scale_secs", -1.0),
        ("history_len", 70_000),
    ],
)
def test_a_switch_that_would_break_every_score_is_refused(name: str, value: float) -> None:
    change: dict[str, Any] = {name: value}
    with pytest.raises(ConfigError, match=name) as caught:
        replace(preset("tiny").ranker, **change)
    assert caught.value.code == "out_of_bounds"
