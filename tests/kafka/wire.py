"""What the tests say to a broker, and what they compare with."""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions, NewTopic
from xfeed import World, _core
from xfeed.config import load_config
from xfeed.kafka import KafkaIngest
from xfeed.replay import world_settings

START_MS = 1_700_000_000_000

PATIENCE_SECS = 40
"""How long a test waits for what must come; on a free machine it comes at once."""


@contextmanager
def mock_address() -> Iterator[str]:
    """Address of the client library's mock broker."""
    owner = Producer({"bootstrap.servers": "none", "test.mock.num.brokers": 1, "log_level": 0})
    brokers = owner.list_topics(timeout=10).brokers.values()
    yield ",".join(f"{broker.host}:{broker.port}" for broker in brokers)
    del owner


class Wire:
    """Writes to the topics of one cluster with nothing of xfeed's."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.admin = AdminClient({"bootstrap.servers": address, "log_level": 0})
        self._producer = Producer({"bootstrap.servers": address, "log_level": 0, "linger.ms": 0})

    def url(self, *topics: str, query: str = "") -> str:
        return f"kafka://{self.address}/{','.join(topics)}{query}"

    def create(self, topic: str, partitions: int = 1, **settings: Any) -> None:
        values = {name.replace("_", "."): str(value) for name, value in settings.items()}
        self.admin.create_topics([NewTopic(topic, partitions, 1, config=values)])[topic].result()

    def touch(self, topic: str) -> None:
        """Asks the mock for a topic, which makes it."""
        self._producer.list_topics(topic, timeout=10)

    def grow(self, topic: str, partitions: int) -> None:
        self.admin.create_partitions([NewPartitions(topic, partitions)])[topic].result()

        def seen() -> int:
            return len(self._producer.list_topics(topic, timeout=10).topics[topic].partitions)

        wait(lambda: seen() == partitions)

    def delete(self, topic: str) -> None:
        self.admin.delete_topics([topic])[topic].result()
        wait(lambda: topic not in self.admin.list_topics(timeout=10).topics)

    def send(self, topic: str, payloads: Iterable[bytes | None], partition: int = 0) -> None:
        for payload in payloads:
            self._producer.produce(topic, payload, b"key", partition)
            self._producer.poll(0)
        assert self._producer.flush(PATIENCE_SECS) == 0


def wait(condition: Callable[[], object]) -> None:
    """Waits until it holds."""
    end = time.monotonic() + PATIENCE_SECS
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.01)


def follow(directory: Path, address: str, config: Mapping[str, Any] | None = None) -> KafkaIngest:
    """One that runs and is ready."""
    ingest = KafkaIngest(directory, address, config=config)
    ingest.start()
    wait(lambda: ingest.is_ready)
    return ingest


def codes(ingest: KafkaIngest) -> list[str]:
    """Why it is not ready."""
    return [reason["code"] for reason in ingest.reasons()]


def event(kind: str, at: int = 0, **fields: Any) -> bytes:
    return json.dumps({"type": kind, "at_ms": START_MS + at, **fields}).encode()


def posts(first: int, count: int) -> list[bytes]:
    """Some posts of a few authors."""
    return [
        event("post", i, post_id=i, author_id=i % 7, text=f"post {i}")
        for i in range(first, first + count)
    ]


def state_hash(payloads: Iterable[bytes], config: Mapping[str, Any] | None = None) -> str:
    """Hash of a fresh world that got exactly these events."""
    world = World(**world_settings(load_config(None, config, {})))
    batch = _core.decode_events(list(payloads))
    assert not batch.rejects()
    world.apply(batch)
    return world.digest()
