"""Losses: masks, weights, and what holds whatever the numbers are."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from xfeed.phoenix.input_config import DwellHead
from xfeed.phoenix.learning.contrastive import ContrastiveSettings, contrastive_loss, feedback
from xfeed.phoenix.learning.losses import (
    DwellLoss,
    LossKind,
    activation_penalty,
    discrete_loss,
    dwell_loss,
    feedback_mask,
    log_q_weights,
    tweedie_deviance,
)

HEAD = DwellHead(0, "sigmoid", 30.0)
KINDS: tuple[LossKind, ...] = ("mae", "mse", "huber", "tweedie")


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape)).float()


def test_padded_and_weightless_candidates_do_not_count() -> None:
    logits, labels = numbers(2, 3, 4), (numbers(2, 3, 4, seed=1) > 0).float()
    valid = torch.tensor([[True, True, False], [True, False, False]])
    loss = discrete_loss(logits, labels, valid)
    changed = logits.clone()
    changed[~valid] = 50
    assert torch.equal(discrete_loss(changed, labels, valid), loss)
    weights = torch.tensor([[1.0, 0.0, 7.0], [1.0, 5.0, 5.0]])
    alone = discrete_loss(logits[:, :1], labels[:, :1], valid[:, :1])
    torch.testing.assert_close(discrete_loss(logits, labels, valid, weights=weights), alone)


def test_losses_are_summed_over_heads_and_averaged_over_candidates() -> None:
    logits = torch.zeros(2, 3, 5)
    loss = discrete_loss(logits, torch.zeros(2, 3, 5), torch.ones(2, 3, dtype=torch.bool))
    assert float(loss) == pytest.approx(5 * np.log(2))


def test_nothing_valid_costs_nothing() -> None:
    nothing = torch.zeros(2, 3, dtype=torch.bool)
    assert float(discrete_loss(numbers(2, 3, 4), torch.zeros(2, 3, 4), nothing)) == 0
    for kind in KINDS:
        assert float(dwell_loss(numbers(2, 3), numbers(2, 3), nothing, DwellLoss(kind), HEAD)) == 0


def test_rejections_are_not_learned_from_sampled_negatives() -> None:
    negative = torch.tensor([[False, True]])
    mask = feedback_mask(negative, (1, 3), 4)
    assert mask.tolist() == [[[1, 1, 1, 1], [1, 0, 1, 0]]]


def test_a_negative_weighs_less_the_more_often_its_post_was_drawn() -> None:
    first_row = torch.tensor([[7, 7, 9], [7, 7, 5]])
    negative = torch.tensor([[False, True, True], [True, True, False]])
    weights = log_q_weights(first_row, negative, 100)
    expected = torch.tensor([[1, 1 / 3, 1], [1 / 3, 1 / 3, 1]])
    torch.testing.assert_close(weights, expected)
    # 9 and 5 share a bin of two with 7, of which served candidates are not counted
    assert float(log_q_weights(first_row, negative, 2)[0, 2]) == pytest.approx(1 / 4)


@pytest.mark.parametrize("kind", KINDS)
def test_a_perfect_dwell_prediction_is_a_minimum(kind: LossKind) -> None:
    secs = torch.tensor([[3.0, 12.0, 29.0]])
    valid = torch.ones(1, 3, dtype=torch.bool)
    scale = 1.0 if kind == "tweedie" else HEAD.scale_secs
    best = secs / scale
    loss = dwell_loss(best, secs, valid, DwellLoss(kind), HEAD)
    for factor in (0.9, 1.1):
        assert dwell_loss(best * factor, secs, valid, DwellLoss(kind), HEAD) > loss


def test_dwell_is_learned_on_its_surfaces_only_and_not_from_negatives() -> None:
    head = DwellHead(0, "sigmoid", 30.0, other_than=(10,))
    secs, prediction = torch.tensor([[30.0, 30.0, 30.0]]), torch.zeros(1, 3)
    valid = torch.ones(1, 3, dtype=torch.bool)
    surface = torch.tensor([[1, 10, 1]])
    negative = torch.tensor([[False, False, True]])
    wrong = torch.tensor([[0.5, 9.0, 9.0]])
    loss = dwell_loss(wrong, secs, valid, DwellLoss(), head, negative=negative, surface=surface)
    assert float(loss) == pytest.approx(0.5)
    kept = DwellLoss(keep_negatives=True)
    loss = dwell_loss(prediction, secs, valid, kept, head, negative=negative, surface=surface)
    assert float(loss) == pytest.approx(1.0)


@given(st.floats(1.01, 1.99), st.floats(0, 300), st.floats(1e-3, 300))
def test_tweedie_lies_between_poisson_and_gamma(power: float, secs: float, guess: float) -> None:
    y, p = torch.tensor(secs, dtype=torch.float64), torch.tensor(guess, dtype=torch.float64)
    p.requires_grad_()
    (slope,) = torch.autograd.grad(tweedie_deviance(p, y, power), p)
    # the derivative of every Tweedie deviance is (p - y) / p^power
    assert float(slope) == pytest.approx((guess - secs) / guess**power, rel=1e-6, abs=1e-9)


def test_a_prediction_of_nothing_has_a_finite_deviance() -> None:
    zero = torch.zeros(1, requires_grad=True)
    for power in (1.0, 1.5, 2.0):
        loss = tweedie_deviance(zero, torch.tensor([300.0]), power)
        assert bool(loss.isfinite().all())


def test_the_activation_penalty_is_a_mean_over_all_positions() -> None:
    hidden = torch.full((1, 4, 2), 3.0)
    valid = torch.tensor([[True, False, False, False]])
    assert float(activation_penalty(hidden, valid)) == pytest.approx(9 / 4)


def softmax(viewers: Tensor, candidates: Tensor, post: Tensor, actions: Tensor) -> Tensor:
    chosen = ContrastiveSettings(n_own=3, log_q_scale=0.0)
    return contrastive_loss(viewers, candidates, post, actions, 0.1, chosen).loss


def test_padded_candidates_have_no_part_in_the_contrastive_loss() -> None:
    unit = torch.nn.functional.normalize
    viewers = unit(numbers(3, 8), dim=-1).requires_grad_()
    candidates = unit(numbers(3, 4, 8, seed=1), dim=-1).requires_grad_()
    post = torch.arange(1, 13).view(3, 4)
    post[1, 2] = post[0, 3] = 0
    actions = torch.zeros(3, 4, 64, dtype=torch.bool)
    actions[0, 0, 1] = actions[1, 1, 1] = True
    loss = softmax(viewers, candidates, post, actions)
    gradients = torch.autograd.grad(loss, (viewers, candidates))
    assert all(bool(one.isfinite().all()) for one in gradients)
    assert not gradients[1][post == 0].any()
    assert gradients[1][2, 3].any()  # a global negative


def test_a_batch_without_positives_costs_nothing_and_can_be_differentiated() -> None:
    viewers = numbers(2, 4).requires_grad_()
    candidates = numbers(2, 3, 4).requires_grad_()
    actions = torch.zeros(2, 3, 64, dtype=torch.bool)
    loss = softmax(viewers, candidates, torch.ones(2, 3, dtype=torch.long), actions)
    loss.backward()  # type: ignore[no-untyped-call]
    assert float(loss.detach()) == 0
    assert viewers.grad is not None
    assert not viewers.grad.any()


def test_negative_feedback_overrules_a_like() -> None:
    valid = torch.tensor([[True, True, False, True]])
    actions = torch.zeros(1, 4, 64, dtype=torch.bool)
    actions[0, :, 1] = True
    actions[0, 1, 17] = True
    positive, negative = feedback(valid, actions, ContrastiveSettings(n_own=3))
    assert positive.tolist() == [[True, False, False, False]]
    assert negative.tolist() == [[False, True, False, False]]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**16), st.permutations(range(4)))
def test_the_contrastive_loss_does_not_depend_on_the_order(seed: int, order: list[int]) -> None:
    rng = np.random.default_rng(seed)
    unit = torch.nn.functional.normalize
    viewers, candidates = unit(numbers(4, 6, seed=seed)), unit(numbers(4, 5, 6, seed=seed + 1))
    post = torch.from_numpy(rng.integers(0, 9, (4, 5)))
    actions = torch.from_numpy(rng.random((4, 5, 64)) < 0.1)
    chosen = ContrastiveSettings(n_own=3)
    first = contrastive_loss(viewers, candidates, post, actions, 0.1, chosen)
    moved = [one[order] for one in (viewers, candidates, post, actions)]
    second = contrastive_loss(moved[0], moved[1], moved[2], moved[3], 0.1, chosen)
    torch.testing.assert_close(first.loss, second.loss, rtol=1e-4, atol=1e-4)
    assert first.n_positives == second.n_positives
