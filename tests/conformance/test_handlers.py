"""Small cases of our own for what the handlers must not get wrong."""

from typing import Any

import pytest
from xfeed.conformance.registry import AREAS
from xfeed.conformance.shape import NotCovered, Results, compute

NOW = 1_000_000


def answer(area: str, **given: Any) -> Results:
    return compute(AREAS[area], given)


def weighted(**changes: Any) -> Results:
    given: dict[str, Any] = {
        "weights": "aug2026_defaults",
        "candidate": {"in_network": True},
        "scores": {"reply": 0.1},
    }
    return answer("scorer.weighted", **(given | changes))


def post(post_id: int, author_id: int, created_at: int, **more: Any) -> dict[str, Any]:
    return {"post_id": post_id, "author_id": author_id, "created_at": created_at, **more}


@pytest.mark.parametrize("kind", ["in_reply_to_tweet_id", "retweeted_tweet_id"])
def test_only_originals_of_mutual_follows_get_the_boost(kind: str) -> None:
    mutual = {"in_network": True, "is_mutual_follow_author": True}
    assert weighted(candidate=mutual)["net"] == pytest.approx(2.0)
    assert weighted(candidate=mutual | {kind: 9})["net"] == pytest.approx(0.5)


def test_heads_are_renamed_and_null_is_not_a_prediction() -> None:
    result = weighted(scores={"retweet": 0.5, "cont_dwell_time": 10, "reply": None, "report": 0.01})
    assert result["pos"] == pytest.approx(0.5 + 0.04)
    assert result["neg"] == pytest.approx(2.34)


def test_a_head_or_a_parameter_set_that_nobody_knows_is_not_guessed() -> None:
    with pytest.raises(NotCovered, match="telepathy"):
        weighted(scores={"telepathy": 0.5})
    with pytest.raises(NotCovered, match="oct2026"):
        weighted(weights="oct2026_defaults")
    with pytest.raises(NotCovered, match="new_option"):
        weighted(option_overrides={"new_option": True})


def test_weights_and_options_can_be_overridden() -> None:
    given = {"weight_overrides": {"vqv": 1.0}, "scores": {"vqv": 0.5}}
    long = {"min_video_duration_ms": 20_000}
    assert weighted(candidate=long, **given)["net"] == pytest.approx(0.5)
    assert weighted(candidate=long, query={"follower_count": 10_000}, **given)["net"] == 0.0


def test_diversity_counts_further_posts_and_keeps_missing_scores_missing() -> None:
    result = answer(
        "scorer.author_diversity",
        decay=0.1,
        floor=0.5,
        scores=[0.2, None, 0.2, 0.9],
        author_ids=[7, 7, 7, None],
    )
    assert result["k"] == [0, 0, 1, 0]
    assert result["scores"] == pytest.approx([0.2, None, 0.2 * 0.55, 0.9])
    assert result["order"] == [3, 0, 2, 1]


def test_a_topic_request_is_left_to_others() -> None:
    given = {"scores": [1.0], "candidates": [{"in_network": False}]}
    switch = {"rescore_in_network_replies_retweets": True}
    assert answer("scorer.oon", **given, **switch)["scores"] == [0.75]
    with pytest.raises(NotCovered, match="topic_ids"):
        answer("scorer.oon", **given, **switch, query={"topic_ids": [11]})


def test_equal_scores_go_to_the_larger_id_where_there_are_ids() -> None:
    assert answer("selector.top_k", k=1, scores=[0.5, 0.5])["selected"] == [0]
    assert answer("selector.top_k", k=1, scores=[0.5, 0.5], ids=[3, 4])["selected"] == [1]


def test_the_largest_ids_come_through_the_filters_exactly() -> None:
    large = 2**64 - 1
    result = answer("filter.drop_duplicates", tweet_ids=[large, large - 1, large])
    assert result == {"kept": [large, large - 1], "removed": [large]}


def test_the_parent_of_a_reply_is_checked_and_posts_further_up_are_not() -> None:
    result = answer(
        "filter.previously_seen",
        seen_ids=[7],
        candidates=[
            {"tweet_id": 1, "in_reply_to_tweet_id": 7, "ancestors": [7, 3]},
            {"tweet_id": 2, "in_reply_to_tweet_id": 3, "ancestors": [3, 7]},
            {"tweet_id": 3, "ancestors": [7]},
        ],
    )
    assert result == {"kept": [2, 3], "removed": [1]}


def test_who_blocks_the_viewer_is_asked_for_every_post_alone() -> None:
    result = answer(
        "filter.author_socialgraph",
        viewer={},
        candidates=[
            {"tweet_id": 1, "author_id": 3, "author_blocks_viewer": True},
            {"tweet_id": 2, "author_id": 3},
            {"tweet_id": 3, "author_id": 4, "quoted_author_blocks_viewer": True},
        ],
    )
    assert result == {"kept": [2], "removed": [1, 3]}


def test_equal_times_of_stored_posts_go_to_the_larger_id() -> None:
    posts = [post(5, 1, NOW - 2), post(9, 2, NOW - 2), post(7, 1, NOW - 3)]
    result = answer(
        "thunder.sort", now=NOW, posts=posts, request={"following": "1..2", "max_results": 2}
    )
    assert result["result"] == [9, 5]
    assert result["dropped"] == [7]
    assert result["created_at"] == [NOW - 2, NOW - 2]


def test_reposts_of_the_viewer_are_not_shown_to_the_viewer() -> None:
    posts = [
        post(1, 5, NOW - 3, is_retweet=True, source_user_id=8),
        post(2, 5, NOW - 2, is_retweet=True, source_user_id=9),
    ]
    given = {"now": NOW, "posts": posts, "request": {"following": [5], "user_id": 9}}
    result = answer("thunder.reply_rule", **given)
    assert result["result"] == [1]
    assert (result["n_originals"], result["n_secondary"]) == (0, 1)


def test_the_list_of_an_author_is_not_claimed_where_replies_hide_in_it() -> None:
    reply = post(2, 1, NOW - 1, is_reply=True, in_reply_to_post_id=404)
    result = answer("thunder.out_of_order", now=NOW, posts=[post(1, 1, NOW - 2), reply])
    assert "list_order" not in result
    assert result["full_query"] == [1]


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"posts": [post(1, 1, NOW, in_reply_to_post_id=2)]}, "not a reply"),
        ({"posts": [post(2**63, 1, NOW)]}, "refuses"),
        ({"inserts": {"polls": {"author": 1, "ids": "1..2", "created_at": "now"}}}, "polls"),
        ({"events": [{"delete": 1}]}, "without a time"),
        ({"posts": [], "request": {"following": [1], "max_results": 0}}, "0 posts"),
    ],
)
def test_what_the_store_cannot_express_is_not_guessed(given: dict[str, Any], why: str) -> None:
    with pytest.raises(NotCovered, match=why):
        answer("thunder.sort", now=NOW, **given)


def test_deletes_are_forgotten_with_the_retention() -> None:
    result = answer(
        "thunder.trim",
        now=NOW,
        retention=100,
        trim_iter=0,
        tombstones=[{"id": 4, "deleted_at": NOW - 100}, {"id": 5, "deleted_at": NOW - 101}],
    )
    assert result["remaining"] == [4]
