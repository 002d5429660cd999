"""Events into topics, so that what must stay in order stays in order.

A record's key is the id of who did it: the author of a post, the viewer of an impression or an
action, the person who follows, blocks or mutes. All records with one key go to one partition. An
edit, a delete or a label names only its post, and is keyed by that; its time decides, not its
place. With two topics, the first takes posts and what viewers saw and did, the second takes
relations, profiles, muted words and labels.
"""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from xfeed import _core
from xfeed.errors import ConfigError, StoreError
from xfeed.events import system_now_ms, to_payload
from xfeed.kafka import client
from xfeed.kafka.address import Address
from xfeed.kafka.cluster import ASK_SECS, unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from xfeed.events import EventLike

CHECK_LEN = 4_096
"""Events that are checked together."""

MAX_KEPT = 20
"""Refused events that the report describes."""

MAX_TOPICS = 2

GRAPH_TYPES = frozenset(
    {
        "follow", "unfollow", "block", "unblock", "mute", "unmute", "mute_word", "unmute_word",
        "profile", "label", "unlabel",
    }
)  # fmt: skip
"""Types that the second topic takes."""

FLUSH_SECS = 30.0
"""How long the last records may take to arrive."""


@dataclass(slots=True)
class ProduceReport:
    """What became of the events.

    Attributes:
        read: events read.
        delivered: records that all in-sync replicas hold.
        refused: events that were not sent because they are not valid, by code.
        examples: the first refused ones: position (from 1), code and message.
        seconds: how long it took.
    """

    read: int = 0
    delivered: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    examples: list[tuple[int, str, str]] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def n_refused(self) -> int:
        """Refused events."""
        return sum(self.refused.values())

    def to_dict(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


class _Ids(msgspec.Struct):
    type: str
    author_id: int | str | None = None
    viewer_id: int | str | None = None
    user_id: int | str | None = None
    post_id: int | str | None = None


def route(payload: bytes) -> tuple[int, bytes]:
    """Where a valid JSON event goes: the number of its topic (0 or 1), and its key.

    Example:
        >>> route(b'{"type":"follow","at_ms":1,"user_id":"42","target_id":7}')
        (1, b'42')
    """
    ids = msgspec.json.decode(payload, type=_Ids)
    owner = {"post": ids.author_id, "impression": ids.viewer_id, "action": ids.viewer_id}.get(
        ids.type, ids.user_id
    )
    key = ids.post_id if owner is None else owner
    assert key is not None  # every type has one of them, or the decoder refuses it
    return int(ids.type in GRAPH_TYPES), str(key).encode()


def produce(
    events: Iterable[EventLike],
    address: Address | str,
    *,
    now_ms: Callable[[], int] = system_now_ms,
    on_progress: Callable[[ProduceReport], None] | None = None,
) -> ProduceReport:
    """Checks events and writes them to the topics, in order per key.

    Returns when all in-sync replicas hold every valid event. Retries neither repeat nor reorder
    records (the producer is idempotent).

    Args:
        events: `Event` objects, mappings or JSON lines; read lazily.
        address: one topic, or two: the second takes relations, profiles, words and labels.
        now_ms: the clock, which limits `at_ms`.
        on_progress: called with the report so far after each step.

    Raises:
        ConfigError: for a wrong address.
        StoreError: when the brokers refuse a record or do not answer; it says how many arrived.
    """
    target = Address.parse(address) if isinstance(address, str) else address
    if len(target.topics) > MAX_TOPICS:
        raise ConfigError(
            f"`{','.join(target.topics)}` are more than {MAX_TOPICS} topics",
            code="bad_address",
            hint="name one topic, or two: the second takes relations, profiles, words and labels",
        )
    start = time.perf_counter()
    report = ProduceReport()
    sender = _Sender(target)
    iterator = iter(events)
    while batch := [to_payload(event) for event in itertools.islice(iterator, CHECK_LEN)]:
        decoded = _core.decode_events(batch, now_ms())
        for position, code, _, _, message in decoded.rejects():
            report.refused[code] = report.refused.get(code, 0) + 1
            if len(report.examples) < MAX_KEPT:
                report.examples.append((report.read + position + 1, code, message))
        for position in decoded.positions():
            sender.send(batch[position])
        report.read += len(batch)
        report.delivered = sender.n_delivered
        report.seconds = time.perf_counter() - start
        if on_progress is not None:
            on_progress(report)
    sender.finish()
    report.delivered = sender.n_delivered
    report.seconds = time.perf_counter() - start
    return report


class _Sender:
    """A producer that lets no error pass."""

    def __init__(self, address: Address) -> None:
        kafka = client.load()
        self._topics = address.topics
        self._encode = _core.encode_protobuf if address.format == "protobuf" else bytes
        self._servers = address.servers
        self._error: str | None = None
        self.n_delivered = 0
        self._producer = client.make(
            kafka.Producer,
            client.properties(
                address,
                {
                    "enable.idempotence": True,
                    "acks": "all",
                    # Java clients place keys the same way.
                    "partitioner": "murmur2_random",
                    "allow.auto.create.topics": False,
                    "compression.type": "lz4",
                    "linger.ms": 20,
                    "message.timeout.ms": 30_000,
                    "on_delivery": self._on_delivery,
                    "error_cb": self._on_error,
                },
            ),
        )

        for topic in address.topics:
            self._check(topic)

    def _check(self, topic: str) -> None:
        """A topic that is not there is an error now, not after the patience of the client."""
        from confluent_kafka import KafkaException

        try:
            error = self._producer.list_topics(topic, timeout=ASK_SECS).topics[topic].error
        except KafkaException as problem:
            error = problem.args[0]
        if error is not None:
            found = unavailable(error, topic)
            raise StoreError(f"nothing was sent: {found}", code=found.code)

    def _on_delivery(self, error: Any, message: Any) -> None:
        if error is None:
            self.n_delivered += 1
        elif self._error is None:
            self._error = f"`{message.topic()}`: {error.str()}"

    def _on_error(self, error: Any) -> None:
        if error.fatal() and self._error is None:
            self._error = error.str()

    def send(self, payload: bytes) -> None:
        topic, key = route(payload)
        name = self._topics[min(topic, len(self._topics) - 1)]
        value = self._encode(payload)
        while True:
            self._stop_on_error()
            try:
                self._producer.produce(name, value, key)
            except BufferError:
                self._producer.poll(0.1)
            else:
                self._producer.poll(0)
                return

    def finish(self) -> None:
        """Waits until every record has arrived."""
        n_left = self._producer.flush(FLUSH_SECS)
        self._stop_on_error()
        if n_left:
            self._error = f"{n_left} records got no answer from `{self._servers}`"
            self._stop_on_error()

    def _stop_on_error(self) -> None:
        if self._error is None:
            return
        self._producer.purge()
        self._producer.flush(1)
        raise StoreError(
            f"{self._error}; {self.n_delivered} records had arrived before",
            code="not_delivered",
            hint="mend it and produce the events again: an event that comes twice has one effect",
        )
