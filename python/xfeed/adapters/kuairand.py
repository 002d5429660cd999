"""KuaiRand-Pure: real impressions with twelve kinds of feedback, as xfeed's events.

The data: Gao et al., "KuaiRand: An Unbiased Sequential Recommendation Dataset with Randomly Exposed
Videos", CIKM 2022, doi 10.1145/3511808.3557624, licensed CC BY-SA 4.0 (name the authors, share
what you derive alike). xfeed reads it where you have it and ships none of it.

Files are known by their columns: interactions have `is_click`, videos have `upload_dt`, users have
`register_days`. Others, such as sequences without times, are left out with a note in the log.
The published .csv files are read too; their interactions name no author, so the videos' file does.

Rules for odd values:

* rows that are equal in every column are one impression;
* a flag is set when it is exactly 1;
* `play_time_ms` of 0, below 0 or missing gives no `dwell_time`; more than a day counts as a day;
* a `tab` outside 0 to 15 and a duration outside 1 ms to a day are left out;
* a row without a user, a video or a time is handed on as it is, for the border to refuse;
* a video whose author is not known anywhere gets an author of its own.
"""

import datetime as dt
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

import msgspec

from xfeed.adapters.base import RawLine
from xfeed.adapters.kuairand_files import load

if TYPE_CHECKING:
    import polars as pl

_encode: Final = msgspec.json.Encoder().encode

DAY_MS: Final = 86_400_000
MAX_SECONDS: Final = 86_400

COLLECTED_FROM_MS: Final = 1_649_347_200_000
"""Midnight of 8 April 2022 in UTC+8, the first day of the collection.

Profiles carry this time. The set does not say from which day `register_days` counts; it is counted
back from here.
"""
_UTC_OFFSET_MS: Final = 8 * 3_600_000

ACTION_OF_FLAG: Final = {
    "is_click": "click",
    "long_view": "video_quality_view",
    "is_like": "favorite",
    "is_follow": "follow_author",
    "is_comment": "reply",
    "is_forward": "share",
    "is_hate": "not_interested",
    "is_profile_enter": "profile_click",
}
"""Which action each flag of a row becomes."""

_YEAR_SECS: Final = 31_536_000


class KuaiRand:
    """Reads KuaiRand-Pure, from .parquet or from the published .csv files."""

    name: ClassVar[str] = "kuairand"
    summary: ClassVar[str] = "KuaiRand-Pure impressions, videos and users (.parquet or .csv)"

    def read(self, paths: Sequence[Path]) -> Iterator[RawLine]:
        """Yields profiles, then all videos, then impressions with their actions by time.

        Args:
            paths: files, or directories that hold them.

        Yields:
            Events with an `event_id` made from the row, so that reading twice has one effect.

        Raises:
            ConfigError: polars is not installed, a path is missing, or a directory holds no file
                of this format.
            EventError: a file is damaged.
        """
        rows, videos, users = load(paths)
        for frame in users:
            yield from _profiles(frame)
        yield from _posts(rows, videos)
        if rows is not None:
            yield from _interactions(rows)

    def suggested_config(self) -> dict[str, object]:
        """Returns a clock that follows the log, and a year of retention and of post age."""
        return {
            "clock": "log",
            "thunder": {"retention_secs": _YEAR_SECS},
            "filters": {"age": {"max_age_secs": _YEAR_SECS}},
        }


def _within(value: Any, low: int, high: int) -> int | None:
    """Returns a number as an integer when it is within the bounds, else None."""
    return None if value is None or not low <= value <= high else int(value)


def _author(value: Any) -> str | None:
    """Keeps authors apart from viewers, whose numbers mean other people."""
    return None if value is None else f"author:{int(value)}"


def _profiles(frame: "pl.DataFrame") -> Iterator[RawLine]:
    for row in frame.unique("user_id", keep="first", maintain_order=True).iter_rows(named=True):
        event: dict[str, Any] = {
            "type": "profile",
            "at_ms": COLLECTED_FROM_MS,
            "event_id": f"kuairand:user:{row['user_id']}",
            "user_id": row["user_id"],
        }
        days = _within(row["register_days"], 0, COLLECTED_FROM_MS // DAY_MS)
        if days is not None:
            event["created_at_ms"] = COLLECTED_FROM_MS - days * DAY_MS
        fans = _within(row.get("fans_user_num"), 0, 2**53)
        if fans is not None:
            event["follower_count"] = fans
        yield RawLine(_encode(event), row["source"], row["line"])


def _posts(rows: "pl.DataFrame | None", videos: "list[pl.DataFrame]") -> Iterator[RawLine]:
    """Yields one post per video, in order of time, no later than its first impression."""
    seen: dict[int, tuple[int, dict[str, Any]]] = {}
    if rows is not None:
        first = rows.drop_nulls(["video_id", "time_ms"]).unique(
            "video_id", keep="first", maintain_order=True
        )
        for row in first.iter_rows(named=True):
            seen[row["video_id"]] = (row["time_ms"], row)
    posts: dict[int, tuple[int, dict[str, Any]]] = {}
    for frame in videos:
        for row in frame.iter_rows(named=True):
            video = row["video_id"]
            if video is None or video in posts:
                continue
            first_ms, shown = seen.get(video, (None, {}))
            uploaded_ms = _midnight_ms(row["upload_dt"])
            at_ms = min(
                (time for time in (first_ms, uploaded_ms) if time is not None),
                default=COLLECTED_FROM_MS,
            )
            author = row["author_id"] if row["author_id"] is not None else shown.get("author_id")
            more = {"duration_ms": shown.get("duration_ms"), "author_id": author}
            posts[video] = (at_ms, row | more)
    for video, (first_ms, row) in seen.items():
        posts.setdefault(video, (first_ms, row))
    for video, (at_ms, row) in sorted(posts.items(), key=lambda item: (item[1][0], item[0])):
        yield RawLine(_encode(_post(video, at_ms, row)), row["source"], row["line"])


def _post(video: int, at_ms: int, row: dict[str, Any]) -> dict[str, Any]:
    event: dict[str, Any] = {
        "type": "post",
        "at_ms": at_ms,
        "event_id": f"kuairand:video:{video}",
        "post_id": video,
        "author_id": _author(row.get("author_id")) or f"author:of:{video}",
        "media_kind": "video",
    }
    duration_ms = _within(row.get("video_duration"), 1, DAY_MS)
    if duration_ms is None:
        duration_ms = _within(row.get("duration_ms"), 1, DAY_MS)
    if duration_ms is not None:
        event["media_duration_ms"] = duration_ms
    tags = str(row["tag"]).split(",") if row.get("tag") is not None else []
    topics = [tag.strip() for tag in tags if tag.strip() not in {"", "unknown"}]
    if topics:
        event["topics"] = topics[:16]
    return event


def _midnight_ms(day: Any) -> int | None:
    """Returns the midnight, in UTC+8, on which a day such as `2022-04-10` starts."""
    try:
        start = dt.date.fromisoformat(str(day))
    except ValueError:
        return None
    days = (start - dt.date(1970, 1, 1)).days
    return days * DAY_MS - _UTC_OFFSET_MS


def _interactions(rows: "pl.DataFrame") -> Iterator[RawLine]:
    """Yields one impression per row, each followed by its actions at the same time."""
    values = sorted(set(rows.columns) - {"line", "source", "author_id"})
    flags = [(flag, name) for flag, name in ACTION_OF_FLAG.items() if flag in rows.columns]
    for row in rows.iter_rows(named=True):
        author = _author(row["author_id"]) or f"author:of:{row['video_id']}"
        content = "|".join(f"{name}={row[name]}" for name in values)
        digest = hashlib.blake2b(content.encode(), digest_size=8).hexdigest()
        seen = {
            "at_ms": row["time_ms"],
            "viewer_id": row["user_id"],
            "post_id": row["video_id"],
            "request_id": f"kuairand:{digest}",
        }
        surface = _within(row.get("tab"), 0, 15)
        if surface is not None:
            seen["surface"] = surface
        source, line = row["source"], row["line"]
        event = {"type": "impression", "event_id": f"kuairand:{digest}:seen", **seen}
        yield RawLine(_encode(event), source, line)
        if row["time_ms"] is None or row["user_id"] is None or row["video_id"] is None:
            continue
        done: list[tuple[str, dict[str, Any]]] = [
            (name, {"author_id": author} if name == "follow_author" else {})
            for flag, name in flags
            if row[flag] == 1
        ]
        played_ms = row.get("play_time_ms")
        if played_ms is not None and played_ms > 0:
            done.append(("dwell_time", {"seconds": min(played_ms / 1_000, MAX_SECONDS)}))
        for name, more in done:
            event = {"type": "action", "event_id": f"kuairand:{digest}:{name}", **seen}
            yield RawLine(_encode({**event, "action": name, **more}), source, line)
