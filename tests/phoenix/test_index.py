"""The index of vectors from Python: exact, complete, safe to use from many threads."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xfeed.errors import ConfigError, ShapeError, StoreError, XfeedError
from xfeed.phoenix.index import Dtype, Hits, VectorIndex

from tests.shared_data import shared_path

DTYPES: tuple[Dtype, ...] = ("float32", "bfloat16", "int8")
Floats = npt.NDArray[np.float32]


def unit(n: int, width: int, seed: int = 0) -> Floats:
    vectors = np.random.default_rng(seed).standard_normal((n, width), dtype=np.float32)
    scaled: Floats = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return scaled


def filled(n: int = 5_000, width: int = 64, dtype: Dtype = "int8", threads: int = 1) -> VectorIndex:
    index = VectorIndex(width, dtype, threads=threads)
    posts = np.arange(n, dtype=np.uint64)
    index.insert(posts, unit(n, width), np.arange(n), posts % np.uint64(50))
    return index


def as_json(hits: Hits) -> Any:
    return [hits.ids.tolist(), hits.scores.view(np.uint32).tolist(), hits.counts.tolist()]


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_best_are_found_within_times_authors_and_kinds(dtype: Dtype) -> None:
    n, width = 3_000, 32
    index = VectorIndex(width, dtype)
    posts = np.arange(n, dtype=np.uint64)[::-1].copy()
    vectors, times, authors = unit(n, width), np.arange(n), posts % np.uint64(7)
    kinds = (np.arange(n) % 3).astype(np.uint8)
    assert index.insert(posts, vectors, times, authors, kinds) == n
    stored = vectors
    if dtype == "bfloat16":
        stored = np.stack([v for post in posts if (v := index.vector(int(post))) is not None])
    queries = unit(4, width, seed=1)
    hits = index.search(
        queries,
        20,
        since_ms=100,
        until_ms=[2_000, 2_900, 101, 50],
        exclude_authors=[[1], [], [], []],
        kinds=[0, 2],
    )
    for i, until in enumerate((2_000, 2_900, 101, 50)):
        eligible = (times >= 100) & (times <= until) & (kinds != 1)
        if i == 0:
            eligible &= authors != 1
        rows = np.flatnonzero(eligible)
        scores = stored[rows].astype(np.float64) @ queries[i].astype(np.float64)
        best = rows[np.lexsort((~posts[rows], -scores))[:20]]
        assert hits.counts[i] == len(best)
        assert hits.ids[i, : len(best)].tolist() == posts[best].tolist()
        np.testing.assert_allclose(
            hits.scores[i, : len(best)], np.sort(scores)[::-1][:20], atol=1e-6
        )
        assert not hits.ids[i, len(best) :].any()
        assert (hits.scores[i, len(best) :] == -np.inf).all()


def test_rounding_and_threads_change_nothing() -> None:
    queries = unit(9, 64, seed=2)
    expected = as_json(filled(20_000, dtype="float32").search(queries, 100))
    for dtype in ("float32", "int8"):
        for threads in (1, 2, 5):
            index = filled(20_000, dtype=dtype, threads=threads)
            assert as_json(index.search(queries, 100)) == expected


LEVELS = """
import json, sys
from tests.phoenix.test_index import DTYPES, as_json, filled, unit
print(json.dumps([as_json(filled(dtype=d).search(unit(5, 64, seed=3), 50)) for d in DTYPES]))
"""


def test_every_width_of_registers_gives_the_same_numbers() -> None:
    answers = []
    for level in ("portable", "avx2", "avx512"):
        done = subprocess.run(
            [sys.executable, "-c", LEVELS],
            check=True,
            capture_output=True,
            text=True,
            timeout=100,
            cwd=Path(__file__).parents[2],
            env={**os.environ, "XFEED_SIMD": level},
        )
        answers.append(json.loads(done.stdout))
    assert len(answers[0][0][0]) == 5
    assert answers[0] == answers[1] == answers[2]


def test_replacing_deleting_and_erasing_take_effect_at_once() -> None:
    index = filled(100, 8)
    best = int(index.search(unit(1, 8, seed=4), 1).ids[0, 0])
    vector = index.vector(best)
    assert vector is not None
    assert index.insert([best], -vector[None], [0], [99]) == 0
    assert index.search(vector[None], 100).ids[0, -1] == best
    assert index.delete([best, best, 10_000]) == 1
    assert best not in index
    assert index.erase_author(7) == 2
    assert index.delete_older(50) == 50 - 1 - sum(post != best for post in (7,))
    remaining = set(index.ids().tolist())
    assert remaining == {post for post in range(50, 100) if post % 50 != 7} - {best}
    assert set(index.search(vector[None], 1_000).ids[0].tolist()) == remaining


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("n", "k", "n_queries"), [(0, 5, 2), (3, 0, 2), (3, 9, 2), (3, 3, 0)])
def test_the_edges_give_defined_answers(dtype: Dtype, n: int, k: int, n_queries: int) -> None:
    hits = filled(n, 5, dtype).search(unit(n_queries, 5), k)
    K = min(n, k)
    assert hits.ids.shape == hits.scores.shape == (n_queries, K)
    assert hits.counts.tolist() == [K] * n_queries


@given(st.integers(1, 40), st.integers(1, 60), st.integers(1, 200), st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_int8_and_float32_agree_on_vectors_of_any_length(
    width: int, k: int, n: int, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    vectors = generator.standard_normal((n, width)) * 10.0 ** generator.integers(-30, 15, (n, 1))
    vectors[generator.random(n) < 0.2] = vectors[0]
    queries = generator.standard_normal((3, width)) * 10.0 ** generator.integers(-30, 15, (3, 1))
    answers = []
    for dtype in ("float32", "int8"):
        index = VectorIndex(width, dtype)
        index.insert(list(range(n)), vectors.astype(np.float32), [0] * n, [0] * n)
        answers.append(as_json(index.search(queries.astype(np.float32), k)))
    assert answers[0] == answers[1]


@pytest.mark.parametrize(
    ("vectors", "code", "part"),
    [
        (np.array([[1, 0], [np.nan, 0]], dtype=np.float32), "not_finite", "`22`"),
        (np.array([[np.inf, 0], [0, 0]], dtype=np.float32), "not_finite", "`11`"),
        (np.array([[1, 0], [3e20, 0]], dtype=np.float32), "too_long", "`22`"),
        (np.zeros((2, 3), dtype=np.float32), "bad_shape", "3 wide"),
        (np.zeros((1, 2), dtype=np.float32), "bad_shape", "vectors"),
        (np.zeros((2, 2)), "bad_shape", "float64"),
    ],
)
def test_a_bad_vector_is_refused_with_its_post_and_nothing_is_taken(
    vectors: Any, code: str, part: str
) -> None:
    index = VectorIndex(2)
    with pytest.raises(ShapeError, match=part) as caught:
        index.insert([11, 22], vectors, [0, 0], [0, 0])
    assert caught.value.code == code
    assert caught.value.hint
    assert len(index) == 0


@pytest.mark.parametrize(
    "call",
    [
        lambda index: index.search(np.array([[np.nan, 0]], dtype=np.float32), 1),
        lambda index: index.search(np.zeros((1, 3), dtype=np.float32), 1),
        lambda index: index.search(np.zeros(2, dtype=np.float32), 1),
        lambda index: index.search(np.zeros((1, 2), dtype=np.float32), -1),
        lambda index: index.search(np.zeros((1, 2), dtype=np.float32), 1, kinds=[64]),
        lambda index: index.search(np.zeros((1, 2), dtype=np.float32), 1, since_ms=[1, 2]),
        lambda index: index.search(np.zeros((1, 2), dtype=np.float32), 1, exclude_authors=[]),
        lambda index: index.insert([1], np.zeros((1, 2), dtype=np.float32), [0], [0], [64]),
        lambda index: index.insert([-1], np.zeros((1, 2), dtype=np.float32), [0], [0]),
        lambda index: index.insert([1], np.zeros((1, 2), dtype=np.float32), [0], [0, 1]),
        lambda index: index.delete(np.array([1.5])),
        lambda _: VectorIndex(0),
        lambda _: VectorIndex(2, "float64"),  # type: ignore[arg-type]
        lambda _: VectorIndex(2, threads=0),
    ],
)
def test_what_cannot_be_asked_is_refused(call: Any) -> None:
    with pytest.raises(XfeedError) as caught:
        call(VectorIndex(2))
    assert isinstance(caught.value, (ShapeError, ConfigError))
    assert caught.value.hint


@pytest.mark.parametrize("dtype", DTYPES)
def test_what_was_saved_is_loaded_and_damage_is_refused(dtype: Dtype, tmp_path: Path) -> None:
    path = tmp_path / "vectors"
    index, queries = filled(300, 16, dtype), unit(3, 16, seed=5)
    index.save(path)
    index.save(path)
    loaded = VectorIndex.load(path, threads=2)
    assert (loaded.dtype, loaded.width, len(loaded)) == (dtype, 16, 300)
    assert as_json(loaded.search(queries, 40)) == as_json(index.search(queries, 40))
    assert [file.name for file in tmp_path.iterdir()] == ["vectors"]
    whole = path.read_bytes()
    for damaged in (b"", whole[:-1], whole + b"\0", whole[:99] + b"\xff" + whole[100:]):
        path.write_bytes(damaged)
        with pytest.raises(StoreError, match="vectors"):
            VectorIndex.load(path)
    with pytest.raises((StoreError, OSError)):
        VectorIndex.load(tmp_path / "absent")
    with pytest.raises(StoreError):
        index.save(tmp_path / "absent" / "vectors")


def test_searches_beside_changes_see_whole_posts_only() -> None:
    width, stop, problems = 16, threading.Event(), list[str]()
    index = VectorIndex(width, "int8", threads=2)
    vector = unit(1, width)[0]
    # A post is either as it was or as it is; its length tells which time belongs to it.
    lengths = np.array([1.0, 2.0], dtype=np.float32)

    def change(seed: int) -> None:
        generator = np.random.default_rng(seed)
        while not stop.is_set():
            posts = generator.integers(0, 2_000, 300).astype(np.uint64)
            which = generator.integers(0, 2, len(posts))
            index.insert(posts, lengths[which, None] * vector, which, posts)
            index.delete(posts[:100])
            index.erase_author(int(posts[200]))

    def look() -> None:
        while not stop.is_set():
            for which in (0, 1):
                hits = index.search(vector[None], 500, since_ms=which, until_ms=which)
                found = hits.scores[0, : hits.counts[0]]
                if not np.allclose(found, lengths[which], atol=1e-6):
                    problems.append(f"{which}: {found}")
                if len(set(hits.ids[0, : hits.counts[0]].tolist())) != hits.counts[0]:
                    problems.append("a post was found twice")

    threads = [threading.Thread(target=change, args=(seed,)) for seed in range(2)]
    threads += [threading.Thread(target=look) for _ in range(2)]
    for thread in threads:
        thread.start()
    stop.wait(1.5)
    stop.set()
    for thread in threads:
        thread.join(timeout=30)
    assert not any(thread.is_alive() for thread in threads)
    assert not problems
    assert len(index.ids()) == len(index)


@pytest.mark.parametrize("dtype", ["float32", "int8"])
@pytest.mark.parametrize("case", ["retrieval_01_f32_mlp_tower", "retrieval_03_f32_mean_pool"])
def test_the_published_search_finds_the_same(case: str, dtype: Dtype) -> None:
    with np.load(shared_path("conformance", "phoenix", f"{case}.npz")) as data:
        corpus, mask = data["in/corpus_embeddings"], data["in/corpus_mask"]
        users, k = data["out/user_representation"], int(data["in/top_k"])
        expected = {name: data[f"out/top_k_{name}"] for name in ("indices", "scores")}
        masked = {name: data[f"out/top_k_{name}_masked"] for name in ("indices", "scores")}
    n = len(corpus)
    index = VectorIndex(corpus.shape[1], dtype)
    # There the lower row wins a tie, here the larger id.
    posts = np.arange(n, dtype=np.uint64)[::-1].copy()
    index.insert(posts, corpus.astype(np.float32), [0] * n, posts, mask.astype(np.uint8))
    for wanted, kinds in ((expected, None), (masked, [1])):
        hits = index.search(users.astype(np.float32), k, kinds=kinds)
        n_found = n if kinds is None else int(mask.sum())
        for row in range(len(users)):
            count = min(k, n_found)
            assert hits.counts[row] == count
            rows = n - 1 - hits.ids[row, :count].astype(np.int64)
            np.testing.assert_allclose(
                hits.scores[row, :count], wanted["scores"][row, :count], atol=2e-6
            )
            swapped = rows != wanted["indices"][row, :count]
            gaps = np.abs(np.diff(wanted["scores"][row, :count].astype(np.float64)))
            close = np.append(gaps, 1.0).clip(0) < 1e-6
            close |= np.insert(gaps, 0, 1.0) < 1e-6
            assert (close | ~swapped).all()


def test_moments_of_numpy_are_taken_and_those_out_of_range_refused() -> None:
    index = VectorIndex(2)
    vector = np.ones((1, 2), dtype=np.float32)
    index.insert([7], vector, [10], [1])
    hits = index.search(vector, 1, since_ms=np.int64(5), until_ms=np.int32(20))  # type: ignore[arg-type]
    assert hits.ids.tolist() == [[7]]
    assert index.search(vector, 1, since_ms=np.int64(11)).counts.tolist() == [0]  # type: ignore[arg-type]
    for moment in (2**63, -(2**63) - 1):
        with pytest.raises(ShapeError, match="until_ms") as caught:
            index.search(vector, 1, until_ms=moment)
        assert str(moment) in str(caught.value)
        assert caught.value.hint
    assert 7 in index
    assert -1 not in index
    assert 2**64 not in index
