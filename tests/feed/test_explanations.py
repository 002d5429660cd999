import math
from collections import Counter
from itertools import pairwise
from typing import Any

import pytest
from xfeed import Feed, FeedResult
from xfeed.mixer import Why

from tests.feed.worlds import NOW_MS, VIEWERS, event, follow, open_with, post


@pytest.fixture(scope="module", params=["small", "fitted"])
def pages(request: pytest.FixtureRequest) -> list[FeedResult]:
    feed: Feed = request.getfixturevalue(f"{request.param}_feed")
    return [feed.for_you(viewer, limit=30) for viewer in [*VIEWERS, "somebody new"]]


def recomputed(why: Why) -> float:
    """The score by the documented rule: the exact sum of the parts, times the factors in order."""
    score = math.fsum(part.product for part in why.parts)
    for factor in why.multipliers.values():
        score *= factor
    return score


def test_the_parts_of_every_item_make_its_score(pages: list[FeedResult]) -> None:
    whys = [item.why for page in pages for item in page]
    assert len(whys) > 100
    for why in whys:
        assert why.score == pytest.approx(recomputed(why), rel=1e-12, abs=1e-300)
        assert math.isfinite(why.score)
        assert why.total == math.fsum(part.product for part in why.parts)


def test_every_predicted_part_is_prediction_times_weight(pages: list[FeedResult]) -> None:
    for page in pages:
        for part in (part for item in page for part in item.why.parts):
            if part.prediction is None or part.weight is None:
                assert part.prediction is part.weight is None
                continue
            assert part.product == pytest.approx(part.prediction * part.weight, rel=1e-12)


def test_the_score_of_an_item_is_the_score_of_its_explanation(pages: list[FeedResult]) -> None:
    for item in (item for page in pages for item in page):
        assert item.score == item.why.score == item.to_dict()["why"]["score"]
        assert f"{item.score:+.6f}" in str(item.why).splitlines()[-1]


def test_main_parts_are_the_largest(pages: list[FeedResult]) -> None:
    for item in (item for page in pages for item in page):
        sizes = sorted((abs(part.product) for part in item.why.parts), reverse=True)
        main = [abs(part.product) for part in item.why.main_parts(3)]
        assert main == [size for size in sizes[:3] if size]


def test_a_model_explains_with_predictions_and_the_other_mode_without(
    small_feed: Feed, fitted_feed: Feed
) -> None:
    by_model, without = fitted_feed.for_you(1)[0].why, small_feed.for_you(1)[0].why
    assert {"favorite", "reply", "dwell_time", "offset"} <= {part.name for part in by_model.parts}
    assert list(by_model.multipliers) == ["author_diversity", "out_of_network"]
    assert {part.name for part in without.parts} == {"in_network", "freshness", "popularity"}
    assert without.multipliers == {}


def test_counts_of_the_funnel_add_up(pages: list[FeedResult]) -> None:
    for page in pages:
        filters = [stage for stage in page.funnel if stage.kind == "filter"]
        found = sum(stage.n_out for stage in page.funnel if stage.kind == "source")
        assert filters[0].n_in == found
        for before, after in pairwise(filters):
            assert after.n_in == before.n_out
        for stage in filters:
            assert stage.n_in - stage.n_out == sum(stage.removed.values()) >= 0
        scorers = [stage for stage in page.funnel if stage.kind == "scorer"]
        assert {stage.n_in for stage in scorers} == {filters[-1].n_out}
        (selector,) = [stage for stage in page.funnel if stage.kind == "selector"]
        assert (selector.n_in, selector.n_out) == (filters[-1].n_out, len(page))


def test_the_funnel_has_every_stage_of_the_config_in_order(fitted_feed: Feed) -> None:
    names = fitted_feed.config.pipeline
    expected = [("query_hydrator", name) for name in names.query_hydrators]
    expected += [("source", name) for name in names.sources]
    expected += [("hydrator", name) for name in names.hydrators]
    expected += [("filter", name) for name in names.filters]
    expected += [("scorer", name) for name in names.scorers]
    expected += [("selector", names.selector)]
    page = fitted_feed.for_you(1)
    assert [(stage.kind, stage.name) for stage in page.funnel] == expected
    assert page.to_dict()["funnel"] == [stage.counts() for stage in page.funnel]


def test_verdicts_and_the_funnel_agree(fitted_feed: Feed, small_events: list[bytes]) -> None:
    """Every removal in the funnel is found again by asking for each post."""
    posts = [
        line.split(b'"post_id":')[1].split(b",")[0] for line in small_events if post_made(line)
    ]
    for viewer in VIEWERS[:5]:
        page = fitted_feed.for_you(viewer, limit=10)
        places = [page.where(int(post_id)) for post_id in posts]
        outcomes = Counter(place.outcome for place in places)
        removed = Counter(place.reason for place in places if place.outcome == "removed")
        assert removed == Counter({k: n for k, n in page.removed.items() if k != "duplicate"})
        assert outcomes["selected"] == 10
        (selector,) = [stage for stage in page.funnel if stage.kind == "selector"]
        assert outcomes["not_selected"] == selector.n_in - 10


def post_made(line: bytes) -> bool:
    return b'"type":"post"' in line


REMOVED: dict[str, tuple[str, list[dict[str, Any]]]] = {
    "too_old": ("age", [post("it", "bo", 50)]),
    "own_post": ("self_post", [post("it", "ann")]),
    "author_blocked": (
        "social_graph",
        [post("it", "bo"), event("block", user_id="ann", target_id="bo")],
    ),
    "blocked_by_author": (
        "social_graph",
        [post("it", "bo"), event("block", user_id="bo", target_id="ann")],
    ),
    "author_muted": (
        "social_graph",
        [post("it", "bo"), event("mute", user_id="ann", target_id="bo")],
    ),
    "related_unknown": (
        "social_graph",
        [
            event("follow", user_id="ann", target_id="bo"),
            post("answer", "cy", 3, reply_to_id="never came"),
            post("it", "bo", repost_of_id="answer"),
            event("block", user_id="ann", target_id="somebody"),
        ],
    ),
    "labelled": (
        "labels",
        [post("it", "bo"), event("label", post_id="it", label="spam", expires_at_ms=None)],
    ),
    "muted_word": (
        "muted_keywords",
        [post("it", "bo", text="a spoiler"), event("mute_word", user_id="ann", word="Spoiler")],
    ),
    "seen": (
        "previously_seen",
        [post("it", "bo"), event("impression", viewer_id="ann", post_id="it")],
    ),
    "related_deleted": (
        "missing_core_data",
        [
            post("source", "cy", 3),
            post("it", "bo", quote_of_id="source"),
            event("delete", post_id="source"),
        ],
    ),
    "repost_duplicate": (
        "repost_duplicates",
        [follow("ann", "cy"), post("source", "cy", 1), post("it", "bo", 2, repost_of_id="source")],
    ),
}


@pytest.mark.parametrize("reason", REMOVED)
def test_where_names_the_filter_the_reason_and_the_values(tmp_path: Any, reason: str) -> None:
    stage, events = REMOVED[reason]
    # A long retention lets a post live on that the age filter removes.
    thunder = {"retention_secs": 1_000_000}
    with open_with(tmp_path, follow("ann", "bo"), *events, thunder=thunder) as feed:
        page = feed.for_you("ann")
        place = page.where("it")
        assert (place.stage, place.reason) == (stage, reason)
        # Sources that know what was seen do not even bring it.
        assert place.outcome == ("not_retrieved" if reason == "seen" else "removed")
        assert place.detail
        if reason != "seen":
            assert str(place) == f"removed by {stage}: {place.detail}"
        assert "it" not in [item.post_id for item in page]
        assert page.removed.get(reason, 0) == (0 if reason == "seen" else 1)


def test_where_gives_the_place_on_the_page_and_below_it(fitted_feed: Feed) -> None:
    long, short = fitted_feed.for_you(1, limit=20), fitted_feed.for_you(1, limit=5)
    for item in long:
        place = short.where(item.post_id)
        assert place.outcome == ("selected" if item.position <= 5 else "not_selected")
        assert place.detail.startswith(f"place {item.position} of ")
    assert short.where(long[0].post_id).stage == long[0].source
    below = short.where(long[7].post_id)
    assert f"{long[7].score:.6f}" in below.detail
    assert below.reason == "below_the_cut"


NOT_RETRIEVED: dict[str, tuple[str, list[dict[str, Any]]]] = {
    "unknown_post": ("store", []),
    "deleted_post": ("store", [post("it", "bo"), event("delete", 0.5, post_id="it")]),
    "too_old": ("age", [post("it", "bo", 50)]),
    "found_as_repost": (
        "sources",
        [post("it", "cy", 3, reply_to_id="above"), post("again", "bo", 1, repost_of_id="it")],
    ),
    "not_found": ("sources", [post("it", "cy", 3, reply_to_id="above")]),
}


@pytest.mark.parametrize("reason", NOT_RETRIEVED)
def test_where_says_why_nothing_found_a_post(tmp_path: Any, reason: str) -> None:
    stage, events = NOT_RETRIEVED[reason]
    people = [] if reason == "too_old" else [follow("ann", "bo")]
    thunder = {"retention_secs": 1_000_000}
    with open_with(tmp_path, *people, *events, thunder=thunder) as feed:
        place = feed.for_you("ann", now_ms=NOW_MS).where("it")
        assert (place.outcome, place.stage, place.reason) == ("not_retrieved", stage, reason)
        if reason == "found_as_repost":
            assert "again" in place.detail


def test_a_post_beyond_the_retention_is_unknown(tmp_path: Any) -> None:
    with open_with(tmp_path, follow("ann", "bo"), post("it", "bo", 49)) as feed:
        assert feed.where("it", "ann").reason == "unknown_post"
        assert "older than the retention" in feed.where("it", "ann").detail


def test_feed_where_is_where_of_the_page(fitted_feed: Feed) -> None:
    page = fitted_feed.for_you(1)
    for item in page:
        assert fitted_feed.where(item.post_id, 1) == page.where(item.post_id)


def test_the_same_post_from_two_sources_is_removed_once(tmp_path: Any) -> None:
    with open_with(tmp_path, follow("ann", "bo"), post("it", "bo")) as feed:
        page = feed.for_you("ann")
        assert page.removed == {"duplicate": 1}
        assert page.where("it").outcome == "selected"
        assert page[0].source == "in_network"
