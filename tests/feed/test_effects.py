"""What an event changes is changed for the very next request."""

from pathlib import Path

import pytest
from xfeed import Feed

from tests.feed.worlds import event, follow, open_with, post, shown


@pytest.fixture
def feed(tmp_path: Path) -> Feed:
    return open_with(
        tmp_path,
        follow("ann", "bo"),
        post("first", "bo", 3, text="one"),
        post("second", "bo", 2, text="two"),
        post("third", "cy", 1, text="three"),
    )


def test_a_block_between_two_pages_takes_effect_at_once(feed: Feed) -> None:
    assert shown(feed, "ann") == ["second", "first", "third"]
    feed.ingest([event("block", 0, user_id="ann", target_id="bo")])
    assert shown(feed, "ann") == ["third"]
    feed.ingest([event("unblock", -0.01, user_id="ann", target_id="bo")])
    assert shown(feed, "ann") == ["second", "first", "third"]


def test_being_blocked_between_two_pages_takes_effect_at_once(feed: Feed) -> None:
    feed.ingest([event("block", 0, user_id="bo", target_id="ann")])
    assert shown(feed, "ann") == ["third"]


def test_a_block_by_action_takes_effect_at_once(feed: Feed) -> None:
    action = event("action", 0, viewer_id="ann", post_id="third", action="block_author")
    feed.ingest([{**action, "author_id": "cy"}])
    assert shown(feed, "ann") == ["second", "first"]
    assert feed.for_you("ann").where("third").reason == "author_blocked"


def test_an_edit_changes_the_text_at_once(feed: Feed) -> None:
    feed.ingest([event("edit", 0, post_id="second", text="TWO", topics=["numbers"])])
    item = feed.for_you("ann")[0]
    assert (item.post_id, item.text, item.topics) == ("second", "TWO", ("numbers",))


def test_an_edit_can_bring_a_muted_word(feed: Feed) -> None:
    feed.ingest([event("mute_word", 0, user_id="ann", word="spoiler")])
    assert shown(feed, "ann") == ["second", "first", "third"]
    feed.ingest([event("edit", 0, post_id="first", text="a SPOILER!")])
    assert shown(feed, "ann") == ["second", "third"]


def test_a_delete_removes_at_once_and_an_undelete_brings_back(feed: Feed) -> None:
    feed.ingest([event("delete", 0, post_id="second")])
    assert shown(feed, "ann") == ["first", "third"]
    feed.ingest([event("undelete", -0.01, post_id="second")])
    assert shown(feed, "ann") == ["second", "first", "third"]


def test_a_delete_that_overtook_its_post_still_deletes_it(feed: Feed) -> None:
    feed.ingest([event("delete", 0, post_id="ahead")])
    feed.ingest([post("ahead", "bo", 0.5)])
    assert "ahead" not in shown(feed, "ann")
    assert feed.for_you("ann").where("ahead").reason == "deleted_post"


def test_a_new_post_is_on_the_next_page(feed: Feed) -> None:
    feed.ingest([post("fourth", "bo", 0.1)])
    assert shown(feed, "ann")[0] == "fourth"


def test_what_was_seen_is_not_shown_again(feed: Feed) -> None:
    feed.ingest([event("impression", 0, viewer_id="ann", post_id="second")])
    assert shown(feed, "ann") == ["first", "third"]
    assert shown(feed, "dan") == ["third", "second", "first"]


def test_the_same_event_id_twice_has_one_effect(feed: Feed) -> None:
    block = event("block", 0, user_id="ann", target_id="bo", event_id="e/1")
    unblock = event("unblock", -0.01, user_id="ann", target_id="bo", event_id="e/1")
    assert feed.ingest([block]).accepted == 1
    before = feed.state_hash(), feed.log_offset
    report = feed.ingest([block, unblock])
    assert (report.accepted, report.duplicates) == (0, 2)
    assert (feed.state_hash(), feed.log_offset) == before
    assert shown(feed, "ann") == ["third"]


def test_a_number_and_its_decimal_string_are_one_event_id(feed: Feed) -> None:
    events = [event("impression", 0, viewer_id=i, post_id="first", event_id=i) for i in (7, "7")]
    report = feed.ingest(events)
    assert (report.accepted, report.duplicates) == (1, 1)


def test_effects_outlive_a_reopening(feed: Feed, tmp_path: Path) -> None:
    feed.ingest([event("mute", 0, user_id="ann", target_id="cy")])
    page, state = feed.for_you("ann").to_json(), feed.state_hash()
    feed.close()
    with Feed.open(tmp_path) as again:
        assert again.for_you("ann").to_json() == page
        assert again.state_hash() == state


@pytest.mark.parametrize("clock_wins", [True, False])
def test_a_word_is_muted_until_it_expires(feed: Feed, clock_wins: bool) -> None:
    mute = event("mute_word", 2, user_id="ann", word="two")
    hours = 1_800_000 if clock_wins else 7_200_001
    feed.ingest([{**mute, "expires_at_ms": mute["at_ms"] + hours}])
    assert ("second" in shown(feed, "ann")) is clock_wins
