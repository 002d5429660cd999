"""Small communities written by hand."""

from pathlib import Path
from typing import Any

from xfeed import Feed

NOW_MS = 1_700_000_000_000
HOUR_MS = 3_600_000

VIEWERS = range(1, 21)
"""Some people of the small community."""


def event(event_type: str, hours_ago: float = 1.0, **fields: Any) -> dict[str, Any]:
    """An event so many hours before `NOW_MS`."""
    return {"type": event_type, "at_ms": NOW_MS - round(hours_ago * HOUR_MS), **fields}


def post(post_id: Any, author_id: Any, hours_ago: float = 1.0, **fields: Any) -> dict[str, Any]:
    """A post so many hours before `NOW_MS`."""
    return event("post", hours_ago, post_id=post_id, author_id=author_id, **fields)


def follow(user_id: Any, target_id: Any) -> dict[str, Any]:
    """A follow from before all posts."""
    return event("follow", 1_000.0, user_id=user_id, target_id=target_id)


def clock(hours_ago: float = 0.0) -> dict[str, Any]:
    """An event that does nothing but move the log's clock to `NOW_MS`."""
    return event("profile", hours_ago, user_id="the clock")


def open_with(directory: Path, *events: dict[str, Any], **config: Any) -> Feed:
    """A feed in which exactly `events` happened, up to `NOW_MS`."""
    feed = Feed.open(directory, config=config)
    report = feed.ingest([*events, clock()])
    assert report.n_rejected == 0, report.rejected
    return feed


def shown(feed: Feed, viewer: Any, **request: Any) -> list[str]:
    """Ids on the page of `viewer`."""
    return [item.post_id for item in feed.for_you(viewer, **request)]
