"""A deadline leaves the last candidates without predictions, never the first, and says so."""

import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from xfeed.phoenix.batch import PostColumns
from xfeed.phoenix.options import RuntimeOptions
from xfeed.phoenix.runtime import Phoenix, serving
from xfeed.phoenix.runtime.engines import RankerEngine

from tests.phoenix.worlds import HOUR_MS, START_MS, World, make_posts

pytestmark = pytest.mark.usefixtures("one_thread")

NOW_MS = START_MS + 200 * HOUR_MS
VIEWER = 7
ALONE = RuntimeOptions(context_cache_bytes=0, score_cache_entries=0)


@pytest.fixture(scope="module")
def candidates() -> PostColumns:
    return make_posts(90, np.random.default_rng(5))


def ask(
    phoenix: Phoenix, world: World, posts: PostColumns, deadline: float | None
) -> npt.NDArray[np.float32]:
    history = world.interactions.take(world.interactions.viewer_key == VIEWER)
    return phoenix.predict(VIEWER, history, world.posts, posts, 1, NOW_MS, deadline=deadline)


@pytest.mark.parametrize("engine", ["native", "torch"])
def test_a_deadline_far_away_changes_nothing(
    bundle_dir: Path, world: World, candidates: PostColumns, engine: str
) -> None:
    phoenix = Phoenix.load(bundle_dir, replace(ALONE, engine=engine))  # type: ignore[arg-type]
    out = ask(phoenix, world, candidates, time.monotonic() + 3_600)
    np.testing.assert_array_equal(out, ask(phoenix, world, candidates, None))
    assert phoenix.stats.n_unscored == 0


def test_a_deadline_that_has_passed_leaves_everything(
    bundle_dir: Path, world: World, candidates: PostColumns
) -> None:
    phoenix = Phoenix.load(bundle_dir, ALONE)
    out = ask(phoenix, world, candidates, time.monotonic() - 1)
    assert out.shape == (90, 27)
    assert np.isnan(out).all()
    assert phoenix.stats.n_unscored == 90
    assert phoenix.n_not_finite == 0
    assert phoenix.stats.contexts.misses == 0


def test_the_first_candidates_are_scored_before_the_deadline_and_equal_a_whole_answer(
    bundle_dir: Path,
    world: World,
    candidates: PostColumns,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The clock is real; scoring is slowed down so that it passes between two chunks."""
    phoenix = Phoenix.load(bundle_dir, ALONE)
    whole = ask(phoenix, world, candidates, None)
    monkeypatch.setattr(serving, "DEADLINE_CHUNK", 30)
    score = RankerEngine.score
    n_calls = 0

    def slow(self: RankerEngine, *arguments: object) -> list[npt.NDArray[np.float32]]:
        nonlocal n_calls
        n_calls += 1
        if n_calls == 2:
            time.sleep(0.6)
        return score(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(RankerEngine, "score", slow)
    out = ask(phoenix, world, candidates, time.monotonic() + 0.5)
    np.testing.assert_array_equal(out[:60], whole[:60])
    assert np.isnan(out[60:]).all()
    assert phoenix.stats.n_unscored == 30


def test_what_a_deadline_left_is_scored_by_the_next_request(
    bundle_dir: Path, world: World, candidates: PostColumns
) -> None:
    phoenix = Phoenix.load(bundle_dir)
    fresh = Phoenix.load(bundle_dir, ALONE)
    first = ask(phoenix, world, candidates.take(np.arange(40)), time.monotonic() + 3_600)
    late = ask(phoenix, world, candidates, time.monotonic() - 1)
    # what is kept costs no time, so it is there even when there is none left
    np.testing.assert_array_equal(late[:40], first)
    assert np.isnan(late[40:]).all()
    whole = ask(phoenix, world, candidates, None)
    np.testing.assert_array_equal(whole, ask(fresh, world, candidates, None))


def test_a_deadline_holds_in_a_group_with_a_long_request(
    bundle_dir: Path, world: World, candidates: PostColumns, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both are computed together; the long one ends only after the other one was answered."""
    options = replace(ALONE, engine="torch", max_batch_viewers=2, batch_wait_ms=20_000)
    phoenix = Phoenix.load(bundle_dir, replace(options, candidate_chunk=30))
    answered = threading.Event()
    score = RankerEngine.score
    groups: list[int] = []

    def watched(self: RankerEngine, *arguments: object) -> list[npt.NDArray[np.float32]]:
        groups.append(len(arguments[0]))  # type: ignore[arg-type]
        if len(groups) == 1:
            time.sleep(1)
        elif groups[-1] == 1:
            assert answered.wait(20)
        return score(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(RankerEngine, "score", watched)
    out: list[npt.NDArray[np.float32]] = []
    long = threading.Thread(target=lambda: out.append(ask(phoenix, world, candidates, None)))
    long.start()
    while not phoenix._batcher._queue:
        time.sleep(0.001)
    late = ask(phoenix, world, candidates, time.monotonic() + 0.9)
    answered.set()
    long.join(20)
    assert groups == [2, 1, 1]
    assert np.isfinite(late[:30, phoenix.heads.filled]).all()
    assert np.isnan(late[30:]).all()
    assert np.isfinite(out[0][:, phoenix.heads.filled]).all()
    assert phoenix.stats.n_unscored == 60


def test_a_request_that_waits_for_others_is_answered_at_its_deadline(
    bundle_dir: Path, world: World, candidates: PostColumns, monkeypatch: pytest.MonkeyPatch
) -> None:
    phoenix = Phoenix.load(
        bundle_dir, replace(ALONE, engine="torch", max_batch_viewers=2, batch_wait_ms=0)
    )
    scoring, answered = threading.Event(), threading.Event()
    score = RankerEngine.score

    def watched(self: RankerEngine, *arguments: object) -> list[npt.NDArray[np.float32]]:
        scoring.set()
        assert answered.wait(20)
        return score(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(RankerEngine, "score", watched)
    out: list[npt.NDArray[np.float32]] = []
    long = threading.Thread(target=lambda: out.append(ask(phoenix, world, candidates, None)))
    long.start()
    assert scoring.wait(20)
    late = ask(phoenix, world, candidates, time.monotonic() + 0.05)
    assert np.isnan(late).all()
    answered.set()
    long.join(20)
    assert np.isfinite(out[0][:, phoenix.heads.filled]).all()
    assert phoenix.stats.n_unscored == 90
