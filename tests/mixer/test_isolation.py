"""A candidate is judged alone: its neighbours change nothing."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pytest
from xfeed import Feed, _core
from xfeed.config import PipelineConfig
from xfeed.mixer import Parts, Pipeline
from xfeed.mixer.board import ScoreBoard
from xfeed.models import ModelStore
from xfeed.phoenix.options import RuntimeOptions
from xfeed.presets import load_preset

from tests.feed.worlds import NOW_MS, VIEWERS, event, follow, open_with, post, shown

TOLERANCE = 1e-5
"""The largest difference that the order of sums in a batch may make to a prediction."""

Ids = npt.NDArray[np.uint64]


class Given:
    """Finds what it was told to."""

    name: ClassVar[str] = "given"
    posts: ClassVar[Ids] = np.zeros(0, dtype=np.uint64)

    def find(self, query: Any) -> Ids:  # noqa: ARG002
        return self.posts


@pytest.fixture
def parts(fitted_feed: Feed, registered: Callable[[type], type]) -> Parts:
    """The fitted feed with one source and without the scorers that compare candidates."""
    registered(Given)
    pipeline = PipelineConfig(
        sources=("given",), scorers=("predictor", "weighted_sum", "out_of_network")
    )
    config = fitted_feed.config.model_copy(update={"pipeline": pipeline})
    model = ModelStore(fitted_feed.directory, RuntimeOptions()).current()
    return Parts(fitted_feed.world, config, load_preset(config.scoring.preset), model)


def scored(pipeline: Pipeline, viewer: int, posts: Ids, now_ms: int) -> dict[int, ScoreBoard]:
    """Runs the whole mixer over exactly `posts`; gives each kept post its line of the board."""
    Given.posts = posts
    run = pipeline.run(viewer, now_ms, 500)
    assert run.report.degraded == []
    board = run.board
    kept = run.candidates.post_id[board.rows]
    lines = {}
    for line, post_id in enumerate(kept.tolist()):
        at = slice(line, line + 1)
        lines[post_id] = replace(
            board,
            rows=board.rows[at],
            predictions=board.predictions[at],
            weights=board.weights[at],
            products=board.products[at],
            score=board.score[at],
            addends={name: values[at] for name, values in board.addends.items()},
            multipliers={name: values[at] for name, values in board.multipliers.items()},
        )
    return lines


def assert_same(one: ScoreBoard, other: ScoreBoard) -> None:
    for name in ("predictions", "weights", "products", "score"):
        left, right = getattr(one, name), getattr(other, name)
        np.testing.assert_allclose(left, right, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True)
    for name in one.multipliers:
        np.testing.assert_array_equal(one.multipliers[name], other.multipliers[name])


@pytest.mark.parametrize("viewer", VIEWERS[:4])
def test_other_candidates_change_no_part_of_a_score(parts: Parts, viewer: int) -> None:
    pipeline, now_ms = Pipeline(parts), parts.world.last_ms
    ids: Ids = parts.world.live_posts()["post_id"]
    whole = scored(pipeline, viewer, ids, now_ms)
    assert len(whole) > 100
    draw = np.random.default_rng(viewer)
    mixed = scored(pipeline, viewer, draw.permutation(ids), now_ms)
    # Of two cards of one post the first stays, so a few may differ.
    both = sorted(whole.keys() & mixed.keys())
    assert len(both) > 100
    few = draw.choice(np.array(both, dtype=np.uint64), size=7, replace=False)
    some = scored(pipeline, viewer, few, now_ms)
    for post_id in both:
        assert_same(whole[post_id], mixed[post_id])
    for post_id in few.tolist():
        assert_same(whole[post_id], some[post_id])
        alone = scored(pipeline, viewer, np.array([post_id], dtype=np.uint64), now_ms)
        assert_same(whole[post_id], alone[post_id])


def test_different_candidates_do_get_different_scores(parts: Parts) -> None:
    ids: Ids = parts.world.live_posts()["post_id"]
    scores = scored(Pipeline(parts), 1, ids, parts.world.last_ms)
    assert len({float(board.score[0]) for board in scores.values()}) > len(scores) // 2


class BlindOnSome:
    """A real model that gives no number for every third candidate."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self.bundle_id = model.bundle_id

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def predict(self, *arguments: Any, **limits: Any) -> npt.NDArray[np.float32]:
        predictions: npt.NDArray[np.float32] = self._model.predict(*arguments, **limits).copy()
        predictions[::3] = np.nan
        return predictions


def test_what_is_not_predicted_is_never_on_a_page_and_is_counted(
    fitted_feed: Feed,
) -> None:
    model = ModelStore(fitted_feed.directory, RuntimeOptions()).current()
    config = fitted_feed.config
    preset = load_preset(config.scoring.preset)
    blind = Pipeline(Parts(fitted_feed.world, config, preset, BlindOnSome(model)))
    for viewer in VIEWERS[:5]:
        run = blind.run(viewer, fitted_feed.now_ms(), 500)
        n = len(run.board.rows)
        unscored = run.board.rows[::3].tolist()
        assert np.isnan(run.board.score[::3]).all()
        assert np.isfinite(np.delete(run.board.score, np.s_[::3])).all()
        assert not set(unscored) & set(run.selected)
        assert len(run.selected) == n - len(unscored)
        counted = sum(stage.removed.get("not_scored", 0) for stage in run.report.stages)
        assert counted == len(unscored)


def test_events_of_strangers_change_nobody_elses_page(tmp_path: Path) -> None:
    events = [follow("ann", "bo"), post("b1", "bo", 3), post("b2", "bo", 2), post("c1", "cy", 1)]
    strangers = [
        follow("dan", "bo"),
        event("block", user_id="dan", target_id="bo"),
        event("mute", user_id="dan", target_id="cy"),
        event("mute_word", user_id="dan", word="b2"),
        event("impression", viewer_id="dan", post_id="b1"),
        event("profile", user_id="dan", handle="dan"),
    ]
    with open_with(tmp_path / "one", *events) as one:
        before = [item.to_dict() for item in one.for_you("ann")]
        assert one.ingest(strangers).accepted == len(strangers)
        assert [item.to_dict() for item in one.for_you("ann")] == before
        assert shown(one, "dan") == []


def test_a_strangers_history_changes_no_prediction(fitted_dir: Path, tmp_path: Path) -> None:
    import shutil

    ignore = shutil.ignore_patterns("*-wal", "*-shm")
    directory = shutil.copytree(fitted_dir, tmp_path / "copy", ignore=ignore)
    with Feed.open(directory, config={"threads": 1}) as feed:
        now_ms = feed.now_ms()
        before = {viewer: feed.for_you(viewer, now_ms=now_ms) for viewer in VIEWERS[:5]}
        seen = {"type": "impression", "at_ms": now_ms, "viewer_id": "a stranger"}
        for item in before[1]:
            feed.ingest([{**seen, "post_id": item.post_id}])
        for viewer, page in before.items():
            after = feed.for_you(viewer, now_ms=now_ms)
            assert [item.to_dict() for item in after] == [item.to_dict() for item in page]


def test_a_fresh_query_knows_nothing() -> None:
    assert set(_core.Query(1, NOW_MS).unknown()) == {
        "blocked", "blocked_by", "muted", "muted_words", "seen",
    }  # fmt: skip
