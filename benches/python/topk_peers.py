"""Other ways to find the largest dot products; each gives ids `(B, k)`, best first."""

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from threadpoolctl import threadpool_limits

Floats = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]
Search = Callable[[Floats, int], Ids]


class Unavailable(Exception):  # noqa: N818 - not an error, a reason
    """A peer cannot run here; the message is the reason."""


def with_numpy(vectors: Floats, n_threads: int) -> Search:
    """One product, then a partition and a sort for each query."""

    def search(queries: Floats, k: int) -> Ids:
        with threadpool_limits(n_threads, user_api="blas"):
            scores = queries @ vectors.T
        best = np.argpartition(scores, -k, axis=1)[:, -k:]
        order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1)
        found: Ids = np.take_along_axis(best, order, axis=1)
        return found

    return search


def with_torch(vectors: Floats, n_threads: int) -> Search:
    """One product and `torch.topk`."""
    tensor = torch.from_numpy(vectors)

    def search(queries: Floats, k: int) -> Ids:
        torch.set_num_threads(n_threads)
        with torch.inference_mode():
            scores = torch.mm(torch.from_numpy(queries), tensor.T)
            found: Ids = torch.topk(scores, k, dim=1).indices.numpy()
        return found

    return search


def with_faiss(vectors: Floats, n_threads: int) -> Search:
    """`IndexFlatIP`.

    Raises:
        Unavailable: faiss is not installed.
    """
    try:
        import faiss
    except ImportError as error:
        raise Unavailable(f"faiss Flat: {error}") from error
    index: Any = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)

    def search(queries: Floats, k: int) -> Ids:
        faiss.omp_set_num_threads(n_threads)
        _, found = index.search(queries, k)
        ids: Ids = found
        return ids

    return search


def with_usearch_exact(vectors: Floats, n_threads: int) -> Search:
    """`usearch.index.search` without an index.

    Raises:
        Unavailable: usearch is not installed.
    """
    try:
        usearch: Any = importlib.import_module("usearch.index")
    except ImportError as error:
        raise Unavailable(f"usearch exact: {error}") from error

    def scan(queries: Floats, k: int) -> Ids:
        kind = usearch.MetricKind.IP
        found = usearch.search(vectors, queries, k, kind, exact=True, threads=n_threads)
        return np.asarray(found.keys, dtype=np.int64).reshape(len(queries), -1)

    return scan


def with_usearch_graph(vectors: Floats, n_build_threads: int) -> Callable[[int], Search]:
    """HNSW of usearch with 16 neighbours; what it gives takes the candidates of a search.

    Raises:
        Unavailable: usearch is not installed.
    """
    try:
        from usearch.index import Index
    except ImportError as error:
        raise Unavailable(f"usearch HNSW: {error}") from error
    index = Index(ndim=vectors.shape[1], metric="ip", dtype="f32", connectivity=16)
    index.add(np.arange(len(vectors)), vectors, threads=n_build_threads)
    return lambda candidates: _usearch_search(index, candidates)


def _usearch_search(index: Any, candidates: int) -> Search:
    def search(queries: Floats, k: int) -> Ids:
        index.expansion_search = candidates
        found = index.search(queries, k, threads=1)
        return np.asarray(found.keys, dtype=np.int64).reshape(len(queries), -1)

    return search


def with_hnswlib(vectors: Floats, n_build_threads: int) -> Callable[[int], Search]:
    """HNSW of hnswlib with the same settings.

    Raises:
        Unavailable: hnswlib is not installed; there are no wheels, it needs a compiler.
    """
    try:
        import hnswlib
    except ImportError as error:
        raise Unavailable(f"hnswlib: {error} (it has no wheels)") from error
    index: Any = hnswlib.Index(space="ip", dim=vectors.shape[1])
    index.init_index(max_elements=len(vectors), M=16, ef_construction=128)
    index.add_items(vectors, np.arange(len(vectors)), num_threads=n_build_threads)
    return lambda candidates: _hnswlib_search(index, candidates)


def _hnswlib_search(index: Any, candidates: int) -> Search:
    def search(queries: Floats, k: int) -> Ids:
        index.set_ef(candidates)
        found: Ids = index.knn_query(queries, k, num_threads=1)[0].astype(np.int64)
        return found

    return search
