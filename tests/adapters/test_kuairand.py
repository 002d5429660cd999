import logging
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest
from xfeed.adapters import adapter
from xfeed.adapters.kuairand import COLLECTED_FROM_MS, DAY_MS
from xfeed.errors import ConfigError, EventError

from tests.shared_data import shared_path

NOON = 1_650_942_000_000  # 26 April 2022, 11:00 in UTC+8
FLAGS = (
    "is_click", "is_like", "is_follow", "is_comment", "is_forward", "is_hate", "long_view",
    "is_profile_enter",
)  # fmt: skip


def interaction(**changes: Any) -> dict[str, Any]:
    row: dict[str, Any] = {"user_id": 1, "video_id": 10, "author_id": 900, "time_ms": NOON}
    row |= dict.fromkeys(FLAGS, 0)
    row |= {"tab": 1, "play_time_ms": 0, "duration_ms": 20_000}
    return row | changes


def video(**changes: Any) -> dict[str, Any]:
    row: dict[str, Any] = {"video_id": 10, "author_id": 900, "upload_dt": "2022-04-10"}
    return row | {"video_duration": 12_345.0, "tag": "39,68"} | changes


def events(directory: Path) -> list[dict[str, Any]]:
    lines = adapter("kuairand").read([directory])
    return [msgspec.json.decode(raw.payload) for raw in lines]


def of_type(found: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    return [event for event in found if event["type"] == name]


def write_interactions(directory: Path, *rows: dict[str, Any]) -> None:
    pl.DataFrame(list(rows)).write_parquet(directory / "kuairand_until_x.parquet")


def write_videos(directory: Path, *rows: dict[str, Any]) -> None:
    pl.DataFrame(list(rows)).write_parquet(directory / "kuairand_items.parquet")


def actions_of(directory: Path, **changes: Any) -> dict[str, dict[str, Any]]:
    write_interactions(directory, interaction(**changes))
    return {event["action"]: event for event in of_type(events(directory), "action")}


def test_equal_rows_are_one_impression_and_near_equal_ones_stay_apart(tmp_path: Path) -> None:
    write_interactions(
        tmp_path, interaction(), interaction(), interaction(tab=2), interaction(time_ms=NOON + 1)
    )
    shown = of_type(events(tmp_path), "impression")
    assert len(shown) == 3
    assert len({event["request_id"] for event in shown}) == 3
    assert len({event["event_id"] for event in shown}) == 3


def test_an_impression_says_who_saw_what_where(tmp_path: Path) -> None:
    write_interactions(tmp_path, interaction(tab=14))
    (shown,) = of_type(events(tmp_path), "impression")
    assert (shown["viewer_id"], shown["post_id"], shown["at_ms"]) == (1, 10, NOON)
    assert shown["surface"] == 14


@pytest.mark.parametrize(
    ("flag", "name"),
    [
        ("is_click", "click"),
        ("long_view", "video_quality_view"),
        ("is_like", "favorite"),
        ("is_follow", "follow_author"),
        ("is_comment", "reply"),
        ("is_forward", "share"),
        ("is_hate", "not_interested"),
        ("is_profile_enter", "profile_click"),
    ],
)
def test_each_flag_becomes_its_action(tmp_path: Path, flag: str, name: str) -> None:
    done = actions_of(tmp_path, **{flag: 1})
    assert list(done) == [name]
    assert done[name]["at_ms"] == NOON
    assert done[name].get("author_id") == ("author:900" if name == "follow_author" else None)


def test_an_action_belongs_to_the_impression_of_its_row(tmp_path: Path) -> None:
    write_interactions(tmp_path, interaction(is_click=1), interaction(tab=3, is_like=1))
    found = events(tmp_path)
    surface = {event["request_id"]: event["surface"] for event in of_type(found, "impression")}
    done = {event["action"]: event for event in of_type(found, "action")}
    assert surface[done["click"]["request_id"]] == 1
    assert surface[done["favorite"]["request_id"]] == 3


@pytest.mark.parametrize("value", [0, -124, 2, None])
def test_a_flag_is_set_only_by_one(tmp_path: Path, value: int | None) -> None:
    assert actions_of(tmp_path, is_like=value) == {}


@pytest.mark.parametrize(
    ("played_ms", "seconds"), [(1, 0.001), (61_802, 61.802), (DAY_MS, 86_400), (10**9, 86_400)]
)
def test_play_time_is_dwell_time_of_at_most_a_day(
    tmp_path: Path, played_ms: int, seconds: float
) -> None:
    assert actions_of(tmp_path, play_time_ms=played_ms)["dwell_time"]["seconds"] == seconds


@pytest.mark.parametrize("played_ms", [0, -5, None])
def test_no_play_time_is_no_dwell(tmp_path: Path, played_ms: int | None) -> None:
    assert actions_of(tmp_path, play_time_ms=played_ms) == {}


@pytest.mark.parametrize("tab", [-1, 16, None])
def test_a_surface_out_of_bounds_is_left_out(tmp_path: Path, tab: int | None) -> None:
    write_interactions(tmp_path, interaction(tab=tab))
    (shown,) = of_type(events(tmp_path), "impression")
    assert "surface" not in shown


def test_a_row_without_a_viewer_is_left_for_the_border_to_refuse(tmp_path: Path) -> None:
    write_interactions(tmp_path, interaction(), interaction(user_id=None, is_click=1))
    shown = of_type(events(tmp_path), "impression")
    assert Counter(event["viewer_id"] for event in shown) == {1: 1, None: 1}


def test_a_video_is_a_post_of_an_author_apart_from_viewers(tmp_path: Path) -> None:
    write_videos(tmp_path, video())
    (post,) = events(tmp_path)
    assert post["author_id"] == "author:900"
    assert post["at_ms"] == COLLECTED_FROM_MS + 2 * DAY_MS
    assert post["media_kind"] == "video"
    assert post["media_duration_ms"] == 12_345
    assert post["topics"] == ["39", "68"]


def test_a_video_without_length_has_that_of_its_impressions(tmp_path: Path) -> None:
    write_videos(tmp_path, video(video_duration=None))
    write_interactions(tmp_path, interaction(duration_ms=20_000))
    (post,) = of_type(events(tmp_path), "post")
    assert post["media_duration_ms"] == 20_000


@pytest.mark.parametrize("length", [0.0, -1.0, float("nan"), 1e12])
def test_a_length_out_of_bounds_is_left_out(tmp_path: Path, length: float) -> None:
    write_videos(tmp_path, video(video_duration=length))
    assert "media_duration_ms" not in events(tmp_path)[0]


@pytest.mark.parametrize("tag", ["unknown", "", None])
def test_an_unknown_tag_is_no_topic(tmp_path: Path, tag: str | None) -> None:
    write_videos(tmp_path, video(tag=tag))
    assert "topics" not in events(tmp_path)[0]


def test_a_video_known_only_from_impressions_is_made_at_the_first(tmp_path: Path) -> None:
    write_videos(tmp_path, video())
    write_interactions(
        tmp_path, interaction(video_id=11, time_ms=NOON + 5), interaction(video_id=11)
    )
    posts = {event["post_id"]: event for event in of_type(events(tmp_path), "post")}
    assert set(posts) == {10, 11}
    assert posts[11]["at_ms"] == NOON
    assert posts[11]["author_id"] == "author:900"


def test_a_video_is_no_younger_than_its_first_impression(tmp_path: Path) -> None:
    write_videos(tmp_path, video(upload_dt="2022-05-01"))
    write_interactions(tmp_path, interaction())
    (post,) = of_type(events(tmp_path), "post")
    assert post["at_ms"] == NOON


def test_all_posts_come_before_the_first_impression(tmp_path: Path) -> None:
    write_videos(tmp_path, video(), video(video_id=12))
    write_interactions(tmp_path, interaction(), interaction(video_id=11, time_ms=NOON + 5))
    types = [event["type"] for event in events(tmp_path)]
    assert types == ["post", "post", "post", "impression", "impression"]


def test_impressions_come_in_order_of_time(tmp_path: Path) -> None:
    write_interactions(tmp_path, *(interaction(time_ms=NOON + late) for late in (9, 2, 5)))
    times = [event["at_ms"] - NOON for event in of_type(events(tmp_path), "impression")]
    assert times == [2, 5, 9]


def test_a_user_is_a_profile(tmp_path: Path) -> None:
    users = {"user_id": [7, 8], "register_days": [100, -124], "fans_user_num": [48, -124]}
    pl.DataFrame(users).write_parquet(tmp_path / "kuairand_users.parquet")
    first, second = events(tmp_path)
    assert (first["type"], first["user_id"], first["follower_count"]) == ("profile", 7, 48)
    assert first["created_at_ms"] == COLLECTED_FROM_MS - 100 * DAY_MS
    assert "created_at_ms" not in second
    assert "follower_count" not in second


def test_published_csv_files_get_their_authors_from_the_videos(tmp_path: Path) -> None:
    row = interaction(is_follow=1)
    del row["author_id"]
    pl.DataFrame([row]).write_csv(tmp_path / "log_standard_x.csv")
    # The first hundred tags look like numbers, the last one does not.
    many = [video(video_id=number, tag="39") for number in range(11, 160)]
    pl.DataFrame([*many, video()]).write_csv(tmp_path / "video_features_basic_pure.csv")
    found = events(tmp_path)
    (follow,) = of_type(found, "action")
    assert follow["author_id"] == "author:900"
    assert {"39", "68"} in [set(post["topics"]) for post in of_type(found, "post")]


def test_lines_name_the_file_and_the_row(tmp_path: Path) -> None:
    write_interactions(tmp_path, interaction(time_ms=NOON + 9), interaction())
    lines = [raw for raw in adapter("kuairand").read([tmp_path]) if b"impression" in raw.payload]
    assert [(raw.source, raw.line) for raw in lines] == [
        ("kuairand_until_x.parquet", 2),
        ("kuairand_until_x.parquet", 1),
    ]


def test_other_tables_are_left_out_with_a_note(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pl.DataFrame({"user_id": [1], "watch_seq": [[1, 2]]}).write_parquet(
        tmp_path / "kuairand_history_x.parquet"
    )
    with caplog.at_level(logging.WARNING):
        assert events(tmp_path) == []
    assert "kuairand_history_x.parquet" in caplog.text


def test_a_directory_without_the_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no file of the format"):
        events(tmp_path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no file or directory"):
        events(tmp_path / "kuairand_x.parquet")


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "kuairand_x.parquet").write_bytes(b"not parquet at all")
    with pytest.raises(EventError, match="cannot be read"):
        events(tmp_path)


def test_without_polars_the_hint_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(ConfigError, match="needs polars") as caught:
        events(tmp_path)
    assert caught.value.hint == 'pip install "xfeed[data]"'


def test_it_suggests_a_clock_that_follows_the_log() -> None:
    assert adapter("kuairand").suggested_config() == {
        "clock": "log",
        "thunder": {"retention_secs": 31_536_000},
        "filters": {"age": {"max_age_secs": 31_536_000}},
    }


def test_the_real_set_has_every_distinct_row_once_and_reads_the_same_twice() -> None:
    path = shared_path("data", "kuairand_until_0504.parquet")
    rows = pl.read_parquet(path).unique()
    files = [path, path.with_name("kuairand_items.parquet")]
    counts: Counter[str] = Counter()
    event_ids = set()
    posted: set[int] = set()
    first: list[bytes] = []
    for raw in adapter("kuairand").read(files):
        first.append(raw.payload)
        event = msgspec.json.decode(raw.payload)
        counts[event.get("action", event["type"])] += 1
        assert event["event_id"] not in event_ids
        event_ids.add(event["event_id"])
        if event["type"] == "post":
            posted.add(event["post_id"])
        else:
            assert event["post_id"] in posted
    assert counts["impression"] == rows.height == 167_065
    assert counts["post"] == pl.read_parquet(files[1]).height
    assert counts["click"] == rows["is_click"].sum()
    assert counts["favorite"] == rows["is_like"].sum()
    assert counts["follow_author"] == rows["is_follow"].sum()
    assert counts["dwell_time"] == (rows["play_time_ms"] > 0).sum()
    assert first == [raw.payload for raw in adapter("kuairand").read(files)]
