"""Brokers that go away, come back, come and go, or answer slowly."""

from pathlib import Path
from typing import Any

import pytest
from xfeed.kafka import KafkaIngest

from tests.kafka.broker import Broker
from tests.kafka.proxy import Proxy
from tests.kafka.wire import Wire, codes, posts, state_hash, wait

STALE: dict[str, Any] = {"kafka": {"max_stale_secs": 1, "check_secs": 1}}


@pytest.fixture
def proxy(real_broker: Broker) -> Proxy:
    return Proxy(real_broker.proxy_port, real_broker.proxied_port)


def through(proxy: Proxy, topic: str) -> str:
    return f"kafka://127.0.0.1:{proxy._port}/{topic}"


def test_while_the_brokers_are_away_it_serves_what_it_has(
    real: Wire, proxy: Proxy, tmp_path: Path, topic: str
) -> None:
    real.create(topic)
    real.send(topic, posts(0, 10))
    with proxy, KafkaIngest(tmp_path, through(proxy, topic), config=STALE) as ingest:
        ingest.start()
        wait(lambda: ingest.is_ready)
        proxy.cut()
        real.send(topic, posts(10, 10))
        wait(lambda: "broker_away" in codes(ingest))
        assert ingest.world.digest() == state_hash(posts(0, 10))
        proxy.start()
        wait(lambda: ingest.is_ready and ingest.world.counts()["posts"] == 20)
        assert ingest.world.digest() == state_hash(posts(0, 20))
        assert ingest.status()["repeated"] == 0


def test_connections_that_come_and_go_lose_nothing(
    real: Wire, proxy: Proxy, tmp_path: Path, topic: str
) -> None:
    real.create(topic, partitions=3)
    with proxy, KafkaIngest(tmp_path, through(proxy, topic)) as ingest:
        ingest.start()
        for turn in range(6):
            real.send(topic, posts(100 * turn, 50), turn % 3)
            proxy.cut()
            proxy.start()
        told = [payload for turn in range(6) for payload in posts(100 * turn, 50)]
        wait(lambda: ingest.is_ready and ingest.world.counts()["posts"] == len(told))
        assert ingest.world.digest() == state_hash(told)


def test_a_slow_line_gets_there_too(real: Wire, proxy: Proxy, tmp_path: Path, topic: str) -> None:
    real.create(topic)
    real.send(topic, posts(0, 200))
    proxy.bytes_per_turn = 128
    with proxy, KafkaIngest(tmp_path, through(proxy, topic)) as ingest:
        ingest.start()
        wait(lambda: ingest.world.counts()["posts"] == 200)
        assert ingest.world.digest() == state_hash(posts(0, 200))
        proxy.bytes_per_turn = 0


def test_a_broker_that_is_killed_and_comes_back_is_followed_on(
    own_broker: Broker, tmp_path: Path, topic: str
) -> None:
    wire = Wire(own_broker.address)
    wire.create(topic)
    wire.send(topic, posts(0, 10))
    with KafkaIngest(tmp_path / "data", wire.url(topic), config=STALE) as ingest:
        ingest.start()
        wait(lambda: ingest.is_ready)
        own_broker.kill()
        wait(lambda: "broker_away" in codes(ingest))
        own_broker.start()
        wire.send(topic, posts(10, 10))
        wait(lambda: ingest.is_ready and ingest.world.counts()["posts"] == 20)
        own_broker.kill()
        # Nobody says whether the topics are still the same: no snapshot, and no harm.
        applied = ingest.status()["snapshot"]["made"]
    assert applied == 0
    with KafkaIngest(tmp_path / "data", wire.url(topic)) as again:
        assert again.world.counts()["posts"] == 0
