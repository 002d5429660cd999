"""Products around the Rust trunk: torch's numbers, the same bits in any company, gradients kept."""

import copy

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from xfeed import _core
from xfeed.errors import ConfigError, ShapeError
from xfeed.phoenix.model import inputs
from xfeed.phoenix.model.native import NativeTransformer
from xfeed.phoenix.model.products import Products

from tests.phoenix.random_inputs import make_inputs, make_ranker


def drawn(*shape: int, seed: int = 0) -> Tensor:
    """Normal numbers."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@settings(max_examples=30, deadline=None)
@given(
    st.integers(0, 90),
    st.lists(st.integers(0, 40), min_size=1, max_size=3).filter(any),
    st.lists(st.integers(1, 40), min_size=1, max_size=2),
    st.booleans(),
    st.integers(1, 2),
)
def test_products_equal_those_of_torch(
    n: int, widths: list[int], columns: list[int], has_norm: bool, threads: int
) -> None:
    depth = sum(widths)
    parts = [drawn(n, width, seed=i) for i, width in enumerate(widths)]
    matrices = [drawn(depth, width, seed=9 + i) for i, width in enumerate(columns)]
    norm = drawn(depth, seed=5) if has_norm else None
    found = Products(threads).product(parts, matrices, norm)
    rows = torch.cat(parts, dim=-1).double()
    if norm is not None:
        rows = rows * (rows.square().mean(-1, keepdim=True) + 1e-5).rsqrt() * norm
    right = rows @ torch.cat(matrices, dim=1).double()
    assert found is not None
    torch.testing.assert_close(found.double(), right, rtol=1e-5, atol=2e-5)


def test_a_row_has_the_same_bits_in_any_company() -> None:
    rows, matrix, norm = drawn(203, 48), drawn(48, 20, seed=1), drawn(48, seed=2)
    together = Products(1).product([rows], [matrix], norm)
    assert together is not None
    for threads in (1, 2):
        products = Products(threads)
        for first, last in [(0, 203), (0, 1), (202, 203), (5, 77)]:
            alone = products.product([rows[first:last]], [matrix], norm)
            assert alone is not None
            assert torch.equal(alone, together[first:last])


def test_a_matrix_is_packed_once_and_its_neighbour_apart() -> None:
    products, parameter = Products(1), drawn(12, 8)
    first, second = torch.split(parameter, [4, 8])
    for _ in range(3):
        products.product([drawn(2, 4)], [first])
    once = products.nbytes
    assert once > 0
    products.product([drawn(2, 4)], [parameter[:4]])
    assert products.nbytes == once
    found = products.product([drawn(2, 8)], [second])
    assert found is not None
    torch.testing.assert_close(found, drawn(2, 8) @ second)
    assert products.nbytes > once


def test_matrices_that_are_made_anew_are_not_kept_for_ever() -> None:
    products = Products(1)
    for i in range(100):
        found = products.product([drawn(1, 4)], [drawn(4, 4, seed=i)])
        assert found is not None
        torch.testing.assert_close(found, drawn(1, 4) @ drawn(4, 4, seed=i))
    products.product([drawn(1, 4)], [drawn(4, 4)])
    single = Products(1)
    single.product([drawn(1, 4)], [drawn(4, 4)])
    assert products.nbytes <= 64 * single.nbytes


def test_what_needs_gradients_or_other_numbers_is_left_to_torch() -> None:
    products, rows = Products(1), drawn(3, 4)
    parameter = torch.nn.Parameter(drawn(4, 2))
    assert products.product([rows], [parameter]) is None
    with torch.no_grad():
        assert products.product([rows], [parameter]) is not None
    assert products.product([rows.double()], [parameter.detach().double()]) is None
    assert products.product([drawn(3, 0)], [drawn(0, 2)]) is None


def test_heads_can_still_be_trained_behind_a_native_trunk() -> None:
    ranker = make_ranker("may")
    native = copy.copy(ranker)
    native.trunk = NativeTransformer(ranker.transformer)
    ranker.action_heads.requires_grad_()
    found = make_inputs(ranker.config)
    native(found.posts, found.history, found.candidates).logits.sum().backward()
    assert ranker.action_heads.grad is not None
    assert bool(ranker.action_heads.grad.any())


def test_an_index_outside_a_table_gives_zeros() -> None:
    table = drawn(5, 3)
    found = inputs.lookup(table, torch.tensor([[0, 4, 5, -1, 99]]))
    assert torch.equal(found[0, :2], table[[0, 4]])
    assert not bool(found[0, 2:].any())


def test_places_take_what_their_posts_have_in_any_order() -> None:
    part = drawn(6, 3)
    for post in ([[0, 1, 2, 3, 4, 5]], [[0, 1, 2], [3, 4, 5]], [[5, 1, 2, 3, 4, 0]], [[1, 1]]):
        places = torch.tensor(post)
        assert torch.equal(inputs.spread(part, places), part[places])


def test_arrays_that_do_not_fit_are_refused() -> None:
    one = np.ones((4, 3), dtype=np.float32)
    packed = _core.PackedMatrix(one)
    assert (packed.depth, packed.columns) == (4, 3)
    out = np.empty((2, 3), dtype=np.float32)
    packed.multiply([np.ones((2, 4), np.float32)], out)
    assert (out == 4).all()
    wrong: list[list[npt.NDArray[np.float32]]] = [
        [],
        [np.ones((2, 3), np.float32)],
        [np.ones((1, 4), np.float32)],
    ]
    for parts in wrong:
        with pytest.raises(ShapeError):
            packed.multiply(parts, out)
    uneven = [np.ones((2, 2), np.float32), np.ones((1, 2), np.float32)]
    with pytest.raises(ShapeError):
        packed.multiply(uneven, out)
    with pytest.raises(ShapeError):
        packed.multiply([np.ones((4, 2), np.float32).T], out)
    with pytest.raises(ConfigError):
        packed.multiply([np.ones((2, 4), np.float32)], out, threads=0)
    with pytest.raises(ShapeError):
        _core.PackedMatrix(one, norm=np.ones(3, np.float32))
    with pytest.raises(ShapeError):
        _core.PackedMatrix(np.ones((0, 3), np.float32))
