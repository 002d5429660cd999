"""The approximate index keeps the promises of the exact one, but for a share of the best posts."""

import builtins
from typing import Any

import numpy as np
import pytest
from xfeed.errors import ConfigError, ShapeError
from xfeed.phoenix.index import Index, VectorIndex
from xfeed.phoenix.index.ann import AnnIndex

from tests.phoenix.test_index import unit

pytest.importorskip("usearch", reason="the extra `ann` is not installed")


def both(n: int, width: int) -> tuple[AnnIndex, VectorIndex]:
    posts = np.arange(n, dtype=np.uint64)
    vectors = unit(n, width)
    indexes = AnnIndex(width, connectivity=16, expansion_search=256), VectorIndex(width)
    for index in indexes:
        filled: Index = index
        kinds = (posts % np.uint64(2)).astype(np.uint8)
        assert filled.insert(posts, vectors, np.arange(n), posts % np.uint64(40), kinds) == n
    return indexes


def recall(found: Any, exact: Any) -> float:
    shares = [
        len(set(a[:n].tolist()) & set(b[:n].tolist())) / n
        for a, b, n in zip(found.ids, exact.ids, exact.counts, strict=True)
    ]
    return float(np.mean(shares))


def test_it_finds_nearly_all_of_the_best_under_any_mask() -> None:
    approximate, exact = both(4_000, 24)
    queries = unit(16, 24, seed=1)
    for asked in (
        {},
        {"since_ms": 1_000, "until_ms": 3_000},
        {"kinds": [1]},
        {"exclude_authors": [list(range(20))] * 16},
        {"since_ms": 3_990},
    ):
        found, best = approximate.search(queries, 50, **asked), exact.search(queries, 50, **asked)
        assert found.counts.tolist() == best.counts.tolist()
        assert recall(found, best) > 0.9
        assert (np.diff(found.scores[:, : best.counts[0]], axis=1) <= 0).all()
    few = approximate.search(queries, 50, since_ms=3_990)
    assert few.counts.tolist() == [10] * 16
    assert recall(few, exact.search(queries, 50, since_ms=3_990)) == 1.0


def test_what_is_deleted_erased_or_replaced_is_never_found_again() -> None:
    approximate, exact = both(600, 8)
    vectors = unit(600, 8)
    for index in (approximate, exact):
        assert index.delete([5, 5, 700]) == 1
        assert index.erase_author(7) == 15
        assert index.delete_older(100) == 100 - 1 - 3
        assert index.insert([500, 500, 5], -vectors[[1, 2, 3]], [1_000] * 3, [1] * 3) == 1
        assert 5 in index
        assert 7 not in index
    for query in (vectors[:40], -vectors[:40]):
        found, best = approximate.search(query, 600), exact.search(query, 600)
        assert found.ids.tolist() == best.ids.tolist()
        np.testing.assert_allclose(found.scores, best.scores, atol=1e-6)
    assert len(approximate) == len(exact)


def test_it_refuses_what_the_exact_one_refuses() -> None:
    index = AnnIndex(2)
    nan, wide = np.full((1, 2), np.nan, dtype=np.float32), np.zeros((1, 3), dtype=np.float32)
    long = np.full((1, 2), 1e19, dtype=np.float32)
    for bad, code in ((nan, "not_finite"), (wide, "bad_shape"), (long, "too_long")):
        with pytest.raises(ShapeError) as caught:
            index.insert([77], bad, [0], [0])
        assert caught.value.code == code
        with pytest.raises(ShapeError):
            index.search(bad, 1)
    assert len(index) == 0
    assert index.search(np.zeros((2, 2), dtype=np.float32), 5).ids.shape == (2, 0)


def test_without_usearch_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    importing = builtins.__import__

    def without(name: str, *args: Any, **named: Any) -> Any:
        if name.startswith("usearch"):
            raise ImportError(name)
        return importing(name, *args, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigError, match="usearch") as caught:
        AnnIndex(8)
    assert "xfeed[ann]" in caught.value.hint
