"""A request that runs out of time is served with what was scored, and says what was not."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from xfeed import Feed
from xfeed.mixer import Parts, Pipeline
from xfeed.models import ModelStore
from xfeed.phoenix.options import RuntimeOptions
from xfeed.presets import load_preset

from tests.feed.worlds import VIEWERS

VIEWER = VIEWERS[0]


class FirstHalf:
    """The real model with a clock that stops in the middle: a deadline was given and has passed."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self.bundle_id = model.bundle_id
        self.deadline: float | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def predict(self, *arguments: Any, deadline: float | None = None) -> Any:
        self.deadline = deadline
        out = self._model.predict(*arguments)
        out[len(out) // 2 :] = np.nan
        assert deadline is not None
        time.sleep(max(deadline - time.monotonic(), 0))
        return out


def pipeline(feed: Feed, model: Any, deadline_ms: int) -> Pipeline:
    config = feed.config.model_copy(
        update={"model": feed.config.model.model_copy(update={"deadline_ms": deadline_ms})}
    )
    return Pipeline(Parts(feed.world, config, load_preset(config.scoring.preset), model))


@pytest.fixture(scope="module")
def model(fitted_dir: Path) -> Any:
    return ModelStore(fitted_dir, RuntimeOptions()).current()


def test_without_a_deadline_nothing_is_left_out(fitted_feed: Feed, model: Any) -> None:
    run = pipeline(fitted_feed, model, 0).run(VIEWER, fitted_feed.now_ms(), 20)
    assert run.board.deadline is None
    assert np.isfinite(run.board.score).all()
    assert run.report.degraded == []


def test_a_generous_deadline_changes_no_score(fitted_feed: Feed, model: Any) -> None:
    now_ms = fitted_feed.now_ms()
    plain = pipeline(fitted_feed, model, 0).run(VIEWER, now_ms, 20)
    timed = pipeline(fitted_feed, model, 3_600_000).run(VIEWER, now_ms, 20)
    assert timed.board.deadline is not None
    np.testing.assert_array_equal(timed.board.score, plain.board.score)
    assert timed.report.degraded == []


def test_what_the_deadline_left_is_not_on_the_page_and_the_page_says_so(
    fitted_feed: Feed, model: Any
) -> None:
    half = FirstHalf(model)
    run = pipeline(fitted_feed, half, 200).run(VIEWER, fitted_feed.now_ms(), 500)
    n = len(run.board.rows)
    n_left = n - n // 2
    assert half.deadline is not None
    assert run.report.degraded == [
        f"scorer:predictor: the deadline left {n_left} of {n} candidates unscored"
    ]
    assert sorted(run.selected) == sorted(run.board.rows[: n // 2].tolist())
    assert run.board.by_model
    counts = [stage.removed.get("not_scored", 0) for stage in run.report.stages]
    assert sum(counts) == n_left


def test_a_deadline_that_leaves_everything_gives_the_page_without_a_model(
    fitted_dir: Path,
) -> None:
    """One millisecond is gone before the predictor's turn."""
    with Feed.open(fitted_dir, mode="read", config={"model": {"deadline_ms": 1}}) as feed:
        page = feed.for_you(VIEWER)
        assert page.mode == "newest_then_popular"
        assert len(page) == 20
        (named,) = page.degraded
        assert "the deadline left" in named


def test_what_is_not_predicted_is_named_where_the_score_is_explained(fitted_dir: Path) -> None:
    weights = {"click_dwell_time": 0.4}
    with Feed.open(fitted_dir, mode="read", config={"scoring": {"weights": weights}}) as feed:
        page = feed.for_you(VIEWER)
    assert page.mode == "model"
    for item in page:
        assert item.why.missing == ("click_dwell_time",)
        assert "click_dwell_time" not in {part.name for part in item.why.parts}
        factors = [*item.why.multipliers.values()]
        assert item.score == pytest.approx(item.why.total * np.prod(factors))
        assert "not predicted: click_dwell_time" in str(item.why)
        assert item.why.to_dict()["missing"] == ["click_dwell_time"]


def test_an_action_without_weight_is_not_missed(fitted_feed: Feed) -> None:
    for item in fitted_feed.for_you(VIEWER):
        assert item.why.missing == ()
        assert "not predicted" not in str(item.why)
