"""The consumer is killed again and again; at the end the state is the fold of the topics.

`make test` runs the short one, `make stress` the one with a million events and twenty kills.
"""

import json
import random
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition
from xfeed import World, _core
from xfeed.config import load_config
from xfeed.data import CommunityConfig, community
from xfeed.kafka import produce
from xfeed.replay import world_settings
from xfeed.snapshots import SnapshotStore

from tests.kafka.wire import Wire

SEED = 20_261_122
READ_LEN = 10_000
COMMAND = [sys.executable, "-c", "from xfeed.cli import main; main()", "ingest"]


def start(directory: Path, address: str, *options: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*COMMAND, "--from", address, "--data", str(directory), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )


def kill_midway(
    directory: Path, address: str, n_snapshot: int, n_more: int, draw: random.Random
) -> bool:
    """Starts a consumer, kills it, and returns whether it was at work then."""
    wanted = draw.randint(1, n_more)
    options = ["--status-every", "0.01", "--set", f"kafka.snapshot_events={n_snapshot}"]
    process = start(directory, address, *options)
    assert process.stdout is not None
    status: dict[str, Any] = {}
    for line in process.stdout:
        status = json.loads(line)
        if status["applied"] >= wanted or status["ready"]:
            break
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL, status
    return int(status["applied"]) > 0 and int(status["lag"]) > 0


def read_topics(address: str, ends: Mapping[str, int]) -> list[bytes]:
    """What is in the topics up to `ends`, partition after partition: no order that we ever see."""
    consumer = Consumer({"bootstrap.servers": address, "group.id": "test", "log_level": 0})
    found: list[bytes] = []
    for key, end in ends.items():
        topic, _, number = key.rpartition("/")
        consumer.assign([TopicPartition(topic, int(number), 0)])
        position = 0
        while position < end:
            for message in consumer.consume(READ_LEN, 0.1):
                assert message.error() is None
                offset, value = message.offset(), message.value()
                assert offset is not None
                assert value is not None
                position = offset + 1
                if position <= end:
                    found.append(value)
    consumer.close()
    return found


def fold(payloads: list[bytes]) -> str:
    world = World(**world_settings(load_config(None, None, {})))
    for first in range(0, len(payloads), READ_LEN):
        batch = _core.decode_events(payloads[first : first + READ_LEN])
        assert not batch.rejects()
        world.apply(batch)
    return world.digest()


def crash(wire: Wire, directory: Path, topic: str, events: list[bytes], n_kills: int) -> None:
    graph = f"{topic}-graph"
    wire.create(topic, partitions=4)
    wire.create(graph, partitions=2)
    address = wire.url(topic, graph)
    settings = world_settings(load_config(None, None, {}))
    draw = random.Random(SEED)  # noqa: S311 - must repeat
    step = len(events) // n_kills + 1
    at_work = 0
    for turn in range(n_kills):
        batch = events[turn * step : (turn + 1) * step]
        assert produce(batch, address).delivered == len(batch)
        at_work += kill_midway(directory, address, step // 8, step, draw)
        # Whatever was saved is a state that the topics really had.
        loaded = SnapshotStore(directory, writable=False).newest(settings)
        if loaded is not None:
            where = f"kill {turn} of seed {SEED} at {loaded.info.offsets}"
            told = read_topics(wire.address, loaded.info.offsets)
            assert loaded.world.counts()["events"] == len(told), where
            assert loaded.world.digest() == fold(told), where
    assert at_work >= n_kills // 2

    last = start(directory, address, "--until-caught-up", "--json")
    report = json.loads(last.communicate()[0].splitlines()[-1])
    assert last.returncode == 0
    assert (report["caught_up"], report["lag"], report["refused"]) == (True, 0, {})
    loaded = SnapshotStore(directory, writable=False).newest(settings)
    assert loaded is not None
    told = read_topics(wire.address, loaded.info.offsets)
    assert len(told) == len(events) == loaded.world.counts()["events"]
    assert loaded.world.digest() == fold(told) == fold(events)


def test_five_kills_lose_and_double_nothing(real: Wire, tmp_path: Path, topic: str) -> None:
    settings = CommunityConfig(n_people=500, n_posts=3_000, n_impressions=34_000)
    events = list(community(settings).events())
    assert len(events) > 90_000
    crash(real, tmp_path, topic, events, n_kills=5)


@pytest.mark.stress
@pytest.mark.timeout(1_800)
def test_twenty_kills_in_a_million_events_lose_and_double_nothing(
    real: Wire, tmp_path: Path, topic: str
) -> None:
    settings = CommunityConfig(n_people=5_000, n_posts=30_000, n_impressions=340_000)
    events = list(community(settings).events())
    assert len(events) > 900_000
    crash(real, tmp_path, topic, events, n_kills=20)
