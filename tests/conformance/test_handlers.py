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
        ({"posts": [post(2**64, 1, NOW)]}, "does not take"),
        ({"posts": [post(1, 1, NOW, in_reply_to_post_id=1)]}, "itself"),
        (
            {"posts": [post(1, 1, NOW, is_retweet=True, in_reply_to_post_id=2)]},
            "refuses post 1",
        ),
        ({"inserts": {"polls": {"author": 1, "ids": "1..2", "created_at": "now"}}}, "polls"),
        ({"events": [{"delete": 1}]}, "without a time"),
    ],
)
def test_what_the_store_cannot_express_is_not_guessed(given: dict[str, Any], why: str) -> None:
    with pytest.raises(NotCovered, match=why):
        answer("thunder.sort", now=NOW, **given)


@pytest.mark.parametrize(
    "says", [{"is_reply": True}, {"in_reply_to_user_id": 9}, {"in_reply_to_post_id": 3}]
)
def test_any_of_three_fields_makes_a_reply(says: dict[str, Any]) -> None:
    posts = [post(3, 2, NOW - 2), post(1, 1, NOW - 1, conversation_id=3, **says)]
    result = answer("thunder.caps", now=NOW, posts=posts, request={"following": [1]})
    assert (result["n_originals"], result["n_secondary"]) == (0, 1)


def test_a_post_that_is_no_reply_has_no_ancestors_whatever_its_conversation() -> None:
    given = {"posts": [{"in_reply_to_post_id": None, "conversation_id": 7}]}
    assert answer("source.thunder", **given)["ancestors"] == [[]]


def test_excluded_posts_and_an_absent_maximum_are_read() -> None:
    posts = "author 1, ids 1..9, created_at now-10+id"
    request = {"following": [1], "exclude_tweet_ids": "7..8", "max_results": 2}
    result = answer("thunder.sort", now=NOW, posts=posts, exclude=[9], request=request)
    assert result["result"] == [6, 5]
    del request["max_results"]
    assert answer("thunder.sort", now=NOW, posts=posts, request=request)["count"] == 7


def test_videos_are_asked_for_by_the_request_or_by_the_result() -> None:
    posts = [post(1, 5, NOW - 3, has_video=True), post(2, 5, NOW - 2)]
    given: dict[str, Any] = {"now": NOW, "posts": posts}
    result = answer("thunder.video", **given, request={"following": [5]})
    assert (result["result"], result["video_result"]) == ([2, 1], [1])
    assert result["video_lists"] == {"5": [1]}
    request = {"following": [5], "is_video_request": True}
    assert answer("thunder.video", **given, request=request)["result"] == [1]


def test_requests_pass_by_the_rate_of_the_case() -> None:
    result = answer("thunder.rate_limit", qps_limit=10, requests_at_t0=12, then_after_ms=200)
    assert result == {"accepted_at_t0": 10, "rejected_at_t0": 2, "accepted_after_200ms": 2}


def test_defaults_of_requests_are_counted_in_real_answers() -> None:
    asked = [{"max_results": 0}, {"max_results": 1_201}, {"max_results": 0, "video": True}]
    assert answer("thunder.request_defaults", requests=asked) == {"effective": [1_200, 1_201, 600]}
    with pytest.raises(NotCovered, match="1000000 at most"):
        answer("thunder.request_defaults", requests=[{"max_results": 10**9}])


def test_raw_creates_become_what_they_say() -> None:
    events: list[dict[str, Any]] = [
        {"id": 1, "nullcast": False, "media": [{}]},
        {"id": 2, "share": {"source_id": 1, "source_user_id": 5}, "media": [{"video_ms": 6_000}]},
        {"id": 3, "reply": {"status_id": 1, "user_id": 5}},
    ]
    assert answer("thunder.kafka", events=events) == {
        "emitted": [1, 2, 3],
        "is_reply": [3],
        "is_retweet": [2],
        "has_video": [2],
    }
    with pytest.raises(NotCovered, match="polls"):
        answer("thunder.kafka", events=[{"id": 1, "polls": 2}])
    with pytest.raises(NotCovered, match="refuses"):
        answer("thunder.kafka", events=[{"id": -1}])


def test_deletes_are_forgotten_with_the_retention() -> None:
    result = answer(
        "thunder.trim",
        now=NOW,
        retention=100,
        trim_iter=0,
        tombstones=[{"id": 4, "deleted_at": NOW - 100}, {"id": 5, "deleted_at": NOW - 101}],
    )
    assert result["remaining"] == [4]
