import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from xfeed import Feed, StoreError
from xfeed.log import SqliteLog

from tests.feed.worlds import open_with, post


@pytest.fixture
def log(tmp_path: Path) -> Iterator[SqliteLog]:
    log = SqliteLog(tmp_path)
    yield log
    log.close()


def payloads(start: int, end: int) -> list[bytes]:
    return [f"event {i}".encode() for i in range(start, end)]


def append(log: SqliteLog, start: int, end: int) -> int:
    return log.append(payloads(start, end), [None] * (end - start)).end_offset


def test_offsets_count_from_zero_without_gaps(log: SqliteLog) -> None:
    assert log.end_offset == 0
    assert append(log, 0, 3) == 3
    assert append(log, 3, 3) == 3
    assert append(log, 3, 10) == log.end_offset == 10


@pytest.mark.parametrize("batch_len", [1, 3, 10, 11, 1_000])
@pytest.mark.parametrize("offset", [0, 1, 9, 10, 11])
def test_reading_gives_everything_from_an_offset_in_batches(
    log: SqliteLog, offset: int, batch_len: int
) -> None:
    append(log, 0, 10)
    batches = list(log.read(offset, batch_len))
    assert [payload for batch in batches for payload in batch] == payloads(offset, 10)
    assert all(len(batch) == batch_len for batch in batches[:-1])
    assert all(0 < len(batch) <= batch_len for batch in batches)


def test_reading_ends_where_the_log_ended_when_it_began(log: SqliteLog) -> None:
    append(log, 0, 4)
    reading = log.read(0, 2)
    assert next(reading) == payloads(0, 2)
    append(log, 4, 8)
    assert list(reading) == [payloads(2, 4)]


def test_bytes_come_back_exactly(log: SqliteLog) -> None:
    odd = [b"", b"\x00", b"\xff\xfe", bytes(range(256)), b"x" * 65_536, "é🦀".encode()]
    log.append(odd, [None] * len(odd))
    assert list(log.read(0, 100)) == [odd]


def test_an_event_id_is_written_once_inside_a_batch(log: SqliteLog) -> None:
    appended = log.append(payloads(0, 4), ["a", "b", "a", None])
    assert appended == (3, [True, True, False, True])
    assert list(log.read(0, 9)) == [[b"event 0", b"event 1", b"event 3"]]


def test_an_event_id_is_written_once_across_batches_and_openings(tmp_path: Path) -> None:
    first = SqliteLog(tmp_path)
    first.append(payloads(0, 2), ["a", "quote'\" /é"])
    assert first.append(payloads(2, 4), ["quote'\" /é", "c"]).is_new == [False, True]
    first.close()
    second = SqliteLog(tmp_path)
    assert second.append(payloads(4, 7), ["a", "c", "d"]) == (4, [False, False, True])
    second.close()


def test_event_ids_differ_by_case_and_space(log: SqliteLog) -> None:
    assert all(log.append(payloads(0, 4), ["a", "A", "a ", "á"]).is_new)


def test_events_without_an_id_are_never_left_out(log: SqliteLog) -> None:
    assert log.append([b"same"] * 3, [None] * 3).is_new == [True] * 3


def test_a_batch_of_the_largest_size_is_searched_for_its_ids(log: SqliteLog) -> None:
    ids = [f"id {i}" for i in range(100_000)]
    assert all(log.append(payloads(0, 100_000), ids).is_new)
    assert not any(log.append(payloads(0, 100_000), ids).is_new)


def test_commits_are_durable_and_the_journal_is_ahead(log: SqliteLog) -> None:
    # Pragmas belong to a connection, so the log's own is asked.
    (mode,) = log._database.execute("PRAGMA journal_mode").fetchone()
    (synchronous,) = log._database.execute("PRAGMA synchronous").fetchone()
    assert (mode, synchronous) == ("wal", 2)


def test_any_tool_can_read_the_file(tmp_path: Path) -> None:
    open_with(tmp_path, {**post(1, 2), "event_id": "e"}).close()
    database = sqlite3.connect(tmp_path / "events.sqlite")
    rows = database.execute("SELECT log_offset, event_id, payload FROM events").fetchall()
    database.close()
    assert [(row[0], row[1]) for row in rows] == [(0, "e"), (1, None)]
    assert json.loads(rows[0][2])["post_id"] == 1


def test_a_reader_refuses_to_append_and_sees_what_comes(tmp_path: Path, log: SqliteLog) -> None:
    append(log, 0, 2)
    reader = SqliteLog(tmp_path, mode="read")
    with pytest.raises(StoreError) as caught:
        append(reader, 2, 3)
    assert caught.value.code == "read_only"
    append(log, 2, 5)
    assert reader.end_offset == 5
    assert list(reader.read(1, 9)) == [payloads(1, 5)]
    reader.close()


@pytest.mark.parametrize("mode", ["read", "write"])
def test_a_log_of_another_format_is_refused_and_left_alone(tmp_path: Path, mode: str) -> None:
    database = sqlite3.connect(tmp_path / "events.sqlite")
    database.execute("PRAGMA user_version = 99")
    database.close()
    before = (tmp_path / "events.sqlite").read_bytes()
    with pytest.raises(StoreError, match="format 99, this xfeed reads format 2") as caught:
        Feed.open(tmp_path, mode=mode)  # type: ignore[arg-type]
    assert caught.value.code == "bad_log_format"
    assert (tmp_path / "events.sqlite").read_bytes() == before


@pytest.mark.parametrize("mode", ["read", "write"])
def test_what_is_no_database_is_refused_and_left_alone(tmp_path: Path, mode: str) -> None:
    (tmp_path / "events.sqlite").write_bytes(b"this is a letter, not a database" * 99)
    with pytest.raises(StoreError, match="cannot be opened as a log") as caught:
        Feed.open(tmp_path, mode=mode)  # type: ignore[arg-type]
    assert caught.value.code == "bad_log"
    assert (tmp_path / "events.sqlite").read_bytes().startswith(b"this is a letter")
    (tmp_path / "events.sqlite").unlink()
    Feed.open(tmp_path).close()


def test_a_database_of_another_program_is_refused_and_left_alone(tmp_path: Path) -> None:
    database = sqlite3.connect(tmp_path / "events.sqlite")
    database.execute("CREATE TABLE customers (name TEXT)")
    database.close()
    with pytest.raises(StoreError):
        SqliteLog(tmp_path)
    database = sqlite3.connect(tmp_path / "events.sqlite")
    assert database.execute("SELECT name FROM sqlite_schema").fetchall() == [("customers",)]
    database.close()


def test_a_cut_log_is_refused_with_a_store_error(tmp_path: Path) -> None:
    open_with(tmp_path, *[post(i, 1, text="x" * 500) for i in range(500)]).close()
    path = tmp_path / "events.sqlite"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(StoreError):
        Feed.open(tmp_path)


def test_an_event_that_was_damaged_on_disk_is_not_left_out_silently(tmp_path: Path) -> None:
    open_with(tmp_path, *[post(i, 1) for i in range(9)]).close()
    path = tmp_path / "events.sqlite"
    content = path.read_bytes()
    assert content.count(b'"post_id":7') == 1
    path.write_bytes(content.replace(b'"post_id":7', b'"post_if":7'))
    with pytest.raises(StoreError, match="7"):
        Feed.open(tmp_path)


FULL_DISK = """
import json, resource, signal, sys
from pathlib import Path
from xfeed import Feed, StoreError

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
lines = Path(sys.argv[2]).read_bytes().splitlines()
acknowledged = [0]
feed = Feed.open(sys.argv[1], config={"ingest_batch_len": 100})
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))
try:
    feed.ingest(lines, on_ack=lambda report: acknowledged.append(report.end_offset))
    code = "none"
except StoreError as error:
    code = error.code
full = {"code": code, "acknowledged": acknowledged[-1], "offset": feed.log_offset}
page = feed.for_you(1, limit=5)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
report = feed.ingest(lines[acknowledged[-1]:])
print(json.dumps({**full, "served": len(page), "later": report.end_offset,
                  "hash": feed.state_hash()}))
"""


def test_a_full_disk_is_a_store_error_and_nothing_is_half_written(tmp_path: Path) -> None:
    lines = [json.dumps(post(i, i % 7, text="x" * 400)).encode() for i in range(2_000)]
    (tmp_path / "events.jsonl").write_bytes(b"\n".join(lines))
    data = tmp_path / "data"
    command = [sys.executable, "-c", FULL_DISK, str(data), str(tmp_path / "events.jsonl")]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    said = json.loads(ran.stdout)
    assert said["code"] in {"write_failed", "io_failed"}
    assert 0 < said["acknowledged"] < 2_000
    assert said["acknowledged"] % 100 == 0
    assert said["served"] == 5
    # With room again the same process goes on, and nothing is doubled or lost.
    assert said["later"] == 2_000
    with Feed.open(data) as feed, Feed.open(tmp_path / "whole") as whole:
        whole.ingest(lines)
        assert feed.log_offset == 2_000
        assert feed.state_hash() == whole.state_hash() == said["hash"]


NO_ROOM_FOR_LETTERS = """
import resource, signal, sys
from xfeed import Feed, StoreError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
feed = Feed.open(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
try:
    feed.ingest([b"x" * 60_000] * 9)
except StoreError as error:
    print(error.code)
"""


def test_no_room_for_dead_letters_is_a_store_error(tmp_path: Path) -> None:
    command = [sys.executable, "-c", NO_ROOM_FOR_LETTERS, str(tmp_path)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip()
