"""What an index of vectors refuses."""

from typing import Any

import numpy as np
import pytest
from xfeed.errors import ShapeError
from xfeed.phoenix.index import VectorIndex


def test_more_hits_than_memory_holds_are_refused() -> None:
    n = 20_000
    index = VectorIndex(1)
    posts = np.arange(n, dtype=np.uint64)
    index.insert(posts, np.ones((n, 1), dtype=np.float32), np.zeros(n, dtype=np.int64), posts)
    queries = np.ones((n, 1), dtype=np.float32)
    with pytest.raises(ShapeError, match="20000"):
        index.search(queries, n, since_ms=1)
    assert index.search(queries[:2], n, since_ms=1).ids.shape == (2, n)


@pytest.mark.parametrize(
    "ids", [[1.7], [9007199254740993.0], ["12345"], [True], [-1], [2**64], [[1]], [None]]
)
def test_a_list_that_is_not_of_ids_is_refused(ids: Any) -> None:
    index = VectorIndex(2)
    vectors = np.ones((1, 2), dtype=np.float32)
    with pytest.raises(ShapeError, match="ids"):
        index.insert(ids, vectors, [0], [1])
    with pytest.raises(ShapeError, match="exclude_authors"):
        index.search(vectors, 1, exclude_authors=[ids])
    assert len(index) == 0


def test_lists_of_all_ids_are_taken_as_they_are() -> None:
    index = VectorIndex(2)
    ids = [2**64 - 1, 0, 2**53 + 1]
    index.insert(ids, np.ones((3, 2), dtype=np.float32), [-(2**63), 2**63 - 1, 0], ids, [0, 63, 1])
    assert index.ids().tolist() == sorted(ids)
    assert index.delete([]) == 0
