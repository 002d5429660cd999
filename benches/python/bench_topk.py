"""Retrieval: the 200 posts that fit a viewer best, among as many as the published corpus holds."""

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import numpy as np
from xfeed.phoenix.index import Dtype, VectorIndex

from benches.python.timing import QUICK, Figure, Findings, Row, Target, turns
from benches.python.topk_peers import (
    Floats,
    Ids,
    Search,
    Unavailable,
    with_faiss,
    with_hnswlib,
    with_numpy,
    with_torch,
    with_usearch_exact,
    with_usearch_graph,
)

SEED: Final = 20_260_821
N_POSTS: Final = 20_000 if QUICK else 537_000
N_GRAPH: Final = min(N_POSTS, 100_000)
"""Posts of the graphs: adding all would take many minutes."""

WIDTH: Final = 128
K: Final = 200
N_QUERIES: Final = 64
DTYPES: Final[tuple[Dtype, ...]] = ("float32", "bfloat16", "int8")
ROUNDS: Final = 3 if QUICK else 15
N_CENTRES: Final = 2_000
SPREAD: Final = 1.0
"""Length of what is added to the centre of a vector's cluster, beside the centre's own of 1."""

EXACT: Final[Mapping[str, Callable[[Floats, int], Search]]] = {
    "numpy": with_numpy,
    "torch": with_torch,
    "faiss Flat": with_faiss,
    "usearch exact": with_usearch_exact,
}
GRAPHS: Final[Mapping[str, Callable[[Floats, int], Callable[[int], Search]]]] = {
    "usearch HNSW": with_usearch_graph,
    "hnswlib": with_hnswlib,
}
GRAPH_CANDIDATES: Final = (200, 800)


def unit(vectors: Floats) -> Floats:
    scaled: Floats = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return scaled


def clustered(generator: np.random.Generator, centres: Floats, n: int) -> Floats:
    """Vectors of unit length around centres."""
    noise = unit(generator.standard_normal((n, WIDTH), dtype=np.float32))
    return unit(centres[generator.integers(0, len(centres), n)] + np.float32(SPREAD) * noise)


def exactly(vectors: Floats, queries: Floats) -> Ids:
    """The best in double precision."""
    wide = vectors.astype(np.float64)
    found = [np.argsort(-(wide @ query), kind="stable")[:K] for query in queries]
    return np.array(found)


def recall(found: Ids, best: Ids) -> float:
    shared = [len(set(a.tolist()) & set(b.tolist())) for a, b in zip(found, best, strict=True)]
    return float(np.mean(shared)) / K


def ours(index: VectorIndex) -> Search:
    def search(queries: Floats, k: int) -> Ids:
        return index.search(queries, k).ids.astype(np.int64)

    return search


def index_of(vectors: Floats, dtype: Dtype, n_threads: int) -> VectorIndex:
    index = VectorIndex(WIDTH, dtype, threads=n_threads)
    posts = np.arange(len(vectors), dtype=np.uint64)
    index.insert(posts, vectors, posts.astype(np.int64), posts % np.uint64(1_000))
    return index


def side(search: Search, queries: Floats, n_together: int) -> Callable[[], object]:
    """One call with the next queries."""
    place = 0

    def call() -> object:
        nonlocal place
        place = (place + n_together) % (len(queries) - n_together + 1)
        return search(queries[place : place + n_together], K)

    return call


def scans(
    vectors: Floats, queries: Floats, best: Ids, n_threads: int
) -> tuple[list[Row], dict[str, dict[str, float]], list[str]]:
    """Every exact search, with one query and with eight at once."""
    sides = {f"ours {dtype}": ours(index_of(vectors, dtype, n_threads)) for dtype in DTYPES}
    skipped = []
    for name, make in EXACT.items():
        try:
            sides[name] = make(vectors, n_threads)
        except Unavailable as reason:
            skipped.append(str(reason))
    recalls = {name: recall(search(queries, K), best) for name, search in sides.items()}
    rows, raw = [], {}
    for B in (1, 8):
        calls = {name: side(search, queries, B) for name, search in sides.items()}
        times = turns(calls, rounds=ROUNDS)
        what = f"top-{K} of {N_POSTS:,} x {WIDTH}, B={B}, {n_threads} thread(s)"
        raw[f"B={B}, {n_threads} thread(s)"] = {name: took.p50 for name, took in times.items()}
        for mine in ("ours float32", "ours int8"):
            for name in times:
                if name in EXACT or (mine == "ours int8" and name == "ours bfloat16"):
                    note = f"{mine} (recall {recalls[mine]:.4f}) / {name} ({recalls[name]:.4f})"
                    rows.append(Row("topk", what, times[mine], times[name], "ms", note))
    return rows, raw, skipped


def graphs(vectors: Floats, queries: Floats) -> tuple[list[Row], list[Figure], list[str]]:
    """Approximate searches of one query on one thread, after two threads built the graph."""
    rows, figures, skipped = [], [], []
    best = exactly(vectors, queries)
    mine = ours(index_of(vectors, "int8", 1))
    exact = recall(mine(queries, K), best)
    for name, make in GRAPHS.items():
        start = time.perf_counter()
        try:
            searches = make(vectors, 2)
        except Unavailable as reason:
            skipped.append(str(reason))
            continue
        rate = len(vectors) / (time.perf_counter() - start)
        figures.append(Figure(f"{name}: vectors added", rate, "1/s", "two threads"))
        for candidates in GRAPH_CANDIDATES:
            search = searches(candidates)
            found = recall(search(queries, K), best)
            calls = {"ours": side(mine, queries, 1), name: side(search, queries, 1)}
            times = turns(calls, rounds=ROUNDS)
            what = f"top-{K} of {len(vectors):,} x {WIDTH}, B=1, 1 thread(s)"
            note = f"ours int8 (recall {exact:.4f}) / {name}, {candidates} candidates ({found:.4f})"
            rows.append(Row("topk", what, times["ours"], times[name], "ms", note))
    return rows, figures, skipped


def changes(vectors: Floats) -> list[Figure]:
    """What it costs to keep an index in step, and its memory."""
    figures = []
    posts = np.arange(len(vectors), dtype=np.uint64)
    times = posts.astype(np.int64)
    for dtype in DTYPES:
        index = VectorIndex(WIDTH, dtype)
        start = time.perf_counter()
        for first in range(0, len(vectors), 1_000):
            some = slice(first, first + 1_000)
            index.insert(posts[some], vectors[some], times[some], posts[some])
        rate = len(vectors) / (time.perf_counter() - start)
        gone = np.random.default_rng(SEED).permutation(posts)[:1_100]
        memory = index.used_bytes / len(index)
        figures += [
            Figure(f"{dtype}: inserts", rate, "1/s", "1,000 at a time"),
            Figure(f"{dtype}: memory", memory, "bytes/post", f"{WIDTH} numbers each"),
            Figure(f"{dtype}: one delete", micros_each(index.delete, gone[100:, None]), "us"),
            Figure(
                f"{dtype}: erase an author",
                micros_each(index.erase_author, gone[:100].tolist()),
                "us",
                "looks at every post",
            ),
        ]
    return figures


def micros_each(call: Callable[[Any], object], arguments: Iterable[Any]) -> float:
    """Median time of a call."""
    took = []
    for argument in arguments:
        start = time.perf_counter_ns()
        call(argument)
        took.append((time.perf_counter_ns() - start) / 1_000)
    return float(np.median(took))


def run() -> Findings:
    generator = np.random.default_rng(SEED)
    centres = unit(generator.standard_normal((N_CENTRES, WIDTH), dtype=np.float32))
    vectors = clustered(generator, centres, N_POSTS)
    queries = clustered(generator, centres, N_QUERIES)
    best = exactly(vectors, queries)
    findings = Findings([], raw={"recall against": "the best in double precision"})
    for n_threads in (1, 2):
        rows, raw, skipped = scans(vectors, queries, best, n_threads)
        findings.rows.extend(rows)
        findings.raw.update(raw)
        if n_threads == 1:
            findings.skipped.extend(skipped)
        for what, times in raw.items():
            findings.targets.extend(_targets(what, times))
    mine = index_of(vectors, "int8", 1)
    exact = recall(ours(mine)(queries, K), best)
    findings.targets.append(Target("recall of int8 with exact re-scoring", exact, 1.0))
    rows, figures, skipped = graphs(vectors[:N_GRAPH], queries)
    findings.rows.extend(rows)
    findings.figures.extend([*figures, *changes(vectors)])
    findings.skipped.extend(skipped)
    return findings


def _targets(what: str, times: Mapping[str, float]) -> list[Target]:
    """The limits that issue 5 names, where the peer is there."""
    wanted = (("faiss Flat", "ours float32", 1.0), ("numpy", "ours float32", 1.0),
              ("faiss Flat", "ours int8", 2.5))  # fmt: skip
    return [
        Target(f"{mine} against {peer}, {what}", times[peer] / times[mine], limit)
        for peer, mine, limit in wanted
        if peer in times
    ]
