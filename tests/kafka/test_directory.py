"""One directory has one source of events and one writer."""

from pathlib import Path

import pytest
from xfeed import Feed, StoreError
from xfeed.kafka import KafkaIngest

from tests.kafka.wire import Wire, event, posts, wait

ADDRESS = "kafka://127.0.0.1:1/posts"


def test_a_directory_with_a_log_of_its_own_is_refused(tmp_path: Path) -> None:
    with Feed.open(tmp_path) as feed:
        feed.ingest(posts(0, 1))
    with pytest.raises(StoreError, match="one source of events") as error:
        KafkaIngest(tmp_path, ADDRESS)
    assert error.value.code == "other_source"
    # The lock is let go again.
    with Feed.open(tmp_path) as feed:
        assert feed.log_offset == 1


def test_a_directory_that_kafka_feeds_takes_no_other_events(
    mock: Wire, tmp_path: Path, topic: str
) -> None:
    mock.send(topic, posts(0, 1))
    with KafkaIngest(tmp_path, mock.url(topic)) as ingest:
        ingest.start()
        wait(lambda: ingest.is_ready)
    with pytest.raises(StoreError, match="fed by Kafka") as error:
        Feed.open(tmp_path)
    assert error.value.code == "fed_by_kafka"


def test_two_processes_do_not_feed_one_directory(tmp_path: Path) -> None:
    with (
        KafkaIngest(tmp_path, ADDRESS),
        pytest.raises(StoreError, match="another process") as error,
    ):
        KafkaIngest(tmp_path, ADDRESS)
    assert error.value.code == "locked"


def test_a_cluster_is_not_exchanged(mock: Wire, tmp_path: Path, topic: str) -> None:
    mock.send(topic, posts(0, 1))
    with KafkaIngest(tmp_path, mock.url(topic)) as ingest:
        ingest.start()
        wait(lambda: ingest.is_ready)
    marker = tmp_path / "kafka.json"
    marker.write_text(marker.read_text().replace('cluster_id":"', 'cluster_id":"not-'))
    ingest = KafkaIngest(tmp_path, mock.url(topic))
    ingest.start()
    assert ingest.wait(60)
    with pytest.raises(StoreError, match="from the cluster") as error:
        ingest.close()
    assert error.value.code == "other_cluster"


@pytest.mark.parametrize("content", ["", "{}", '{"format":9,"cluster_id":"x","topics":[]}'])
def test_a_damaged_mark_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "kafka.json").write_text(content)
    with pytest.raises(StoreError, match=r"kafka\.json") as error:
        KafkaIngest(tmp_path, ADDRESS)
    assert error.value.code == "bad_marker"


def test_a_feed_reads_the_newest_snapshot_and_then_newer_ones(
    mock: Wire, tmp_path: Path, topic: str
) -> None:
    config = {"kafka": {"snapshot_events": 1}}
    mock.send(topic, [*posts(0, 7), event("follow", user_id="ann", target_id=1)])
    with KafkaIngest(tmp_path, mock.url(topic), config=config) as ingest:
        ingest.start()
        wait(lambda: ingest.status()["snapshot"]["made"])
        with Feed.open(tmp_path, mode="read") as feed:
            assert feed.log_offset == 8
            assert feed.for_you("ann")[0].post_id == "1"
            mock.send(topic, posts(8, 1))
            wait(lambda: feed.for_you("ann")[0].post_id == "8")
            assert feed.state_hash() == ingest.world.digest()
            with pytest.raises(StoreError, match="reading only"):
                feed.ingest(posts(9, 1))


def test_a_feed_without_a_snapshot_to_read_says_so(mock: Wire, tmp_path: Path, topic: str) -> None:
    mock.touch(topic)
    with KafkaIngest(tmp_path, mock.url(topic)) as ingest:
        ingest.start()
        wait(lambda: ingest.is_ready)
        with pytest.raises(StoreError, match="none was made yet") as error:
            Feed.open(tmp_path, mode="read")
    assert error.value.code == "no_snapshot"
