"""What must hold for every profile, whatever the weights and the inputs.

The torch trunk promises: a score does not change by one bit when other candidates of the same
call change, and a kept context gives the bits of a fresh one. Its matrix products may add up in
another order when the number of rows changes, so another number or order of candidates moves
float32 scores by rounding alone: `ROUNDING` bounds that, and in float64 the same comparison must
hold to 1e-12. Bits for any grouping are the promise of the native trunk (`test_native.py`).
"""

from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional
from xfeed.phoenix.model.inputs import CandidateInputs, HistoryInputs
from xfeed.phoenix.model.ranker import Ranker

from tests.phoenix.random_inputs import (
    ANCHORED,
    RANKERS,
    RETRIEVALS,
    Inputs,
    make_inputs,
    make_ranker,
    make_retrieval,
)

ROUNDING = 5e-5
"""Logits have a spread of up to 6 here."""

SEEDS = st.integers(0, 2**16)
EVERY = pytest.mark.parametrize("profile", sorted(RANKERS))
EVERY_ANCHORED = pytest.mark.parametrize("profile", ANCHORED)
BRIEF = settings(max_examples=3, deadline=None)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Small products on several threads mostly wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def score(model: Ranker, inputs: Inputs, candidates: CandidateInputs | None = None) -> Tensor:
    """(B, C, A + n_continuous) of one pass."""
    with torch.inference_mode():
        scores = model(inputs.posts, inputs.history, candidates or inputs.candidates)
    return torch.cat((scores.logits, scores.continuous / 10), dim=-1)


def each_tensor(inputs: Inputs, change: Callable[[Tensor], Tensor]) -> Inputs:
    """The inputs with every tensor changed."""

    def changed(value: Any) -> Any:
        if isinstance(value, Tensor):
            return change(value)
        if hasattr(value, "__dataclass_fields__"):
            columns = {field.name: changed(getattr(value, field.name)) for field in fields(value)}
            return replace(value, **columns)
        return value

    return Inputs(*(changed(one) for one in inputs))


def in_float64(inputs: Inputs) -> Inputs:
    """The same inputs as float64."""
    return each_tensor(inputs, lambda one: one.double() if one.is_floating_point() else one)


def mixed(mine: CandidateInputs, other: CandidateInputs, keep: Tensor) -> CandidateInputs:
    """Candidates of which those outside `keep` (C,) come from elsewhere."""
    columns = {}
    for field in fields(mine):
        a, b = getattr(mine, field.name), getattr(other, field.name)
        columns[field.name] = torch.where(keep.view(1, -1, *[1] * (a.ndim - 2)), a, b)
    return CandidateInputs(**columns)


@EVERY
@BRIEF
@given(seed=SEEDS, n=st.integers(2, 40))
def test_scores_are_bit_equal_whatever_the_neighbours(profile: str, seed: int, n: int) -> None:
    model = make_ranker(profile)
    inputs = make_inputs(model.config, n_candidates=n, seed=seed)
    other = make_inputs(model.config, n_candidates=n, seed=seed + 1).candidates
    keep = torch.arange(n) % 2 == 0
    plain = score(model, inputs)
    changed = score(model, inputs, mixed(inputs.candidates, other, keep))
    assert torch.equal(changed[:, keep], plain[:, keep])
    assert not torch.equal(changed[:, ~keep], plain[:, ~keep])


@EVERY_ANCHORED
@BRIEF
@given(seed=SEEDS, n=st.integers(1, 40))
def test_another_order_permutes_the_scores(profile: str, seed: int, n: int) -> None:
    model = make_ranker(profile)
    inputs = make_inputs(model.config, n_candidates=n, seed=seed)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    turned = score(model, inputs, inputs.candidates.part(order))
    torch.testing.assert_close(turned, score(model, inputs)[:, order], atol=ROUNDING, rtol=0)


@EVERY
@BRIEF
@given(seed=SEEDS, n=st.integers(1, 40), chunk=st.integers(3, 17))
def test_chunks_give_what_one_pass_gives(profile: str, seed: int, n: int, chunk: int) -> None:
    model = make_ranker(profile).double()
    inputs = in_float64(make_inputs(model.config, n_candidates=n, seed=seed))
    with torch.inference_mode():
        context = model.encode_context(inputs.posts, inputs.history)
        parts = [
            model.score_candidates(
                context, inputs.posts, inputs.candidates.part(slice(i, i + chunk)), i
            ).logits
            for i in range(0, n, chunk)
        ]
        whole = model(*inputs).logits
    torch.testing.assert_close(torch.cat(parts, 1), whole, atol=1e-12, rtol=0)


@EVERY
@BRIEF
@given(seed=SEEDS)
def test_a_kept_context_gives_the_bits_of_a_fresh_one(profile: str, seed: int) -> None:
    model = make_ranker(profile)
    inputs = make_inputs(model.config, n_candidates=9, seed=seed)
    fresh = score(model, inputs)
    with torch.inference_mode():
        context = model.encode_context(inputs.posts, inputs.history)
        for _ in range(2):
            scores = model.score_candidates(context, inputs.posts, inputs.candidates)
            assert torch.equal(scores.logits, fresh[..., : scores.logits.shape[-1]])


@EVERY
@BRIEF
@given(seed=SEEDS, extra=st.integers(1, 9))
def test_padding_has_no_effect(profile: str, seed: int, extra: int) -> None:
    model = make_ranker(profile).double()
    inputs = in_float64(make_inputs(model.config, seed=seed))
    junk = in_float64(make_inputs(model.config, history_len=extra, seed=seed + 1)).history
    columns = {}
    for field in fields(HistoryInputs):
        mine = getattr(inputs.history, field.name)
        columns[field.name] = mine
        # the columns with a history axis grow by rubbish, their validity by zeros
        if isinstance(mine, Tensor) and mine.shape[:2] == inputs.history.valid.shape:
            columns[field.name] = torch.cat((mine, getattr(junk, field.name)), dim=1)
    columns["post"] = columns["post"].clamp_max(len(inputs.posts.author_rows) - 1)
    columns["valid"] = functional.pad(inputs.history.valid, (0, extra))
    longer = inputs._replace(history=HistoryInputs(**columns))
    torch.testing.assert_close(score(model, longer), score(model, inputs), atol=1e-11, rtol=0)


@EVERY
def test_float64_and_float32_agree(profile: str) -> None:
    model = make_ranker(profile)
    inputs = make_inputs(model.config, n_candidates=20)
    single = score(model, inputs)
    double = score(model.double(), in_float64(inputs))
    assert double.dtype == torch.float64
    torch.testing.assert_close(single.double(), double, atol=2e-4, rtol=0)
    assert double.std() > 0.5


@EVERY
def test_nothing_is_computed_beside_the_device_of_the_model(profile: str) -> None:
    """A tensor made on the CPU would meet those of another device and raise."""
    model = make_ranker(profile).to("meta")
    inputs = each_tensor(make_inputs(model.config), lambda one: one.to("meta"))
    scores = score(model, inputs)
    assert scores.device.type == "meta"
    assert scores.shape[:2] == (3, 5)


@pytest.mark.parametrize("profile", sorted(RETRIEVALS))
def test_towers_compute_nothing_beside_their_device(profile: str) -> None:
    model = make_retrieval(profile).to("meta")
    posts, history, _ = each_tensor(make_inputs(model.config), lambda one: one.to("meta"))
    with torch.inference_mode():
        assert model.user_vectors(posts, history)[0].shape == (3, model.config.emb_size)
        assert model.post_vectors(posts).device.type == "meta"


@EVERY
def test_bfloat16_in_the_trunk_stays_near_float32(profile: str) -> None:
    model = make_ranker(profile)
    inputs = make_inputs(model.config, n_candidates=20)
    single = score(model, inputs)
    model.transformer.bfloat16()
    half = score(model, inputs)
    assert 0 < (half - single).abs().max() < 0.1 * single.abs().max()


@EVERY
def test_fused_matrices_change_nothing_but_rounding(profile: str) -> None:
    model = make_ranker(profile).double()
    inputs = in_float64(make_inputs(model.config))
    plain = score(model, inputs)
    model.transformer.fuse()
    torch.testing.assert_close(score(model, inputs), plain, atol=1e-12, rtol=0)
    other = make_ranker(profile, seed=2).double()
    fresh = score(other, inputs)
    model.load_state_dict(other.state_dict())
    assert torch.equal(score(model, inputs), fresh)


@pytest.mark.parametrize("profile", ["demo", "summed"])
@pytest.mark.parametrize("is_full", [True, False])
def test_fused_attention_changes_nothing_but_rounding(profile: str, *, is_full: bool) -> None:
    model = make_ranker(profile).double()
    inputs = in_float64(make_inputs(model.config))
    if is_full:
        history = inputs.history
        everybody: dict[str, Any] = {
            name: torch.ones_like(getattr(history, name)) for name in ("valid", "user_valid")
        }
        inputs = inputs._replace(history=replace(history, **everybody))
    plain = score(model, inputs)
    model.transformer.fused_attention = True
    fused = score(model, inputs)
    torch.testing.assert_close(fused, plain, atol=1e-12, rtol=0)
    assert not torch.equal(fused, plain)
    # a trunk that is trained must not use what has no gradient
    model.requires_grad_(requires_grad=True)
    model(*inputs).logits.sum().backward()
    key = model.get_parameter("transformer.layers.0.key").grad
    model.transformer.fused_attention = False
    model.zero_grad()
    model(*inputs).logits.sum().backward()
    torch.testing.assert_close(model.get_parameter("transformer.layers.0.key").grad, key)


@EVERY
@pytest.mark.parametrize(("n", "history_len"), [(0, None), (1, None), (5, 0), (0, 0)])
def test_no_candidates_and_no_history_are_answered(
    profile: str, n: int, history_len: int | None
) -> None:
    model = make_ranker(profile)
    inputs = make_inputs(model.config, n_candidates=n, history_len=history_len)
    got = score(model, inputs)
    assert got.shape[:2] == (3, n)
    assert got.isfinite().all()


@EVERY
def test_positions_of_candidates(profile: str) -> None:
    model = make_ranker(profile)
    inputs = make_inputs(model.config)
    with torch.inference_mode():
        context = model.encode_context(inputs.posts, inputs.history)
        first, later, level = (
            model.score_candidates(context, inputs.posts, inputs.candidates, slot).logits
            for slot in (0, 7, None)
        )
    moves = model.config.positions == "slot"
    assert ((later - first).abs().max() > 1e-3) == moves
    assert torch.equal(level[:, :1], first[:, :1]) or not moves
    assert torch.equal(level, first) != moves


@pytest.mark.parametrize("profile", sorted(RETRIEVALS))
def test_vectors_have_unit_length_and_depend_on_what_they_are_told(profile: str) -> None:
    model = make_retrieval(profile)
    posts, history, _ = make_inputs(model.config)
    with torch.inference_mode():
        vectors, lengths = model.user_vectors(posts, history)
        turned, _ = model.user_vectors(posts, replace(history, actions=history.actions.flip(1)))
        towers = [model.post_vectors(posts, i) for i in range(model.config.n_towers)]
    for one in (vectors[:2], *towers):
        torch.testing.assert_close(one.norm(dim=-1), torch.ones(len(one)), atol=1e-5, rtol=0)
    assert (lengths[:2] > 0).all()
    assert (vectors - turned)[0].abs().max() > 1e-3
    assert len({tower.sum().item() for tower in towers}) == model.config.n_towers


@pytest.mark.parametrize("profile", sorted(RETRIEVALS))
def test_a_viewer_of_whom_nothing_is_known_has_a_finite_vector(profile: str) -> None:
    model = make_retrieval(profile)
    posts, history, _ = make_inputs(model.config, history_len=0)
    with torch.inference_mode():
        vectors, _ = model.user_vectors(posts, history)
    assert vectors.isfinite().all()
    # of a viewer who is unknown and did nothing, only facts are left
    has_facts = model.config.viewer_features is not None
    assert bool((vectors[-1] != 0).any()) == has_facts
