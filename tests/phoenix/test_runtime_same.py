"""However a request is computed, the answer is the same, bit for bit.

The other candidates, their order, chunks, caches, threads and groups change how long an answer
takes. On the CPU they change no bit of it, with the engine in Rust as with torch.
"""

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from xfeed.phoenix.batch import PostColumns
from xfeed.phoenix.options import RuntimeOptions
from xfeed.phoenix.runtime import Phoenix, engines

from tests.phoenix.worlds import HOUR_MS, START_MS, World, make_posts

pytestmark = pytest.mark.usefixtures("one_thread")

NOW_MS = START_MS + 200 * HOUR_MS
ALONE = RuntimeOptions(context_cache_bytes=0, score_cache_entries=0, max_batch_viewers=1)
Values = npt.NDArray[np.float32]


@pytest.fixture(scope="module", params=["native", "torch"])
def plain(request: pytest.FixtureRequest, bundle_dir: Path) -> Phoenix:
    """Nothing kept, nothing grouped."""
    torch.set_num_threads(1)
    return Phoenix.load(bundle_dir, replace(ALONE, engine=request.param))


@pytest.fixture(scope="module")
def candidates() -> PostColumns:
    return make_posts(150, np.random.default_rng(5))


def ask(phoenix: Phoenix, world: World, posts: PostColumns, viewer: int = 7) -> Values:
    history = world.interactions.take(world.interactions.viewer_key == viewer)
    return phoenix.predict(viewer, history, world.posts, posts, 1, NOW_MS)


def variant(plain: Phoenix, bundle_dir: Path, **changes: Any) -> Phoenix:
    return Phoenix.load(bundle_dir, replace(plain.options, **changes))


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_other_candidates_and_their_order_change_nothing(
    plain: Phoenix, world: World, candidates: PostColumns, data: st.DataObject
) -> None:
    rows = np.array(data.draw(st.lists(st.integers(0, 149), min_size=1, max_size=60)))
    some = ask(plain, world, candidates.take(rows))
    np.testing.assert_array_equal(some, ask(plain, world, candidates)[rows])


@pytest.mark.parametrize("length", [1, 2, 7, 16, 40, 149, 150, 151])
def test_chunks_change_nothing(
    plain: Phoenix, world: World, candidates: PostColumns, bundle_dir: Path, length: int
) -> None:
    chunked = variant(plain, bundle_dir, candidate_chunk=length)
    np.testing.assert_array_equal(ask(chunked, world, candidates), ask(plain, world, candidates))


@pytest.mark.parametrize("n_posts", [0, 1, 39, 40, 41])
def test_batches_around_the_chunk_are_served(
    plain: Phoenix, world: World, candidates: PostColumns, bundle_dir: Path, n_posts: int
) -> None:
    chunked = variant(plain, bundle_dir, candidate_chunk=40)
    out = ask(chunked, world, candidates.take(np.arange(n_posts)))
    np.testing.assert_array_equal(out, ask(plain, world, candidates)[:n_posts])


def test_chunks_of_posts_change_no_vector(
    plain: Phoenix, candidates: PostColumns, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = plain.post_vectors(candidates)
    monkeypatch.setattr(engines, "POST_CHUNK", 7)
    np.testing.assert_array_equal(plain.post_vectors(candidates), whole)


def test_kept_scores_are_those_of_a_fresh_request(
    plain: Phoenix, world: World, candidates: PostColumns, bundle_dir: Path
) -> None:
    keeping = variant(plain, bundle_dir, context_cache_bytes=2**24, score_cache_entries=10_000)
    expected = ask(plain, world, candidates)
    draw = np.random.default_rng(3)
    for _ in range(12):
        rows = draw.integers(0, 150, draw.integers(1, 90))
        np.testing.assert_array_equal(ask(keeping, world, candidates.take(rows)), expected[rows])
    assert keeping.stats.scores.hits > 100
    # of a post that comes twice in one request both are misses; one of them is kept
    assert 100 < keeping.stats.scores.entries <= 150
    assert keeping.stats.contexts.misses == 1


def test_threads_change_nothing(
    plain: Phoenix, world: World, candidates: PostColumns, bundle_dir: Path
) -> None:
    """Eight threads, three viewers, caches that are too small for all of them."""
    busy = variant(plain, bundle_dir, context_cache_bytes=4_000, score_cache_entries=200, threads=2)
    expected = {viewer: ask(plain, world, candidates, viewer) for viewer in (7, 8, 9)}
    wrong: list[int] = []

    def run(seed: int) -> None:
        draw = np.random.default_rng(seed)
        for _ in range(12):
            viewer = int(draw.integers(7, 10))
            rows = draw.integers(0, 150, draw.integers(1, 120))
            out = ask(busy, world, candidates.take(rows), viewer)
            if not np.array_equal(out, expected[viewer][rows], equal_nan=True):
                wrong.append(viewer)

    threads = [threading.Thread(target=run, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_groups_of_viewers_get_the_answers_of_each(
    world: World, candidates: PostColumns, bundle_dir: Path
) -> None:
    """Torch pads the histories of a group to one length, which may move the last bits."""
    alone = Phoenix.load(bundle_dir, replace(ALONE, engine="torch"))
    grouped = Phoenix.load(
        bundle_dir,
        replace(ALONE, engine="torch", max_batch_viewers=8, batch_wait_ms=200, candidate_chunk=50),
    )
    answers: dict[int, Values] = {}
    lengths = {viewer: 1 + 17 * viewer for viewer in range(1, 8)} | {999: 33}

    def run(viewer: int) -> None:
        posts = candidates.take(np.arange(lengths[viewer]))
        answers[viewer] = ask(grouped, world, posts, viewer)

    threads = [threading.Thread(target=run, args=(viewer,)) for viewer in lengths]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert grouped.stats.mean_group_len > 1.5
    for viewer, out in answers.items():
        posts = candidates.take(np.arange(lengths[viewer]))
        np.testing.assert_allclose(out, ask(alone, world, posts, viewer), rtol=1e-5, atol=1e-6)
