"""What a page is when a stage fails: named in the answer, closed where safety is at stake."""

# ruff: noqa: ARG002 - a stage that fails needs none of its arguments

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from xfeed import ConfigError, Feed
from xfeed.config import PipelineConfig
from xfeed.ids import to_u64

from tests.feed.worlds import event, follow, open_with, post, shown

Register = Callable[[type], type]
DEFAULT = PipelineConfig()


def build(directory: Path, **pipeline: Any) -> Feed:
    """Two posts in network, two popular ones; one of them carries a removing label."""
    return open_with(
        directory,
        follow("ann", "bo"),
        post("b1", "bo", 2),
        post("b2", "bo", 1),
        post("c1", "cy", 2),
        post("spam", "cy", 1),
        event("label", post_id="spam", label="spam", expires_at_ms=None),
        pipeline=pipeline,
    )


class BoomError(RuntimeError):
    """What the failing stages raise."""


class FailingSource:
    name: ClassVar[str] = "failing_source"

    def find(self, query: Any) -> Any:
        raise BoomError(f"no answer for {query.viewer}")


class FailingSafety:
    name: ClassVar[str] = "failing_safety"

    def hydrate(self, query: Any) -> None:
        raise BoomError("the graph is away")


class HalfSafety:
    """Knows everything but the mutes."""

    name: ClassVar[str] = "half_safety"

    def hydrate(self, query: Any) -> None:
        query.set_safety([], [], None, [])


class FailingLabels:
    name: ClassVar[str] = "failing_labels"

    def hydrate(self, query: Any, candidates: Any) -> None:
        raise BoomError("the labels are away")


class FailingScorer:
    name: ClassVar[str] = "failing_scorer"

    def score(self, query: Any, candidates: Any, board: Any) -> None:
        raise BoomError("no score")


class WrongShape:
    name: ClassVar[str] = "wrong_shape"
    reason: ClassVar[str] = "never"

    def keep(self, query: Any, candidates: Any) -> Any:
        return np.ones(len(candidates) + 1, dtype=np.bool_)


class WrongType(WrongShape):
    name: ClassVar[str] = "wrong_type"

    def keep(self, query: Any, candidates: Any) -> Any:
        return np.ones(len(candidates), dtype=np.int64)


class FailingFilter(WrongShape):
    name: ClassVar[str] = "failing_filter"

    def keep(self, query: Any, candidates: Any) -> Any:
        raise BoomError("no verdict")


class NotByCy:
    """Keeps what `cy` did not make."""

    name: ClassVar[str] = "not_by_cy"
    reason: ClassVar[str] = "by_cy"

    def keep(self, query: Any, candidates: Any) -> Any:
        return candidates.author_id != np.uint64(to_u64("cy"))


def test_a_failing_source_is_named_and_the_others_serve(
    tmp_path: Path, registered: Register
) -> None:
    registered(FailingSource)
    with build(tmp_path, sources=["failing_source", *DEFAULT.sources]) as feed:
        page = feed.for_you("ann")
        assert [item.post_id for item in page] == ["b2", "b1", "c1"]
        (named,) = page.degraded
        assert named.startswith("source:failing_source: BoomError: no answer for ")
        assert page.to_dict()["degraded"] == [named]


def test_without_any_source_the_page_is_empty_and_says_why(
    tmp_path: Path, registered: Register
) -> None:
    registered(FailingSource)
    with build(tmp_path, sources=["failing_source"]) as feed:
        page = feed.for_you("ann")
        assert (len(page), len(page.degraded)) == (0, 1)


@pytest.mark.parametrize(
    "hydrators",
    [
        ("following", "failing_safety", "seen"),
        ("following", "half_safety", "seen"),
        ("following", "seen"),
        (),
    ],
)
@pytest.mark.parametrize("filters", [DEFAULT.filters, ("age",), ("social_graph",), ()])
def test_nothing_is_shown_while_safety_is_unknown(
    tmp_path: Path, registered: Register, hydrators: tuple[str, ...], filters: tuple[str, ...]
) -> None:
    registered(FailingSafety)
    registered(HalfSafety)
    with build(tmp_path, query_hydrators=hydrators, filters=filters) as feed:
        page = feed.for_you("ann")
        assert len(page) == 0
        assert page.removed["safety_unknown"] >= 3
        assert page.where("c1").reason == "safety_unknown"
        if "failing_safety" in hydrators:
            assert page.degraded == ["query_hydrator:failing_safety: BoomError: the graph is away"]


@pytest.mark.parametrize(
    "hydrators",
    [
        ("core_data", "in_network", "failing_labels"),
        ("core_data", "in_network"),
        ("labels", "core_data", "in_network"),
    ],
    ids=["failed", "left out", "in the wrong order"],
)
def test_nothing_is_shown_while_labels_are_unknown(
    tmp_path: Path, registered: Register, hydrators: tuple[str, ...]
) -> None:
    registered(FailingLabels)
    with build(tmp_path, hydrators=hydrators) as feed:
        assert shown(feed, "ann") == []


def test_without_core_data_nothing_is_shown(tmp_path: Path) -> None:
    with build(tmp_path, hydrators=["in_network", "labels"]) as feed:
        page = feed.for_you("ann")
        assert len(page) == 0
        assert page.removed["missing_core_data"] == 4


@pytest.mark.parametrize(
    ("stage", "says"),
    [
        (WrongShape, "bool of shape (7,), bool of shape (6,) is needed"),
        (WrongType, "int64 of shape (6,), bool of shape (6,) is needed"),
        (FailingFilter, "BoomError: no verdict"),
    ],
)
def test_a_broken_filter_removes_everything_and_is_named(
    tmp_path: Path, registered: Register, stage: Any, says: str
) -> None:
    registered(stage)
    filters = [*DEFAULT.filters[:3], stage.name, *DEFAULT.filters[3:]]
    with build(tmp_path, filters=filters) as feed:
        page = feed.for_you("ann")
        assert len(page) == 0
        (named,) = page.degraded
        assert named.startswith(f"filter:{stage.name}: ")
        assert says in named
        assert page.removed == {"duplicate": 2, "filter_failed": 4}
        assert page.where("b1").stage == stage.name


def test_a_failing_scorer_is_named_and_the_rest_still_scores(
    tmp_path: Path, registered: Register
) -> None:
    registered(FailingScorer)
    with build(tmp_path, scorers=["failing_scorer", *DEFAULT.scorers]) as feed:
        page = feed.for_you("ann")
        assert page.degraded == ["scorer:failing_scorer: BoomError: no score"]
        assert [item.post_id for item in page] == ["b2", "b1", "c1"]


def test_a_python_filter_runs_between_rust_filters(tmp_path: Path, registered: Register) -> None:
    registered(NotByCy)
    filters = ["duplicates", "not_by_cy", *DEFAULT.filters[1:]]
    with build(tmp_path, filters=filters) as feed:
        page = feed.for_you("ann")
        stages = [stage for stage in page.funnel if stage.kind == "filter"]
        assert [stage.name for stage in stages] == filters
        assert stages[0].removed == {"duplicate": 2}
        assert stages[1].removed == {"by_cy": 2}
        assert [stage.n_in for stage in stages[1:]] == [stage.n_out for stage in stages[:-1]]
        assert page.where("c1").reason == "by_cy"
        assert [item.post_id for item in page] == ["b2", "b1"]
        assert page.degraded == []


@pytest.mark.parametrize(
    ("pipeline", "message", "hint"),
    [
        ({"filters": ["agee"]}, "filter `agee`", "did you mean `age`"),
        ({"sources": ["in_netwrok"]}, "source `in_netwrok`", "did you mean `in_network`"),
        ({"scorers": ["weighted_sums"]}, "scorer `weighted_sums`", "`weighted_sum`"),
        ({"hydrators": ["lables"]}, "hydrator `lables`", "did you mean `labels`"),
        ({"query_hydrators": ["safty"]}, "query hydrator `safty`", "did you mean `safety`"),
        ({"selector": "topk"}, "selector `topk`", "did you mean `top_k`"),
        ({"selector": "zzzzzz"}, "selector `zzzzzz`", "there are top_k"),
    ],
)
def test_an_unknown_stage_is_refused_with_the_nearest_name(
    tmp_path: Path, pipeline: dict[str, Any], message: str, hint: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        Feed.open(tmp_path, config={"pipeline": pipeline})
    assert caught.value.code == "unknown_stage"
    assert message in str(caught.value)
    assert hint in caught.value.hint


def test_a_name_that_is_taken_cannot_be_registered_again(registered: Register) -> None:
    taken_by_rust = type("Again", (NotByCy,), {"name": "age"})
    for stage in (taken_by_rust, type("NoName", (NotByCy,), {"name": ""})):
        with pytest.raises(ConfigError) as caught:
            registered(stage)
        assert caught.value.code == "bad_stage"
    registered(NotByCy)
    with pytest.raises(ConfigError, match="taken"):
        registered(NotByCy)


def test_what_is_no_stage_cannot_be_registered(registered: Register) -> None:
    with pytest.raises(ConfigError, match="the methods of no kind of stage"):
        registered(type("Nothing", (), {"name": "nothing"}))


def test_a_filter_is_counted_once_or_refused_twice(tmp_path: Path) -> None:
    filters = [*DEFAULT.filters, "labels"]
    try:
        feed = build(tmp_path, filters=filters)
    except ConfigError as refused:
        assert "labels" in str(refused)  # noqa: PT017 - one of two good outcomes
        return
    with feed:
        assert feed.for_you("ann").removed == {"duplicate": 2, "labelled": 1}
