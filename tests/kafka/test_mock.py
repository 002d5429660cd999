"""At wire level, against the client library's mock broker: no Java needed."""

import itertools
import json
import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from xfeed import StoreError
from xfeed.events import system_now_ms
from xfeed.kafka import KafkaIngest
from xfeed.kafka.stream import READ_LEN

from tests.kafka.wire import Wire, codes, event, posts, state_hash, wait

PARTITIONS = 4


@pytest.mark.parametrize("count", [0, 1, READ_LEN - 1, READ_LEN, READ_LEN + 1])
def test_it_is_ready_with_any_number_of_events(
    mock: Wire, tmp_path: Path, topic: str, count: int
) -> None:
    """A quiet topic must not keep anybody waiting for a full batch."""
    mock.touch(topic)
    mock.send(topic, posts(0, count))
    with KafkaIngest(tmp_path, mock.url(topic)) as ingest:
        assert not ingest.is_ready
        ingest.start()
        wait(lambda: ingest.is_ready)
        assert ingest.world.counts()["posts"] == count


def test_one_event_on_an_idle_topic_is_applied_without_others(
    mock: Wire, tmp_path: Path, topic: str
) -> None:
    mock.send(topic, posts(0, 3))
    with KafkaIngest(tmp_path, mock.url(topic)) as ingest:
        ingest.start()
        wait(lambda: ingest.is_ready)
        mock.send(topic, [event("post", 9, post_id=9, author_id=1)], partition=2)
        wait(lambda: ingest.world.post_state(9) == "live")
        mock.send(topic, [event("delete", 10, post_id=9)], partition=3)
        wait(lambda: ingest.world.post_state(9) == "deleted")
        assert ingest.is_ready


def test_a_state_goes_on_where_it_was_left(mock: Wire, tmp_path: Path, topic: str) -> None:
    mock.send(topic, posts(0, 10))
    with KafkaIngest(tmp_path, mock.url(topic)) as ingest:
        ingest.start()
        wait(lambda: ingest.is_ready)
    mock.send(topic, posts(10, 5), partition=1)
    with KafkaIngest(tmp_path, mock.url(topic)) as ingest:
        # Before it has spoken to anybody it serves what it has.
        assert ingest.world.counts()["posts"] == 10
        assert not ingest.is_ready
        ingest.start()
        wait(lambda: ingest.is_ready)
        assert ingest.status()["applied"] == 5
        assert ingest.world.digest() == state_hash(posts(0, 15))


def test_a_batch_that_comes_again_changes_nothing(mock: Wire, tmp_path: Path, topic: str) -> None:
    told = [*posts(0, 20), event("delete", 30, post_id=3), event("edit", 31, post_id=4, text="x")]
    mock.send(topic, told)
    mock.send(topic, told[5:])
    mock.send(topic, told, partition=2)
    with KafkaIngest(tmp_path, mock.url(topic)) as ingest:
        ingest.start()
        wait(lambda: ingest.is_ready)
        assert ingest.world.digest() == state_hash(told)


@settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(bad=st.sets(st.integers(0, 11), max_size=12), kind=st.integers(0, 5))
def test_bad_records_cost_only_themselves(
    mock: Wire, tmp_path_factory: pytest.TempPathFactory, bad: set[int], kind: int
) -> None:
    poison = [
        b"\xff\xfe",
        b"{}",
        b'{"type":"post","at_ms":1e999,"post_id":1,"author_id":1}',
        b"[" * 10_000,
        b'"' + b"x" * 200_000 + b'"',
        b"",
    ][kind]
    directory = tmp_path_factory.mktemp("poison")
    name = directory.name.replace("_", "-")
    good = posts(0, 12)
    mock.send(name, [poison if i in bad else payload for i, payload in enumerate(good)])
    with KafkaIngest(directory, mock.url(name)) as ingest:
        ingest.start()
        wait(lambda: ingest.is_ready)
        kept = [payload for i, payload in enumerate(good) if i not in bad]
        assert ingest.world.digest() == state_hash(kept)
        assert sum(ingest.status()["refused"].values()) == len(bad)
    path = directory / "dead_letters.jsonl"
    letters = [json.loads(line) for line in path.read_text().splitlines()] if bad else []
    assert [letter["offset"] for letter in letters] == sorted(bad)
    for letter in letters:
        assert (letter["topic"], letter["partition"]) == (name, 0)
        assert letter["n_bytes"] == len(poison)
        assert letter["code"]
        assert letter["message"]


def test_what_is_too_far_in_the_future_is_decided_by_the_stamp_of_the_record(
    mock: Wire, tmp_path: Path, topic: str
) -> None:
    """Whoever reads the topic a day later keeps the same events."""
    day_ms = 86_400_000
    now_ms = system_now_ms()
    late = json.dumps({"type": "post", "at_ms": now_ms + day_ms, "post_id": 1, "author_id": 1})
    mock.send(topic, [late.encode()])
    for days in (0, 3):
        clock = itertools.repeat(now_ms + days * day_ms)
        with KafkaIngest(tmp_path / str(days), mock.url(topic), now_ms=clock.__next__) as ingest:
            ingest.start()
            wait(lambda: ingest.is_ready)
            assert ingest.status()["refused"] == {"in_the_future": 1}


def test_records_without_a_value_are_no_events(mock: Wire, tmp_path: Path, topic: str) -> None:
    mock.send(topic, [*posts(0, 2), None, *posts(2, 1)])
    with KafkaIngest(tmp_path, mock.url(topic)) as ingest:
        ingest.start()
        wait(lambda: ingest.is_ready)
        assert ingest.status()["empty"] == 1
        assert ingest.status()["refused"] == {}
        assert ingest.world.counts()["posts"] == 3


def test_without_a_broker_it_is_never_ready_and_says_why(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        with KafkaIngest(tmp_path, f"kafka://127.0.0.1:{port}/posts") as ingest:
            ingest.start()
            wait(lambda: "broker_away" in codes(ingest))
            assert not ingest.wait(0.5)
            assert not ingest.is_ready
            assert ingest.status()["partitions"] == {}


@pytest.mark.parametrize("thread", ["reader", "applier"])
def test_when_a_thread_dies_it_is_not_ready(
    mock: Wire, tmp_path: Path, topic: str, thread: str
) -> None:
    """Readiness is computed from the work, never from a message that may not come."""
    broken = threading.Event()

    def clock() -> int:
        if broken.is_set() and thread == "reader":
            raise OverflowError("the clock broke")
        # No 64 bits hold this time, which breaks the decoder's side.
        return -(2**70) if broken.is_set() else system_now_ms()

    mock.send(topic, posts(0, 3))
    ingest = KafkaIngest(tmp_path, mock.url(topic), now_ms=clock)
    ingest.start()
    wait(lambda: ingest.is_ready)
    broken.set()
    mock.send(topic, posts(3, 1))
    wait(lambda: not ingest.is_ready)
    assert ingest.wait(60)
    assert not ingest.is_ready
    assert codes(ingest)[0] == f"{thread}_died"
    with pytest.raises(StoreError, match="unexpectedly"):
        ingest.close()


def test_a_flood_of_refused_records_is_told_and_its_file_stays_small(
    mock: Wire, tmp_path: Path, topic: str
) -> None:
    config: dict[str, Any] = {"kafka": {"max_dead_letters_bytes": 2**20}}
    poison = [b"x" * 10_000] * 400
    for partition in range(PARTITIONS):
        mock.send(topic, poison, partition)
    mock.send(topic, posts(0, 1))
    with KafkaIngest(tmp_path, mock.url(topic), config=config) as ingest:
        ingest.start()
        wait(lambda: ingest.is_ready)
        assert sum(ingest.status()["refused"].values()) == 400 * PARTITIONS
        assert "flood_of_refused" in ingest.status()["warnings"]
        assert ingest.world.counts()["posts"] == 1
    for name in ("dead_letters.jsonl", "dead_letters.old.jsonl"):
        assert 0 < (tmp_path / name).stat().st_size <= 2**20


def test_memory_is_bounded_when_applying_is_slow(mock: Wire, tmp_path: Path, topic: str) -> None:
    """The reader pauses; what waits stays near the limit, and nothing is lost."""
    limit = 2**16
    config: dict[str, Any] = {"kafka": {"max_pending_bytes": limit, "flush_ms": 1}}
    told = [
        event("post", i, post_id=i, author_id=1, text=f"{i}" + "x" * 2_000) for i in range(2_000)
    ]
    mock.send(topic, told)
    most = 0

    def is_ready() -> bool:
        nonlocal most
        most = max(most, ingest.status()["pending_bytes"])
        return ingest.is_ready

    with KafkaIngest(tmp_path, mock.url(topic), config=config) as ingest:
        ingest.start()
        wait(is_ready)
        assert ingest.status()["pauses"] > 0
        assert ingest.world.digest() == state_hash(told)
        wait(lambda: not ingest.status()["paused"])
    # What came with the last look is a batch at most.
    assert most <= limit + READ_LEN * 3_000 < sum(map(len, told))


def test_a_snapshot_that_fails_is_told_and_does_not_stop_the_work(
    mock: Wire, tmp_path: Path, topic: str
) -> None:
    config: dict[str, Any] = {"kafka": {"snapshot_events": 1}}
    mock.touch(topic)
    with KafkaIngest(tmp_path, mock.url(topic), config=config) as ingest:
        obstacle = tmp_path / "snapshots"
        obstacle.write_text("no directory")
        ingest.start()
        mock.send(topic, posts(0, 5))
        wait(lambda: "snapshot_failed" in ingest.status()["warnings"])
        mock.send(topic, posts(5, 5))
        wait(lambda: ingest.is_ready and ingest.world.counts()["posts"] == 10)
        obstacle.unlink()
        mock.send(topic, posts(10, 5))
        wait(lambda: ingest.status()["snapshot"]["made"] > 0)
        assert "snapshot_failed" not in ingest.status()["warnings"]


def test_refused_records_that_cannot_be_written_are_told_and_do_not_stop_the_work(
    mock: Wire, tmp_path: Path, topic: str
) -> None:
    (tmp_path / "dead_letters.jsonl").mkdir()
    mock.send(topic, [b"poison", *posts(0, 3)])
    with KafkaIngest(tmp_path, mock.url(topic)) as ingest:
        ingest.start()
        wait(lambda: ingest.is_ready)
        assert ingest.world.counts()["posts"] == 3
        assert ingest.status()["refused"] == {"not_json": 1}
        assert "dead_letters" in ingest.status()["warnings"]
