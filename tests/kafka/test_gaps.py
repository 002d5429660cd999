"""Offsets without events: marks of transactions, what was compacted, what is not committed yet."""

import uuid
from pathlib import Path

import pytest
from confluent_kafka import Producer
from xfeed.kafka import KafkaIngest

from tests.kafka.wire import Wire, event, follow, posts, state_hash, wait


@pytest.mark.parametrize("committed", [True, False])
def test_marks_of_transactions_do_not_keep_it_waiting(
    real: Wire, tmp_path: Path, topic: str, committed: bool
) -> None:
    real.create(topic)
    real.send(topic, posts(0, 2))
    producer = Producer({"bootstrap.servers": real.address, "transactional.id": str(uuid.uuid4())})
    producer.init_transactions(60)
    producer.begin_transaction()
    for payload in posts(2, 3):
        producer.produce(topic, payload, partition=0)
    producer.flush(60)
    (producer.commit_transaction if committed else producer.abort_transaction)(60)
    with follow(tmp_path, real.url(topic)) as ingest:
        # The mark at the end is an offset too, and nobody ever reads it.
        assert ingest.status()["partitions"][f"{topic}/0"]["applied"] == 6
        assert ingest.status()["gaps"] == (1 if committed else 4)
        assert ingest.world.digest() == state_hash(posts(0, 5 if committed else 2))


def test_an_open_transaction_does_not_keep_it_waiting(
    real: Wire, tmp_path: Path, topic: str
) -> None:
    real.create(topic)
    real.send(topic, posts(0, 2))
    producer = Producer({"bootstrap.servers": real.address, "transactional.id": str(uuid.uuid4())})
    producer.init_transactions(60)
    producer.begin_transaction()
    producer.produce(topic, posts(2, 1)[0], partition=0)
    producer.flush(60)
    with follow(tmp_path, real.url(topic)) as ingest:
        assert ingest.world.counts()["posts"] == 2
        producer.commit_transaction(60)
        wait(lambda: ingest.world.counts()["posts"] == 3)


def test_gaps_of_a_compacted_topic_do_not_keep_it_waiting(
    real: Wire, tmp_path: Path, topic: str
) -> None:
    real.create(
        topic,
        cleanup_policy="compact",
        segment_ms=100,
        min_cleanable_dirty_ratio=0.01,
        max_compaction_lag_ms=100,
    )
    # All have one key, so only the last one of a closed segment stays.
    real.send(topic, posts(0, 50))

    def is_compacted() -> bool:
        # Only writing closes a segment.
        real.send(topic, [event("profile", user_id=1, handle="x")])
        with KafkaIngest(tmp_path / uuid.uuid4().hex, real.url(topic)) as look:
            look.start()
            wait(lambda: look.is_ready)
            return bool(look.status()["gaps"])

    wait(is_compacted)
    with follow(tmp_path / "data", real.url(topic)) as ingest:
        part = ingest.status()["partitions"][f"{topic}/0"]
        assert part["applied"] == part["target"] == part["end"]
        assert ingest.status()["lag"] == 0
