"""Against a real Apache Kafka broker: what only a real log does."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from xfeed import StoreError
from xfeed.kafka import Address, KafkaIngest, produce

from tests.kafka.broker import PASSWORD, USER
from tests.kafka.wire import Wire, codes, event, follow, posts, state_hash, wait

QUICK: dict[str, Any] = {"kafka": {"check_secs": 1}}
REBUILD: dict[str, Any] = {"kafka": {"check_secs": 1, "on_lost": "rebuild"}}


def run_once(directory: Path, address: str, config: dict[str, Any] | None = None) -> str:
    """Brings a directory up to date, closes it, and returns the state's hash."""
    with follow(directory, address, config) as ingest:
        return ingest.world.digest()


def test_events_that_are_gone_stop_it_by_default(real: Wire, tmp_path: Path, topic: str) -> None:
    """Never a silent jump to what is left."""
    real.create(topic)
    real.send(topic, posts(0, 10))
    run_once(tmp_path, real.url(topic))
    real.send(topic, posts(10, 10))
    forget(real, topic, 15)
    ingest = KafkaIngest(tmp_path, real.url(topic))
    before = ingest.world.digest()
    ingest.start()
    assert ingest.wait(60)
    assert codes(ingest)[0] == "events_lost"
    assert not ingest.is_ready
    assert ingest.world.digest() == before == state_hash(posts(0, 10))
    with pytest.raises(StoreError, match="begins at 15, and the state needs 10 next"):
        ingest.close()


def test_events_that_are_gone_rebuild_it_when_told_to(
    real: Wire, tmp_path: Path, topic: str
) -> None:
    real.create(topic)
    real.send(topic, posts(0, 10))
    run_once(tmp_path, real.url(topic))
    real.send(topic, posts(10, 10))
    forget(real, topic, 15)
    assert run_once(tmp_path, real.url(topic), REBUILD) == state_hash(posts(15, 5))
    # From here on it is a state like any other.
    assert run_once(tmp_path, real.url(topic)) == state_hash(posts(15, 5))


def test_events_that_go_while_it_reads_are_noticed(real: Wire, tmp_path: Path, topic: str) -> None:
    real.create(topic)
    real.send(topic, posts(0, 5))
    with follow(tmp_path, real.url(topic), REBUILD) as ingest:
        real.delete(topic)
        real.create(topic)
        real.send(topic, posts(100, 3))
        wait(lambda: ingest.is_ready and ingest.world.digest() == state_hash(posts(100, 3)))


def test_a_topic_made_anew_stops_it_by_default(real: Wire, tmp_path: Path, topic: str) -> None:
    """Also when the new one is longer, so that offsets tell nothing."""
    real.create(topic)
    real.send(topic, posts(0, 5))
    run_once(tmp_path, real.url(topic))
    ingest = follow(tmp_path, real.url(topic), QUICK)
    real.delete(topic)
    real.create(topic)
    real.send(topic, posts(100, 50))
    assert ingest.wait(60)
    assert codes(ingest)[0] == "events_lost"
    with pytest.raises(StoreError, match="made anew"):
        ingest.close()
    # A restart does not forget it.
    again = KafkaIngest(tmp_path, real.url(topic))
    again.start()
    assert again.wait(60)
    assert again.world.digest() == state_hash(posts(0, 5))
    with pytest.raises(StoreError, match="made anew"):
        again.close()


def test_a_damaged_state_and_a_topic_without_its_beginning_stop_it(
    real: Wire, tmp_path: Path, topic: str
) -> None:
    real.create(topic)
    real.send(topic, posts(0, 10))
    run_once(tmp_path, real.url(topic))
    forget(real, topic, 5)
    for path in (tmp_path / "snapshots").iterdir():
        path.write_bytes(b"nothing")
    ingest = KafkaIngest(tmp_path, real.url(topic))
    ingest.start()
    assert ingest.wait(60)
    assert codes(ingest)[0] == "events_lost"
    with pytest.raises(StoreError, match=r"\.snapshot"):
        ingest.close()


def test_a_missing_topic_keeps_it_waiting_and_is_named(
    real: Wire, tmp_path: Path, topic: str
) -> None:
    with KafkaIngest(tmp_path, real.url(topic)) as ingest:
        ingest.start()
        wait(lambda: "topic_missing" in codes(ingest))
        assert topic in ingest.reasons()[0]["message"]
        real.create(topic)
        real.send(topic, posts(0, 1))
        wait(lambda: ingest.is_ready)
        assert ingest.world.counts()["posts"] == 1


@pytest.mark.parametrize("password", [PASSWORD, "wrong"])
def test_a_wrong_password_is_named_and_never_shown(
    real: Wire, sasl_address: str, tmp_path: Path, topic: str, password: str
) -> None:
    real.create(topic)
    secrets = tmp_path / "client.properties"
    secrets.write_text(
        "# how to get in\nsecurity.protocol=SASL_PLAINTEXT\nsasl.mechanisms=PLAIN\n"
        f"sasl.username={USER}\nsasl.password={password}\n"
    )
    address = Address(sasl_address, (topic,), properties=secrets)
    with KafkaIngest(tmp_path / "data", address) as ingest:
        ingest.start()
        if password == PASSWORD:
            wait(lambda: ingest.is_ready)
        else:
            wait(lambda: "auth_failed" in codes(ingest))
            assert not ingest.is_ready
            assert password not in json.dumps(ingest.status()).replace("wrong password", "")


def test_new_partitions_are_read_from_their_beginning(
    real: Wire, tmp_path: Path, topic: str
) -> None:
    real.create(topic, partitions=4)
    for partition in range(4):
        real.send(topic, posts(100 * partition, 5), partition)
    told = [payload for partition in range(8) for payload in posts(100 * partition, 5)]
    with follow(tmp_path, real.url(topic), QUICK) as ingest:
        real.grow(topic, 8)
        for partition in range(4, 8):
            real.send(topic, posts(100 * partition, 5), partition)
        wait(lambda: ingest.world.digest() == state_hash(told))
        assert ingest.is_ready
        assert len(ingest.status()["partitions"]) == 8
        assert ingest.status()["repeated"] == 0
    assert run_once(tmp_path, real.url(topic)) == state_hash(told)


def test_topics_may_be_added_but_not_left_out(real: Wire, tmp_path: Path, topic: str) -> None:
    other = f"{topic}-graph"
    follows = [event("follow", i, user_id=i, target_id=i + 1) for i in range(5)]
    for name in (topic, other):
        real.create(name, partitions=2)
    real.send(topic, posts(0, 5))
    real.send(other, follows)
    run_once(tmp_path, real.url(topic))
    assert run_once(tmp_path, real.url(topic, other)) == state_hash([*posts(0, 5), *follows])
    with pytest.raises(StoreError, match="not among") as error:
        KafkaIngest(tmp_path, real.url(topic))
    assert error.value.code == "other_topics"


def test_a_huge_record_does_not_block_its_partition(real: Wire, tmp_path: Path, topic: str) -> None:
    real.create(topic, max_message_bytes=110_000_000)
    producer = Producer(
        {"bootstrap.servers": real.address, "message.max.bytes": 110_000_000, "linger.ms": 0}
    )
    huge = random.Random(1).randbytes(1_000) * 100_000  # noqa: S311 - no secret
    real.send(topic, posts(0, 1))
    producer.produce(topic, huge, partition=0)
    assert producer.flush(60) == 0
    real.send(topic, posts(1, 1))
    with follow(tmp_path, real.url(topic)) as ingest:
        assert ingest.world.digest() == state_hash(posts(0, 2))
        assert sum(ingest.status()["refused"].values()) == 1
    letter = json.loads((tmp_path / "dead_letters.jsonl").read_text())
    assert (letter["offset"], letter["n_bytes"]) == (1, len(huge))
    assert (tmp_path / "dead_letters.jsonl").stat().st_size < 200_000


def test_applied_offsets_are_committed_for_dashboards(
    real: Wire, tmp_path: Path, topic: str
) -> None:
    from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition

    real.create(topic)
    real.send(topic, posts(0, 7))
    group = f"group-{topic}"
    asked = ConsumerGroupTopicPartitions(group, [TopicPartition(topic, 0)])

    def committed() -> int:
        answer = real.admin.list_consumer_group_offsets([asked])[group].result()
        return int(answer.topic_partitions[0].offset)

    with follow(tmp_path, real.url(topic, query=f"?group={group}")) as ingest:
        wait(lambda: committed() == 7)
        assert ingest.status()["failed_commits"] == 0


@pytest.mark.parametrize("query", ["", "?format=protobuf"])
def test_what_is_produced_is_what_is_read(
    real: Wire, tmp_path: Path, topic: str, query: str
) -> None:
    graph = f"{topic}-graph"
    real.create(topic, partitions=4)
    real.create(graph, partitions=2)
    told = [
        *posts(0, 50),
        *(event("follow", i, user_id=f"ann-{i}", target_id=i) for i in range(20)),
        *(event("impression", 60 + i, viewer_id=i % 5, post_id=i) for i in range(50)),
    ]
    report = produce([*told, b"{}"], real.url(topic, graph, query=query))
    assert (report.read, report.delivered, report.n_refused) == (121, 120, 1)
    with follow(tmp_path, real.url(topic, graph, query=query)) as ingest:
        assert ingest.world.digest() == state_hash(told)
        ends = {key: part["end"] for key, part in ingest.status()["partitions"].items()}
    assert sum(end for key, end in ends.items() if key.startswith(f"{graph}/")) == 20
    assert sum(end > 0 for end in ends.values()) > 3


def test_errors_of_the_producer_are_not_swallowed(real: Wire, topic: str) -> None:
    with pytest.raises(StoreError, match="nothing was sent") as missing:
        produce(posts(0, 3), real.url(topic))
    assert missing.value.code == "topic_missing"
    real.create(topic, max_message_bytes=100)
    with pytest.raises(StoreError, match="0 records had arrived") as refused:
        produce(posts(0, 3), real.url(topic))
    assert refused.value.code == "not_delivered"


def forget(real: Wire, topic: str, offset: int) -> None:
    """Removes everything before `offset`, as the retention of a topic does."""
    from confluent_kafka import TopicPartition

    for answer in real.admin.delete_records([TopicPartition(topic, 0, offset)]).values():
        answer.result()
