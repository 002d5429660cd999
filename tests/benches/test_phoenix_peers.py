"""What the benches compare with gives the numbers of the model."""

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from xfeed.phoenix.config import PhoenixConfig
from xfeed.phoenix.model.ranker import Ranker
from xfeed.phoenix.options import RuntimeOptions
from xfeed.phoenix.profiles import preset
from xfeed.phoenix.runtime import Phoenix

from benches.python import phoenix_serving
from benches.python.flops import candidate_pass, total
from benches.python.phoenix_dense import Attention, DenseRanker, arguments
from benches.python.phoenix_peers import (
    RELEASED_CHUNK,
    Unavailable,
    bare_products,
    onnx_model,
    onnx_session,
    released_flow,
)
from benches.python.phoenix_workload import Request, make_ranker, make_request, rank_cold

C = RELEASED_CHUNK + 9


def assert_close(found: torch.Tensor, wanted: torch.Tensor) -> None:
    torch.testing.assert_close(found, wanted, atol=2e-5, rtol=0)


@pytest.fixture(scope="module")
def config() -> PhoenixConfig:
    return preset("tiny").ranker


@pytest.fixture(scope="module")
def ranker(config: PhoenixConfig) -> Ranker:
    return make_ranker(config)


@pytest.fixture(scope="module")
def request_(config: PhoenixConfig) -> Request:
    return make_request(config, C)


@pytest.mark.parametrize("attention", ["capped", "in place"])
def test_the_dense_form_gives_the_same_scores(
    ranker: Ranker, request_: Request, attention: Attention
) -> None:
    dense = DenseRanker(ranker, attention)
    dense.prepare(C)
    ours = rank_cold(ranker, request_)
    logits, continuous = dense(*arguments(request_))
    assert_close(logits, ours.logits)
    assert_close(continuous, ours.continuous)


def test_fused_attention_gives_the_scores_of_the_model_without_a_cap(
    config: PhoenixConfig, ranker: Ranker, request_: Request
) -> None:
    dense = DenseRanker(ranker, "sdpa")
    dense.prepare(C)
    logits, _ = dense(*arguments(request_))
    uncapped = make_ranker(replace(config, attention_cap=None))
    assert_close(logits, rank_cold(uncapped, request_).logits)


def test_anchored_positions_give_the_same_scores(config: PhoenixConfig, request_: Request) -> None:
    ranker = make_ranker(replace(config, positions="right_anchored"))
    dense = DenseRanker(ranker)
    dense.prepare(C)
    logits, _ = dense(*arguments(request_))
    assert_close(logits, rank_cold(ranker, request_).logits)


def test_the_released_flow_ranks_chunks_each_from_its_own_first_place(
    ranker: Ranker, request_: Request
) -> None:
    found = released_flow(DenseRanker(ranker), request_)()
    context = ranker.encode_context(request_.history_posts, request_.history)
    ends = (0, RELEASED_CHUNK, C)
    chunks = [
        ranker.score_candidates(context, *request_.part(first, end), first_slot=0).logits
        for first, end in itertools.pairwise(ends)
    ]
    assert_close(found, torch.cat(chunks, dim=1))
    one_pass = rank_cold(ranker, request_).logits
    assert (found[:, RELEASED_CHUNK:] - one_pass[:, RELEASED_CHUNK:]).abs().max() > 1e-3


def test_the_exported_model_gives_the_same_scores(ranker: Ranker, request_: Request) -> None:
    dense = DenseRanker(ranker)
    dense.prepare(C)
    try:
        session = onnx_session(onnx_model(dense, request_), request_, 1)
    except Unavailable as reason:
        pytest.skip(str(reason))
    logits = torch.from_numpy(session()[0])
    assert_close(logits, rank_cold(ranker, request_).logits)


def test_bare_products_multiply_what_is_counted(config: PhoenixConfig) -> None:
    from torch.utils.flop_counter import FlopCounterMode

    products = candidate_pass(config, C)
    multiply = bare_products(products)
    with FlopCounterMode(display=False) as counter:
        multiply()
    assert counter.get_total_flops() == total(products)


def test_a_request_to_the_runtime_is_the_same_as_one_with_gathered_rows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(phoenix_serving, "N_ROWS", 2_000)
    served = phoenix_serving.serve_mini()
    viewer = phoenix_serving.make_viewer(served.ranker.config, 20, 3)
    found = Phoenix(served.bundle, RuntimeOptions(engine="torch")).predict(*viewer.request)
    scores = rank_cold(served.ranker, phoenix_serving.gathered(served, viewer))
    wanted = scores.logits[0].sigmoid().numpy()
    np.testing.assert_allclose(found[:, : wanted.shape[1]], wanted, atol=1e-5)


def test_the_demo_bundle_of_the_benches_can_be_served(tmp_path: Path) -> None:
    phoenix_serving.write_demo(tmp_path / "bundle")
    phoenix = Phoenix.load(tmp_path / "bundle", RuntimeOptions(engine="torch"))
    viewer = phoenix_serving.make_viewer(phoenix.config, 20, 3)
    found = phoenix.predict(*viewer.request)
    assert found.shape[0] == 20
    assert np.isfinite(found).any(axis=1).all()
