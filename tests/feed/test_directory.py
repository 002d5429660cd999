"""One directory: its writer, its readers, its models."""

import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest
from xfeed import ConfigError, Feed, StoreError
from xfeed.phoenix.learning.train import FitReport

from tests.conftest import THREADS
from tests.feed.worlds import event, follow, open_with, post, shown

SECOND_WRITER = """
import sys
from xfeed import Feed, StoreError
try:
    Feed.open(sys.argv[1])
except StoreError as error:
    print(error.code, "|", error)
"""


def digests(directory: Path) -> dict[str, str]:
    """Every file but those that SQLite puts beside a log while somebody reads it."""
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    return {
        str(path): sha256(path.read_bytes()).hexdigest()
        for path in files
        if not path.name.endswith("-shm")
        and not (path.name.endswith("-wal") and not path.stat().st_size)
    }


@pytest.fixture
def copy(fitted_dir: Path, tmp_path: Path) -> Path:
    # Open readers have files of their own beside the log.
    ignore = shutil.ignore_patterns("*-wal", "*-shm")
    return shutil.copytree(fitted_dir, tmp_path / "copy", ignore=ignore)


def test_a_second_writer_is_refused_in_the_same_process(tmp_path: Path) -> None:
    with Feed.open(tmp_path):
        with pytest.raises(StoreError, match='mode="read"') as caught:
            Feed.open(tmp_path)
        assert caught.value.code == "locked"
        assert str(tmp_path) in str(caught.value)


def test_a_second_writer_is_refused_from_another_process(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SECOND_WRITER, str(tmp_path)]
    with Feed.open(tmp_path):
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert said.startswith("locked | another process (pid ")
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == ""


def test_a_closed_writer_makes_room_for_the_next(tmp_path: Path) -> None:
    Feed.open(tmp_path).close()
    feed = Feed.open(tmp_path)
    feed.close()
    feed.close()


def test_a_failed_opening_leaves_no_lock_behind(tmp_path: Path) -> None:
    for settings in ({"pipeline": {"sources": ["no_such_source"]}}, {"page_size": 0}):
        with pytest.raises(ConfigError):
            Feed.open(tmp_path, config=settings)
    Feed.open(tmp_path).close()


def test_a_closed_feed_refuses_events_clearly(tmp_path: Path) -> None:
    feed = Feed.open(tmp_path)
    feed.close()
    with pytest.raises(StoreError):
        feed.ingest([post(1, 2)])


def test_there_is_nothing_to_read_in_an_empty_directory(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no log") as caught:
        Feed.open(tmp_path, mode="read")
    assert caught.value.code == "no_log"
    assert list(tmp_path.iterdir()) == []


def test_a_reader_beside_a_writer_sees_new_events_on_the_next_page(tmp_path: Path) -> None:
    writer = open_with(tmp_path, follow("ann", "bo"), post("old", "bo", 2))
    with writer, Feed.open(tmp_path, mode="read") as reader:
        assert reader.state_hash() == writer.state_hash()
        writer.ingest([post("new", "bo", 1), event("delete", 0, post_id="old")])
        assert shown(reader, "ann") == shown(writer, "ann") == ["new"]
        assert reader.refresh() == 0
        writer.ingest([event("block", user_id="ann", target_id="bo")])
        assert reader.refresh() == 1
        assert shown(reader, "ann") == []
        assert reader.state_hash() == writer.state_hash()
        assert reader.log_offset == writer.log_offset


def test_a_reader_refuses_events(tmp_path: Path) -> None:
    open_with(tmp_path, post(1, 2)).close()
    with (
        Feed.open(tmp_path, mode="read") as reader,
        pytest.raises(StoreError, match="reading only") as caught,
    ):
        reader.ingest([post(3, 4)])
    assert caught.value.code == "read_only"


def test_a_reader_changes_no_file(copy: Path) -> None:
    before = digests(copy)
    with Feed.open(copy, mode="read", config=THREADS) as reader:
        assert len(reader.for_you(1)) == 20
    assert digests(copy) == before


def test_a_reader_does_not_tidy_up_after_a_dead_writer(tmp_path: Path) -> None:
    with open_with(tmp_path / "live", follow("ann", "bo"), post(1, "bo")):
        shutil.copytree(tmp_path / "live", tmp_path / "dead")
    log, journal = (tmp_path / "dead" / f"events.sqlite{end}" for end in ("", "-wal"))
    before = log.read_bytes(), journal.read_bytes()
    assert before[1]
    with Feed.open(tmp_path / "dead", mode="read") as reader:
        assert shown(reader, "ann") == ["1"]
    assert journal.exists()
    assert (log.read_bytes(), journal.read_bytes()) == before


def test_a_reader_does_not_activate_models(copy: Path) -> None:
    before = digests(copy)
    config = {**THREADS, "seed": 5}
    with Feed.open(copy, mode="read", config=config) as reader, pytest.raises(StoreError):
        reader.fit()
    assert digests(copy) == before


def test_too_little_data_is_refused_by_fit_and_the_feed_goes_on(tmp_path: Path) -> None:
    seen = [event("impression", 1, viewer_id=i, post_id=1) for i in range(199)]
    with open_with(tmp_path, post(1, 2), *seen) as feed:
        with pytest.raises(ConfigError, match="199 impressions, at least 200") as caught:
            feed.fit()
        assert caught.value.code == "too_little_data"
        assert shown(feed, "ann") == ["1"]
        assert not (tmp_path / "bundles").exists()


def test_the_same_log_gives_the_same_bundle(copy: Path, fit_report: FitReport) -> None:
    shutil.rmtree(copy / "bundles")
    with Feed.open(copy, config=THREADS) as feed:
        assert feed.for_you(1).mode == "newest_then_popular"
        assert feed.fit().bundle_id == fit_report.bundle_id
        page = feed.for_you(1)
        assert (page.mode, page.receipt.bundle_id) == ("model", fit_report.bundle_id)
        assert [path.name for path in (copy / "bundles").iterdir() if path.is_dir()] == [
            fit_report.bundle_id
        ]


def bundle_files(directory: Path) -> list[Path]:
    # a note that a bundle was read before is no part of it
    files = (path for path in (directory / "bundles").glob("*/[!.]*") if path.is_file())
    return sorted(files)


def test_a_flipped_byte_in_any_file_of_a_bundle_is_noticed(copy: Path) -> None:
    for path in bundle_files(copy):
        good = path.read_bytes()
        bad = bytearray(good)
        bad[len(bad) // 2] ^= 0x10
        path.write_bytes(bad)
        with Feed.open(copy, mode="read", config=THREADS) as feed:
            page = feed.for_you(1)
            assert (page.mode, page.receipt.bundle_id) == ("newest_then_popular", ""), path.name
            assert len(page) == 20
            assert "is not served" in feed.model_problem, path.name
        path.write_bytes(good)
    with Feed.open(copy, mode="read", config=THREADS) as feed:
        assert feed.for_you(1).mode == "model"
        assert feed.model_problem == ""


def test_a_cut_or_missing_file_of_a_bundle_is_noticed(copy: Path) -> None:
    for path in bundle_files(copy):
        good = path.read_bytes()
        for bad in (good[:-1], b"", None):
            if bad is None:
                path.unlink()
            else:
                path.write_bytes(bad)
            with Feed.open(copy, mode="read", config=THREADS) as feed:
                assert feed.for_you(1).mode == "newest_then_popular", path.name
                assert feed.model_problem, path.name
        path.write_bytes(good)


def test_an_active_bundle_that_is_not_there_is_named(copy: Path) -> None:
    (copy / "bundles" / "active").write_text("0" * 64 + "\n")
    with Feed.open(copy, mode="read", config=THREADS) as feed:
        assert feed.for_you(1).mode == "newest_then_popular"
        assert "000000000000" in feed.model_problem


def test_the_old_model_serves_on_when_the_new_one_is_damaged(copy: Path) -> None:
    with Feed.open(copy, mode="read", config=THREADS) as feed:
        page = feed.for_you(1)
        old = page.receipt.bundle_id
        new = shutil.copytree(copy / "bundles" / old, copy / "bundles" / ("f" * 64))
        (largest,) = sorted(new.iterdir(), key=lambda path: path.stat().st_size)[-1:]
        largest.write_bytes(largest.read_bytes()[:-7])
        (copy / "bundles" / "active").write_text("f" * 64 + "\n")
        after = feed.for_you(1)
        assert after.receipt.bundle_id == old
        assert [item.to_dict() for item in after] == [item.to_dict() for item in page]
        assert "ffffffffffff" in feed.model_problem
