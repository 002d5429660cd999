import json
import subprocess
import sys
from pathlib import Path

import pytest
from xfeed import ConfigError, EventError, Feed

from tests.conftest import THREADS
from tests.feed.worlds import NOW_MS, VIEWERS, event, follow, open_with, post, shown

PRINTER = """
import sys
from xfeed import Feed
with Feed.open(sys.argv[1], mode="read", config={"threads": 1}) as feed:
    for viewer in sys.argv[2:]:
        sys.stdout.buffer.write(feed.for_you(viewer).to_json() + b"\\n")
"""


@pytest.fixture(params=["small", "fitted"])
def directory(request: pytest.FixtureRequest) -> Path:
    found: Path = request.getfixturevalue(f"{request.param}_dir")
    return found


@pytest.fixture
def feed(directory: Path, small_feed: Feed, request: pytest.FixtureRequest) -> Feed:
    if directory == small_feed.directory:
        return small_feed
    found: Feed = request.getfixturevalue("fitted_feed")
    return found


def test_the_same_request_gives_the_same_bytes(feed: Feed) -> None:
    first = [feed.for_you(viewer).to_json() for viewer in VIEWERS]
    assert [feed.for_you(viewer).to_json() for viewer in VIEWERS] == first
    assert len(set(first)) == len(VIEWERS)


def test_pages_are_the_same_after_opening_again(feed: Feed, directory: Path) -> None:
    first = [feed.for_you(viewer).to_json() for viewer in VIEWERS]
    with Feed.open(directory, mode="read", config=THREADS) as again:
        assert [again.for_you(viewer).to_json() for viewer in reversed(VIEWERS)] == first[::-1]


def test_pages_are_the_same_in_another_process(feed: Feed, directory: Path) -> None:
    viewers = [str(viewer) for viewer in VIEWERS[:5]]
    command = [sys.executable, "-c", PRINTER, str(directory), *viewers]
    other = subprocess.run(command, capture_output=True, check=True).stdout.splitlines()
    assert other == [feed.for_you(viewer).to_json() for viewer in viewers]


@pytest.mark.parametrize("viewer", VIEWERS[:8])
def test_a_short_page_is_the_start_of_a_long_one(feed: Feed, viewer: int) -> None:
    long = [item.to_dict() for item in feed.for_you(viewer, limit=20)]
    for limit in (1, 10, 19):
        short = [item.to_dict() for item in feed.for_you(viewer, limit=limit)]
        assert short == long[:limit]
    assert len(long) > 1


def test_no_post_is_twice_on_a_page_and_places_count_up(feed: Feed) -> None:
    for viewer in VIEWERS:
        page = feed.for_you(viewer, limit=500)
        assert len({item.shown_post_id for item in page}) == len(page)
        assert [item.position for item in page] == list(range(1, len(page) + 1))
        scores = [item.score for item in page]
        assert scores == sorted(scores, reverse=True)


def test_a_page_is_a_sequence_of_its_items(feed: Feed) -> None:
    page = feed.for_you(1, limit=3)
    assert len(page) == 3
    assert [page[0], *page[1:]] == list(page) == list(page.items)
    assert page[0].to_dict() == json.loads(page.to_json())["items"][0]


def test_modes_say_how_a_page_was_ranked(small_feed: Feed, fitted_feed: Feed) -> None:
    assert small_feed.for_you(1).mode == "newest_then_popular"
    assert fitted_feed.for_you(1).mode == "model"
    assert fitted_feed.for_you("somebody new").mode == "model_without_history"
    assert small_feed.for_you(1).receipt.bundle_id == ""
    assert len(fitted_feed.for_you(1).receipt.bundle_id) == 64


def test_an_unknown_viewer_gets_popular_posts(feed: Feed) -> None:
    page = feed.for_you("somebody new", limit=10)
    assert len(page) == 10
    assert {item.source for item in page} <= {"popular", "retrieval"}
    assert page.viewer_id == "somebody new" or page.viewer_id.isdigit()
    assert not page.degraded


def test_an_unknown_viewer_is_called_as_they_called_themselves(small_feed: Feed) -> None:
    assert small_feed.for_you("somebody new").viewer_id == "somebody new"


def test_an_empty_directory_gives_an_empty_page(tmp_path: Path) -> None:
    with Feed.open(tmp_path / "new") as feed:
        page = feed.for_you("anybody")
        assert (len(page), page.mode, page.degraded) == (0, "newest_then_popular", [])
        assert page.receipt.log_offset == feed.log_offset == 0
        assert page.where("nothing").outcome == "not_retrieved"


def test_a_viewer_who_follows_but_never_saw_anything_gets_the_newest_first(tmp_path: Path) -> None:
    posts = [post(i, "bo", hours_ago=10 - i) for i in range(5)]
    with open_with(tmp_path, follow("ann", "bo"), *posts) as feed:
        assert shown(feed, "ann") == ["4", "3", "2", "1", "0"]


@pytest.mark.parametrize("limit", [0, -1, 501, 10**9])
def test_a_limit_out_of_bounds_is_refused(small_feed: Feed, limit: int) -> None:
    with pytest.raises(ConfigError, match=f"`{limit}`, an integer in 1 ..= 500") as caught:
        small_feed.for_you(1, limit=limit)
    assert caught.value.code == "bad_limit"
    assert caught.value.hint


def test_the_limits_themselves_are_allowed(small_feed: Feed) -> None:
    assert len(small_feed.for_you(1, limit=1)) == 1
    assert 1 < len(small_feed.for_you(1, limit=500)) <= 500


@pytest.mark.parametrize("viewer", ["", "x" * 513, "a\nb", -1, 2**63, True, 1.5, None])
def test_what_is_no_id_is_refused_as_a_viewer(small_feed: Feed, viewer: object) -> None:
    with pytest.raises(EventError) as caught:
        small_feed.for_you(viewer)  # type: ignore[arg-type]
    assert caught.value.code == "bad_id"


@pytest.mark.parametrize(
    ("written", "answered"),
    [
        (0, "0"),
        ("0", "0"),
        (2**63 - 1, str(2**63 - 1)),
        (2**53 + 1, str(2**53 + 1)),
        (str(2**63), str(2**63)),
        (str(2**64), str(2**64)),
        ("007", "007"),
        ("at://did:plc:abc/app.bsky.feed.post/3k?x=1&y=%20", None),
        ("日本語 / été 🦀", None),
        ("x" * 512, None),
    ],
)
def test_ids_come_back_exactly(tmp_path: Path, written: int | str, answered: str | None) -> None:
    answered = answered or str(written)
    friend = "the author of another"
    events = [
        follow(written, friend),
        post("of a friend", friend),
        follow("ann", written),
        post(written, written),
    ]
    with open_with(tmp_path, *events) as feed:
        (item,) = [item for item in feed.for_you("ann") if item.text == ""][:1]
        by_them = [item for item in feed.for_you("ann") if item.author_id == answered]
        assert [item.post_id for item in by_them] == [answered]
        assert feed.for_you("ann").where(written).outcome == "selected"
        page = feed.for_you(written)
        assert page.viewer_id == answered
        assert [item.post_id for item in page if item.in_network] == ["of a friend"]
        assert item.to_dict()["post_id"] in {answered, "of a friend"}


def test_ids_in_json_are_strings(fitted_feed: Feed) -> None:
    for item in json.loads(fitted_feed.for_you(1).to_json())["items"]:
        assert all(isinstance(item[name], str) for name in ("post_id", "author_id"))
        assert int(item["post_id"]) > 2**53


def test_a_number_and_its_decimal_string_are_one_viewer(small_feed: Feed) -> None:
    assert small_feed.for_you(7).to_json() == small_feed.for_you("7").to_json()


def test_the_clock_of_the_log_is_the_time_of_the_latest_event(tmp_path: Path) -> None:
    with open_with(tmp_path, post(1, "bo")) as feed:
        assert feed.now_ms() == NOW_MS == feed.for_you("ann").receipt.now_ms


def test_the_system_clock_can_be_asked_for(tmp_path: Path) -> None:
    with open_with(tmp_path, post(1, "bo"), clock="system") as feed:
        assert feed.now_ms() > NOW_MS + 365 * 86_400_000
        assert shown(feed, "ann") == []
        assert shown(feed, "ann", now_ms=NOW_MS) == ["1"]


def test_a_request_for_an_earlier_time_sees_no_later_post(tmp_path: Path) -> None:
    events = [follow("ann", "bo"), post("early", "bo", 5), post("late", "bo", 1)]
    with open_with(tmp_path, *events, event("profile", 0, user_id="x")) as feed:
        assert shown(feed, "ann", now_ms=NOW_MS - 3 * 3_600_000) == ["early"]
        assert shown(feed, "ann") == ["late", "early"]


def test_an_unknown_post_is_called_as_it_was_asked_for(small_feed: Feed) -> None:
    assert small_feed.for_you(1).where("no such post").post_id == "no such post"
