"""A feed that starts from a snapshot is the feed that folds the whole log."""

import json
import shutil
import sqlite3
from pathlib import Path

import pytest
from xfeed import Feed, StoreError
from xfeed.snapshots import SnapshotStore

from tests.feed.worlds import NOW_MS, clock, event, follow, open_with, post, shown


def folded(directory: Path, scratch: Path) -> str:
    """State hash of a feed that has the log of `directory` and no snapshot."""
    shutil.rmtree(scratch, ignore_errors=True)
    shutil.copytree(directory, scratch, ignore=shutil.ignore_patterns("snapshots"))
    with Feed.open(scratch) as feed:
        assert feed.snapshot_state.offset == 0
        return feed.state_hash()


def test_a_start_takes_the_newest_snapshot_and_folds_what_came_after(
    tmp_path: Path, small_events: list[bytes]
) -> None:
    data = tmp_path / "data"
    with Feed.open(data) as feed:
        feed.ingest(small_events[:9_000])
        info = feed.snapshot()
        feed.ingest(small_events[9_000:])
        expected = feed.state_hash()
        page = feed.for_you(1).to_dict()
    assert info.offsets == {"log": 9_000}
    for mode in ("read", "write"):
        with Feed.open(data, mode=mode) as feed:
            assert feed.snapshot_state == (9_000, 0, "")
            assert feed.log_offset == len(small_events)
            assert feed.state_hash() == expected
            assert feed.for_you(1).to_dict() == page
    assert folded(data, tmp_path / "whole") == expected


def test_the_world_really_comes_from_the_snapshot(tmp_path: Path) -> None:
    open_with(tmp_path, post(1, 7, text="from the log")).close()
    with Feed.open(tmp_path) as feed:
        feed.snapshot()
    with sqlite3.connect(tmp_path / "events.sqlite") as database:
        changed = json.dumps(post(1, 7, text="FROM THE LOG")).encode()
        database.execute("UPDATE events SET payload = ? WHERE log_offset = 0", (changed,))
    database.close()
    with Feed.open(tmp_path) as feed:
        assert feed.world.content(1)[0] == "from the log"


@pytest.mark.parametrize(
    ("events", "made"), [(9, []), (10, [10]), (99, [99]), (100, [100]), (105, [100]), (110, [110])]
)
def test_snapshots_are_made_by_themselves_when_much_has_changed(
    tmp_path: Path, events: int, made: list[int]
) -> None:
    config = {"snapshot": {"every_events": 100}, "ingest_batch_len": 5}
    with Feed.open(tmp_path, config=config) as feed:
        feed.ingest([post(i, 1) for i in range(events)])
    newest = [listed.info.offsets["log"] for listed in SnapshotStore(tmp_path).list()[:1]]  # type: ignore[union-attr]
    assert newest == made


def test_no_snapshot_is_made_where_none_is_wanted_or_after_an_error(tmp_path: Path) -> None:
    off = {"snapshot": {"every_events": 0}}
    with Feed.open(tmp_path, config=off) as feed:
        feed.ingest([post(i, 1) for i in range(50)])
    assert not SnapshotStore(tmp_path).list()
    feed = Feed.open(tmp_path, config={"snapshot": {"every_events": 10}})
    feed.__exit__(RuntimeError, RuntimeError("the caller's"), None)
    assert not SnapshotStore(tmp_path).list()
    Feed.open(tmp_path, config={"snapshot": {"every_events": 10}}).close()
    assert SnapshotStore(tmp_path).list()


def test_a_reader_makes_none_and_removes_nothing(tmp_path: Path) -> None:
    open_with(tmp_path, post(1, 7)).close()
    with Feed.open(tmp_path) as feed:
        feed.snapshot()
    stray = tmp_path / "snapshots" / "new.snapshot.tmp"
    stray.write_bytes(b"another process is writing this")
    with Feed.open(tmp_path, mode="read") as feed:
        with pytest.raises(StoreError) as caught:
            feed.snapshot()
        assert caught.value.code == "read_only"
    assert stray.exists()
    Feed.open(tmp_path).close()
    assert not stray.exists()


@pytest.mark.parametrize(
    "config", [{"thunder": {"retention_secs": 60}}, {"world": {"max_history_len": 5}}]
)
def test_a_snapshot_of_other_settings_is_not_used(
    tmp_path: Path, config: dict[str, dict[str, int]]
) -> None:
    open_with(tmp_path, post(1, 7, 5.0), post(2, 7, 0.001)).close()
    with Feed.open(tmp_path) as feed:
        feed.snapshot()
    with Feed.open(tmp_path, config=config) as feed:
        assert feed.snapshot_state.offset == 0
        assert next(iter(next(iter(config.values())))) in feed.snapshot_state.problem.replace(
            "retention_ms", "retention_secs"
        )
        assert feed.log_offset == 3


def test_a_snapshot_beyond_the_log_or_of_another_one_is_not_used(tmp_path: Path) -> None:
    data, copy, other = tmp_path / "data", tmp_path / "copy", tmp_path / "other"
    open_with(data, post(1, 7)).close()
    shutil.copytree(data, copy)
    with Feed.open(data) as feed:
        feed.ingest([post(2, 8)])
        feed.snapshot()

    # The log was restored from a copy that ends earlier.
    shutil.copytree(data / "snapshots", copy / "snapshots")
    with Feed.open(copy) as feed:
        assert "it holds 3 events, the log has 2" in feed.snapshot_state.problem
        assert feed.world.post_state(2) == "unknown"
        feed.ingest([post(3, 9)])
    # It went on otherwise: as long as the snapshot now, and still another log.
    with Feed.open(copy) as feed:
        assert "of another log" in feed.snapshot_state.problem
        assert feed.world.post_state(2) == "unknown"
        assert feed.world.post_state(3) == "live"
        hash_of_copy = feed.state_hash()
    assert folded(copy, tmp_path / "whole") == hash_of_copy

    # Another log with the very same events.
    open_with(other, post(1, 7)).close()
    with Feed.open(other) as feed:
        feed.ingest([post(2, 8)])
    shutil.copytree(data / "snapshots", other / "snapshots")
    with Feed.open(other) as feed:
        assert "of another log" in feed.snapshot_state.problem
        assert feed.snapshot_state.offset == 0


def test_a_log_of_the_first_format_gets_an_identity_and_loses_nothing(tmp_path: Path) -> None:
    open_with(tmp_path, post(1, 7), post(2, 8)).close()
    with sqlite3.connect(tmp_path / "events.sqlite") as database:
        database.executescript("DROP TABLE meta; PRAGMA user_version = 1")
    database.close()
    with Feed.open(tmp_path, mode="read") as feed:
        expected = feed.state_hash()
    with Feed.open(tmp_path) as feed:
        assert feed.state_hash() == expected
        feed.snapshot()
    with Feed.open(tmp_path) as feed:
        assert feed.snapshot_state == (3, 0, "")
        assert feed.state_hash() == expected


def test_what_protects_somebody_survives_a_snapshot(tmp_path: Path) -> None:
    events = [
        *[follow(1, author) for author in (7, 8, 9, 10)],
        *[post(author, author, text=f"by {author} today") for author in (7, 8, 9, 10)],
        event("block", user_id=1, target_id=7),
        event("label", post_id=8, label="spam", expires_at_ms=None),
        event("mute_word", user_id=1, word="by 9"),
    ]
    with open_with(tmp_path, *events) as feed:
        assert shown(feed, 1) == ["10"]
        feed.snapshot()
    with Feed.open(tmp_path) as feed:
        assert feed.snapshot_state.offset == len(events) + 1
        assert shown(feed, 1) == ["10"]
        feed.ingest([event("unblock", 0.5, user_id=1, target_id=7)])
        assert shown(feed, 1) == ["10", "7"]


def test_a_delete_after_the_snapshot_holds_and_one_before_it_too(tmp_path: Path) -> None:
    with open_with(tmp_path, follow(1, 7), post(1, 7), post(2, 7), post(3, 7)) as feed:
        feed.ingest([event("delete", 0.9, post_id=1), event("delete", 0.9, post_id=4)])
        feed.snapshot()
        feed.ingest([event("delete", 0.8, post_id=2)])
    with Feed.open(tmp_path) as feed:
        feed.ingest([post(4, 7), post(1, 7), clock()])
        assert shown(feed, 1) == ["3"]
        assert feed.now_ms() == NOW_MS


def test_the_offsets_of_a_snapshot_are_exact_to_64_bits(tmp_path: Path) -> None:
    with open_with(tmp_path, post(1, 7)) as feed:
        offsets = {"posts/0": 2**64 - 1, "posts/1": 2**53 + 1, "graph/0": 0}
        info = SnapshotStore(tmp_path / "elsewhere").create(feed.world, offsets, "two topics")
    assert info.offsets == offsets
    (listed,) = SnapshotStore(tmp_path / "elsewhere").list()
    assert listed.info == info
    assert json.loads(json.dumps(info.offsets)) == offsets
