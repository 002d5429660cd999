"""The Rust trunk gives what torch gives, and a candidate's numbers are its own to the bit."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from xfeed.conformance import phoenix_models
from xfeed.conformance.phoenix_files import config_of, parameters_of, read_archive
from xfeed.errors import ConfigError, ShapeError
from xfeed.phoenix.config import PhoenixConfig
from xfeed.phoenix.model.native import DType, NativeContext, NativeTransformer
from xfeed.phoenix.model.ranker import Ranker
from xfeed.phoenix.model.transformer import Transformer
from xfeed.phoenix.published.may import load_published

from tests.phoenix.native_cases import candidates, configs, transformer, viewers
from tests.shared_data import shared_path

MINI = PhoenixConfig.published_mini()
SMALL = replace(MINI, emb_size=24, n_layers=2, key_size=8, history_len=21, n_kv_heads=2)


def close(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    """Within 2e-5 of the largest number, or of one."""
    bound = 2e-5 * max(1.0, float(theirs.abs().max()))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=bound)


def attended(
    native: NativeTransformer, model: Transformer, lengths: list[int], n: int
) -> torch.Tensor:
    """(B, C, D) of random viewers and candidates."""
    context = native.encode(*viewers(model.config, lengths), keep_hidden=False)
    return native.attend(context, candidates(model.config, len(lengths), n))


def golden_scores(name: str, dtype: DType) -> tuple[Any, Any, Any, Any]:
    """Logits and continuous predictions through Rust, the golden file, what to compare."""
    z = read_archive(shared_path("conformance", "phoenix", f"{name}.npz"))
    model = Ranker(config_of(z, retrieval=False))
    load_published(model, parameters_of(z, torch.float32))
    model.trunk = NativeTransformer(model.transformer, dtype=dtype, threads=2)
    logits, continuous = phoenix_models._score(model, z, torch.float32)
    return logits, continuous, z, phoenix_models._valid_candidates(z)


@settings(max_examples=40, deadline=None)
@given(configs(), st.integers(0, 9), st.integers(1, 2), st.data())
def test_it_equals_torch_for_every_switch(
    config: PhoenixConfig, n: int, threads: int, data: st.DataObject
) -> None:
    model = transformer(config)
    lengths = data.draw(st.lists(st.integers(0, config.history_len), min_size=1, max_size=3))
    tokens, valid = viewers(config, lengths)
    shown = candidates(config, len(lengths), n)
    native = NativeTransformer(model, threads=threads)
    theirs = model.encode(tokens, valid, keep_hidden=True)
    ours = native.encode(tokens, valid, keep_hidden=True)
    assert theirs.hidden is not None
    assert ours.hidden is not None
    close(ours.hidden[valid], theirs.hidden[valid])
    scores = native.attend(ours, shown, 3)
    assert scores.shape == shown.shape
    if n:  # torch cannot do nothing
        close(scores, model.attend(theirs, shown, 3))


@pytest.mark.parametrize("valid_prefix", [True, False])
def test_an_empty_history_and_an_invalid_viewer_equal_torch(*, valid_prefix: bool) -> None:
    model = transformer(SMALL)
    tokens, valid = viewers(SMALL, [0, 5])
    valid[0, 0] = valid_prefix
    native = NativeTransformer(model)
    theirs = model.encode(tokens, valid, keep_hidden=True)
    ours = native.encode(tokens, valid, keep_hidden=True)
    assert ours.hidden is not None
    assert theirs.hidden is not None
    close(ours.hidden, theirs.hidden)
    shown = candidates(SMALL, 2, 5)
    close(native.attend(ours, shown), model.attend(theirs, shown))


@pytest.mark.parametrize(
    "name",
    [
        "ranker_01_f32_gqa",
        "ranker_03_f32_right_anchored",
        "ranker_04_f32_mqa_no_optional",
        "ranker_05_f32_ip_log_dwell",
        "ranker_06_f32_mini_release_shape",
        "ranker_jan2026_01_f32",
    ],
)
def test_golden_logits_hold_through_rust(name: str) -> None:
    logits, continuous, z, valid = golden_scores(name, "float32")
    assert abs(logits - z["out/logits"])[valid].max() < 5e-5
    if "out/continuous_preds" in z:
        assert abs(continuous - z["out/continuous_preds"])[valid].max() < 2e-5


@pytest.mark.parametrize("config", [MINI, SMALL], ids=["mini", "small"])
def test_scores_are_equal_to_the_bit_in_any_company(config: PhoenixConfig) -> None:
    config = replace(config, positions="right_anchored")
    native = NativeTransformer(transformer(config), threads=2)
    context = native.encode(*viewers(config, [17]), keep_hidden=False)
    shown = candidates(config, 1, 203)
    together = native.attend(context, shown)
    order = torch.randperm(203, generator=torch.Generator().manual_seed(7))
    assert torch.equal(native.attend(context, shown[:, order]), together[:, order])
    for first, last in [(0, 1), (5, 6), (100, 203), (3, 70), (202, 203)]:
        alone = native.attend(context, shown[:, first:last])
        assert torch.equal(alone, together[:, first:last])
    others = shown.clone()
    others[:, 1::2] = 1e3
    assert torch.equal(native.attend(context, others)[:, ::2], together[:, ::2])


def test_scores_are_equal_to_the_bit_for_any_number_of_threads() -> None:
    model = transformer(SMALL)
    one, *more = (
        attended(NativeTransformer(model, threads=threads), model, [21, 4], 150)
        for threads in (1, 2, 3, 5)
    )
    for other in more:
        assert torch.equal(one, other)


def test_viewers_do_not_see_each_other_and_can_be_joined_and_taken() -> None:
    native = NativeTransformer(transformer(SMALL))
    tokens, valid = viewers(SMALL, [3, 21, 0])
    shown = candidates(SMALL, 3, 11)
    together = native.encode(tokens, valid, keep_hidden=False)
    right = native.attend(together, shown)
    short = native.encode(tokens[:1, :5], valid[:1, :5], keep_hidden=False)
    rest = native.encode(tokens[1:], valid[1:], keep_hidden=False)
    joined = NativeContext.join([short, rest])
    torch.testing.assert_close(native.attend(joined, shown), right, rtol=0, atol=2e-5)
    picked = together.take([2, 0])
    assert torch.equal(native.attend(picked, shown[[2, 0]]), right[[2, 0]])
    assert 0 < picked.nbytes < together.nbytes


def test_many_threads_may_ask_at_once() -> None:
    model = transformer(SMALL)
    native = NativeTransformer(model, threads=2)
    right = attended(native, model, [9, 9], 90)
    with ThreadPoolExecutor(4) as pool:
        answers = pool.map(lambda _: attended(native, model, [9, 9], 90), range(24))
        assert all(torch.equal(answer, right) for answer in answers)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_comes_out_and_stays_with_its_candidate(bad: float) -> None:
    native = NativeTransformer(transformer(SMALL))
    context = native.encode(*viewers(SMALL, [9]), keep_hidden=False)
    shown = candidates(SMALL, 1, 20)
    right = native.attend(context, shown)
    shown[0, 4, 3] = bad
    spoilt = native.attend(context, shown)
    assert not spoilt[0, 4].isfinite().all()
    rest = torch.arange(20) != 4
    assert torch.equal(spoilt[:, rest], right[:, rest])


def test_a_history_that_is_not_finite_spoils_every_score() -> None:
    native = NativeTransformer(transformer(SMALL))
    tokens, valid = viewers(SMALL, [9])
    tokens[0, 2, 0] = float("nan")
    context = native.encode(tokens, valid, keep_hidden=False)
    scores = native.attend(context, candidates(SMALL, 1, 9))
    assert scores.isnan().any(-1).all()


@pytest.mark.parametrize("level", ["portable", "avx2", "avx512"])
def test_every_level_of_the_machine_equals_torch(level: str) -> None:
    code = """
import torch
from tests.phoenix.test_native import MINI, SMALL, attended, close
from tests.phoenix.native_cases import candidates, transformer, viewers
from xfeed.phoenix.model.native import NativeTransformer
for config in (SMALL, MINI):
    model = transformer(config)
    context = model.encode(*viewers(config, [3, 20]), keep_hidden=False)
    theirs = model.attend(context, candidates(config, 2, 13))
    close(attended(NativeTransformer(model), model, [3, 20], 13), theirs)
model = transformer(SMALL)
for dtype, bound in (("float32", 2e-5), ("bfloat16", 0.12), ("int8", 0.5)):
    native = NativeTransformer(model, dtype=dtype)
    context = native.encode(*viewers(SMALL, [9]), keep_hidden=False)
    shown = candidates(SMALL, 1, 20)
    right = native.attend(context, shown)
    alone = [native.attend(context, shown[:, i : i + 1], i) for i in range(20)]
    assert torch.equal(torch.cat(alone, 1), right)
    exact = model.attend(model.encode(*viewers(SMALL, [9]), keep_hidden=False), shown)
    assert (right - exact).abs().max() < bound * exact.abs().max()
    shown[0, 4, 3] = float("nan")
    spoilt, rest = native.attend(context, shown), torch.arange(20) != 4
    assert not spoilt[0, 4].isfinite().all()
    assert torch.equal(spoilt[:, rest], right[:, rest])
"""
    environment = {"XFEED_SIMD": level, "PATH": "", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["valid", "positions"])
def test_flags_and_positions_have_the_shape_of_the_tokens(name: str) -> None:
    native = NativeTransformer(transformer(SMALL))
    arrays: dict[str, Any] = {
        "tokens": np.zeros((2, 3, SMALL.emb_size), dtype=np.float32),
        "valid": np.ones((2, 3), dtype=np.bool_),
        "positions": np.zeros((2, 3), dtype=np.uint32),
        "cos": np.ones((4, SMALL.key_size // 2), dtype=np.float32),
        "sin": np.zeros((4, SMALL.key_size // 2), dtype=np.float32),
    }
    assert len(native._trunk.encode(*arrays.values())) == 2
    arrays[name] = np.ascontiguousarray(arrays[name].T)
    with pytest.raises(ShapeError, match=name):
        native._trunk.encode(*arrays.values())


def test_a_history_that_no_memory_holds_is_refused() -> None:
    native = NativeTransformer(transformer(SMALL))
    n = 200_000
    tokens = np.zeros((1, n, SMALL.emb_size), dtype=np.float32)
    table = np.ones((1, SMALL.key_size // 2), dtype=np.float32)
    valid, positions = np.ones((1, n), dtype=np.bool_), np.zeros((1, n), dtype=np.uint32)
    with pytest.raises(ShapeError, match="200000"):
        native._trunk.encode(tokens, valid, positions, table, table)


def test_what_does_not_fit_is_refused() -> None:
    model = transformer(SMALL)
    native = NativeTransformer(model)
    context = native.encode(*viewers(SMALL, [9]), keep_hidden=False)
    with pytest.raises(ShapeError, match="another trunk"):
        NativeTransformer(model).attend(context, candidates(SMALL, 1, 3))
    with pytest.raises(ShapeError, match="1 viewers"):
        native.attend(context, candidates(SMALL, 2, 3))
    with pytest.raises(ShapeError, match="width"):
        native.attend(context, torch.zeros(1, 3, 7))
    with pytest.raises(ConfigError, match="threads"):
        attended(NativeTransformer(model, threads=0), model, [9], 3)
    with pytest.raises(ShapeError, match="outside"):
        context.take([1])


@pytest.mark.parametrize(("dtype", "bound"), [("bfloat16", 0.01), ("int8", 0.05)])
@pytest.mark.parametrize("config", [MINI, SMALL], ids=["mini", "small"])
def test_rounded_matrices_stay_near_and_are_as_alone(
    dtype: DType, bound: float, config: PhoenixConfig
) -> None:
    config = replace(config, positions="right_anchored")
    model = transformer(config)
    shown = candidates(config, 1, 75)
    right = model.attend(model.encode(*viewers(config, [17]), keep_hidden=False), shown)
    native = NativeTransformer(model, dtype=dtype, threads=2)
    assert native.nbytes < 0.7 * NativeTransformer(model).nbytes
    context = native.encode(*viewers(config, [17]), keep_hidden=False)
    together = native.attend(context, shown)
    error = (together - right).square().mean().sqrt() / right.square().mean().sqrt()
    assert 1e-4 < error < bound
    for first, last in [(0, 1), (9, 30), (74, 75)]:
        alone = native.attend(context, shown[:, first:last])
        assert torch.equal(alone, together[:, first:last])


@pytest.mark.parametrize(("dtype", "bound"), [("bfloat16", 0.12), ("int8", 0.5)])
def test_golden_logits_of_the_mini_shape_stay_near_in_rounded_numbers(
    dtype: DType, bound: float
) -> None:
    logits, _, z, valid = golden_scores("ranker_06_f32_mini_release_shape", dtype)
    assert abs(logits - z["out/logits"])[valid].max() < bound


@pytest.mark.parametrize("dtype", ["bfloat16", "int8"])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_rounding_hides_nothing_that_is_not_finite(dtype: DType, bad: float) -> None:
    native = NativeTransformer(transformer(SMALL), dtype=dtype)
    context = native.encode(*viewers(SMALL, [9]), keep_hidden=False)
    shown = candidates(SMALL, 1, 20)
    right = native.attend(context, shown)
    shown[0, 4, 23] = bad
    spoilt = native.attend(context, shown)
    assert not spoilt[0, 4].isfinite().all()
    rest = torch.arange(20) != 4
    assert torch.equal(spoilt[:, rest], right[:, rest])
