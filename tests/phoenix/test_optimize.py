"""Optimizers: against torch, against dense arithmetic, and what must never move."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from xfeed.embeddings import EmbeddingTable
from xfeed.errors import ConfigError
from xfeed.phoenix.config import TrainConfig
from xfeed.phoenix.learning.dense_steps import (
    FlatAdamW,
    Muon,
    MuonSettings,
    clip_global_norm,
    is_matrix,
    orthogonal,
)
from xfeed.phoenix.learning.optimize import Optimizer, initialise
from xfeed.phoenix.learning.row_adagrad import RowAdagrad
from xfeed.phoenix.learning.tables import BLOCK_ROWS, RowTable, TrainingTables
from xfeed.phoenix.model.ranker import Ranker

from tests.phoenix.worlds import World, small_config


def test_dense_steps_agree_with_the_adamw_of_torch() -> None:
    torch.manual_seed(0)
    ours, theirs = (torch.nn.Linear(3, 2) for _ in range(2))
    theirs.load_state_dict(ours.state_dict())
    reference = torch.optim.AdamW(
        [
            {"params": [theirs.weight], "weight_decay": 0.1},
            {"params": [theirs.bias], "weight_decay": 0.0},
        ],
        lr=0.05,
        betas=(0.9, 0.98),
    )
    optimizer = FlatAdamW(dict(ours.named_parameters()), 0.1)
    for step in range(5):
        x = torch.arange(6.0).view(2, 3) + step
        for model in (ours, theirs):
            model.zero_grad(set_to_none=False)
            model(x).square().sum().backward()
        optimizer.step(0.05)
        reference.step()
    torch.testing.assert_close(ours.weight, theirs.weight)
    torch.testing.assert_close(ours.bias, theirs.bias)


def test_a_multiplier_scales_a_parameter_s_steps() -> None:
    plain, fast = (nn.Parameter(torch.ones(2, 2)) for _ in range(2))
    optimizer = FlatAdamW({"plain": plain, "fast": fast}, 0.0, multipliers={"fast": 3.0})
    optimizer.gradient.fill_(0.5)
    optimizer.step(0.01)
    torch.testing.assert_close(1 - fast, 3 * (1 - plain))


@pytest.mark.parametrize("shape", [(8, 8), (6, 20), (20, 6), (3, 7, 5)])
def test_the_iteration_makes_matrices_nearly_orthogonal(shape: tuple[int, ...]) -> None:
    x = torch.from_numpy(np.random.default_rng(0).normal(size=shape)).float()
    values = torch.linalg.svdvals(orthogonal(x, torch.float32))
    assert float(values.min()) > 0.3
    assert float(values.max()) < 1.3


def test_muon_ignores_the_size_of_gradients_and_moves_along_them() -> None:
    rng = np.random.default_rng(1)
    gradient = torch.from_numpy(rng.normal(size=(6, 8))).float()
    moved = []
    for factor in (1.0, 1e-3):
        matrix = nn.Parameter(torch.zeros(6, 8))
        muon = Muon({"matrix": matrix}, MuonSettings(weight_decay=0.0))
        assert matrix.grad is not None
        matrix.grad.copy_(gradient * factor)
        muon.step(0.1)
        moved.append(matrix.detach())
    torch.testing.assert_close(moved[0], moved[1], rtol=1e-3, atol=1e-5)
    assert float((moved[0] * gradient).sum()) < 0
    # the root mean square of an update is 0.2 of the step size for a matrix of full rank
    assert float(moved[0].square().mean().sqrt()) == pytest.approx(0.02, rel=0.4)


def test_muon_treats_every_block_of_columns_alone() -> None:
    rng = np.random.default_rng(2)
    gradient = torch.from_numpy(rng.normal(size=(6, 8))).float()

    def update(gradient: torch.Tensor) -> torch.Tensor:
        matrix = nn.Parameter(torch.zeros(6, 8))
        muon = Muon({"query": matrix}, MuonSettings(weight_decay=0.0), columns=lambda _: 4)
        assert matrix.grad is not None
        matrix.grad.copy_(gradient)
        muon.step(0.1)
        return matrix.detach()

    first = update(gradient)
    gradient[:, 4:] *= 100
    second = update(gradient)
    torch.testing.assert_close(first, second, rtol=1e-3, atol=1e-5)


def test_muon_takes_matrices_and_leaves_tables_heads_and_norms() -> None:
    model = Ranker(small_config())
    taken = {name for name, one in model.named_parameters() if is_matrix(name, one)}
    assert "transformer.layers.0.query" in taken
    assert "candidate_projection" in taken
    left = {name for name, _ in model.named_parameters()} - taken
    assert {"action_heads", "post_age_table", "out_norm", "action_bias"} <= left


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_a_step_with_a_gradient_that_is_not_finite_is_skipped(world: World, kind: str) -> None:
    config = small_config()
    generator = torch.Generator().manual_seed(0)
    model = Ranker(config)
    initialise(model, generator)
    train = TrainConfig(optimizer="muon" if kind == "muon" else "adamw")
    tables = TrainingTables.fresh(config, world.posts, train, generator)
    optimizer = Optimizer(model, tables, train, 4)
    layer = model.get_parameter("transformer.layers.0.query")

    def step(factor: float) -> None:
        rows = tables.viewers(np.array([5], dtype=np.uint64), training=True)
        weight = layer.square().sum() + model.out_norm.sum()
        optimizer.step((rows.sum() + weight) * factor)

    def watched() -> list[np.ndarray]:
        dense = [one.detach().numpy().copy() for one in (model.out_norm, layer)]
        return [*dense, tables.tables["user"].table.to_array()]

    before = watched()
    for n_skipped, factor in enumerate((float("nan"), 1e25), 1):  # the square of 1e25 is infinite
        step(factor)
        assert optimizer.n_skipped == n_skipped
        assert all(np.array_equal(*pair) for pair in zip(watched(), before, strict=True))
    step(1.0)
    assert optimizer.n_skipped == 2
    assert not any(np.array_equal(*pair) for pair in zip(watched(), before, strict=True))


def test_gradients_are_clipped_together() -> None:
    gradients = [torch.tensor([3.0]), torch.tensor([4.0])]
    assert clip_global_norm(gradients, 1.0) == pytest.approx(5.0)
    torch.testing.assert_close(torch.cat(gradients), torch.tensor([0.6, 0.8]))
    assert clip_global_norm(gradients, 2.0) == pytest.approx(1.0)
    torch.testing.assert_close(torch.cat(gradients), torch.tensor([0.6, 0.8]))
    gradients[0][0] = float("inf")
    assert clip_global_norm(gradients, 1.0) == float("inf")
    assert float(gradients[1]) == pytest.approx(0.8)


def test_row_steps_touch_only_the_rows_looked_up_and_never_padding() -> None:
    table = RowTable.fresh(6, 2, TrainConfig(), torch.Generator().manual_seed(0))
    before = table.table.to_array()
    looked_up = table.lookup(torch.tensor([[0, 3], [3, 5]]), training=True)
    (looked_up * torch.tensor([1.0, 3.0])).sum().backward()  # type: ignore[no-untyped-call]
    table.step(0.5)
    after = table.table.to_array()
    assert not after[0].any()
    untouched = [1, 2, 4]
    np.testing.assert_array_equal(after[untouched], before[untouched])
    # row 3 was used twice: gradient (2, 6), accumulator mean(4, 36) = 20
    expected = before[3] - 0.5 * np.array([2.0, 6.0]) / 20**0.5
    np.testing.assert_allclose(after[3], expected, rtol=1e-6)
    assert table.optimizer is not None
    assert table.optimizer.core.state()[0].tolist() == [0, 0, 0, 20, 0, 5]


def test_fresh_rows_have_the_spread_that_was_asked_for() -> None:
    n_rows = BLOCK_ROWS + 9
    train = TrainConfig(table_init_std=0.3)
    first, again = (
        RowTable.fresh(n_rows, 4, train, torch.Generator().manual_seed(4)).table.to_array()
        for _ in range(2)
    )
    np.testing.assert_array_equal(first, again)
    assert not first[0].any()
    for part in (first[1:BLOCK_ROWS], first[BLOCK_ROWS:]):
        assert (part != 0).all()
        assert 0.2 < part.std() < 0.4
    assert len(np.unique(first[:, 0])) > 0.99 * n_rows


@settings(max_examples=50, deadline=None)
@given(
    st.integers(0, 2**16),
    st.sampled_from([None, 2.0, 50.0]),
    st.booleans(),
    st.sampled_from([0.0, 0.02]),
)
def test_row_steps_equal_dense_arithmetic(
    seed: int, half_life: float | None, lazy: bool, decay: float
) -> None:
    rng = np.random.default_rng(seed)
    n_rows, width, n_steps = 9, 3, 6
    start = rng.normal(size=(n_rows, width)).astype(np.float32)
    optimizer = RowAdagrad(
        EmbeddingTable.from_array(start),
        half_life_steps=half_life,
        lazy_decay=lazy,
        weight_decay=decay,
    )
    table, sums, touched = start.astype(np.float64), np.zeros(n_rows), np.zeros(n_rows)
    for step in range(n_steps):
        rows = rng.permutation(n_rows)[: rng.integers(1, n_rows)]
        gradient = rng.normal(size=(len(rows), width)).astype(np.float32)
        optimizer.step(rows, gradient, rate=0.3)
        for row, g in zip(rows, gradient.astype(np.float64), strict=True):
            delta = step - touched[row] if lazy else 1
            touched[row] = step
            if row == 0:
                continue
            sums[row] *= 0.5 ** (delta / half_life) if half_life else 1
            sums[row] += np.square(g).mean()
            table[row] *= np.exp(-delta * decay)
            table[row] -= 0.3 * g / (np.sqrt(sums[row]) + 1e-10)
    np.testing.assert_allclose(optimizer.table.to_array(), table, rtol=2e-5, atol=2e-6)
    np.testing.assert_allclose(optimizer.core.state()[0], sums, rtol=1e-5)


def test_a_half_life_must_be_positive() -> None:
    train = TrainConfig(table_half_life_steps=0)
    with pytest.raises(ConfigError, match="half-life `0`"):
        RowTable.fresh(6, 2, train, torch.Generator())
