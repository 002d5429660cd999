"""What retrieval knows of a post must not outlive the post, and no rule may be passed by."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from xfeed import Feed, FeedResult

from tests.conftest import THREADS

VIEWER = 1


@pytest.fixture
def feed(fitted_dir: Path, tmp_path: Path) -> Iterator[Feed]:
    ignore = shutil.ignore_patterns("*-wal", "*-shm")
    directory = shutil.copytree(fitted_dir, tmp_path / "copy", ignore=ignore)
    with Feed.open(directory, config=THREADS) as feed:
        yield feed


def retrieved(feed: Feed) -> list[str]:
    page = feed.for_you(VIEWER, limit=500)
    return [item.post_id for item in page if item.source == "retrieval"]


def tell(feed: Feed, event_type: str, **fields: Any) -> FeedResult:
    event = {"type": event_type, "at_ms": feed.now_ms(), **fields}
    assert feed.ingest([event]).accepted == 1
    return feed.for_you(VIEWER, limit=500)


def author_of(feed: Feed, post_id: str) -> str:
    page = feed.for_you(VIEWER, limit=500)
    (author,) = [item.author_id for item in page if item.post_id == post_id]
    return author


def test_a_deleted_post_is_not_retrieved_by_the_next_request(feed: Feed) -> None:
    victim = retrieved(feed)[0]
    page = tell(feed, "delete", post_id=victim)
    assert victim not in {item.post_id for item in page}
    assert page.where(victim).reason == "deleted_post"
    assert victim in {item.post_id for item in tell_later(feed, "undelete", post_id=victim)}


def tell_later(feed: Feed, event_type: str, **fields: Any) -> FeedResult:
    return tell(feed, event_type, at_ms=feed.now_ms() + 1, **fields)


def test_a_labelled_post_is_not_shown_by_the_next_request(feed: Feed) -> None:
    victim = retrieved(feed)[0]
    page = tell(feed, "label", post_id=victim, label="illegal", expires_at_ms=None)
    assert page.where(victim).reason == "labelled"


@pytest.mark.parametrize(
    ("event_type", "by_viewer", "reason"),
    [
        ("block", True, "author_blocked"),
        ("mute", True, "author_muted"),
        ("block", False, "blocked_by_author"),
    ],
)
def test_a_block_holds_for_what_was_retrieved(
    feed: Feed, event_type: str, by_viewer: bool, reason: str
) -> None:
    victim = retrieved(feed)[0]
    author: Any = author_of(feed, victim)
    ends = (VIEWER, author) if by_viewer else (author, VIEWER)
    page = tell(feed, event_type, user_id=ends[0], target_id=ends[1])
    assert author not in {item.author_id for item in page}
    assert page.where(victim).reason == reason


def test_a_new_post_is_retrieved_by_the_next_request(feed: Feed) -> None:
    stranger = author_of(feed, retrieved(feed)[0])
    page = tell(feed, "post", post_id="brand new", author_id=stranger, text="hello")
    assert page.where("brand new").outcome == "selected"
    assert "brand new" in retrieved(feed)


def test_a_followed_author_is_in_network_from_the_next_request_on(feed: Feed) -> None:
    post_id = retrieved(feed)[0]
    author = author_of(feed, post_id)
    page = tell(feed, "follow", user_id=VIEWER, target_id=author)
    (item,) = [item for item in page if item.post_id == post_id]
    assert (item.source, item.in_network) == ("in_network", True)
    assert post_id not in retrieved(feed)
