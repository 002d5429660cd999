"""What goes on while reading: records into batches, pauses, new partitions, lag, commits."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from xfeed.errors import StoreError
from xfeed.kafka.buffer import Batch
from xfeed.kafka.cluster import Unavailable, look_up, part_key, spans, unavailable

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Mapping

    from xfeed.config import KafkaConfig
    from xfeed.kafka.buffer import Buffer
    from xfeed.kafka.cluster import Cluster
    from xfeed.kafka.health import Health
    from xfeed.kafka.progress import Progress

READ_LEN = 1_000
"""Most records of one batch."""


class Again(Exception):  # noqa: N818 - a turn of the loop, not an error
    """What was assigned no longer fits: look and decide anew."""


@dataclass(slots=True)
class Counters:
    """What happened while reading.

    Attributes:
        gaps: offsets that hold no event of ours: compacted, or marks of transactions.
        repeated: records that came again and were left out.
        empty: records without a value.
        pauses: how often reading paused because too much waited to be applied.
        failed_commits: commits that the brokers refused; they only feed dashboards.
        is_paused: whether reading pauses now.
        is_committing: whether an answer to a commit is outstanding.
    """

    gaps: int = 0
    repeated: int = 0
    empty: int = 0
    pauses: int = 0
    failed_commits: int = 0
    is_paused: bool = False
    is_committing: bool = False

    def on_commit(self, error: Any, _: Any) -> None:
        """Takes the answer to a commit."""
        self.is_committing = False
        self.failed_commits += error is not None


class Stream:
    """One assignment of all partitions; used by one thread.

    Args:
        consumer: connected, without an assignment.
        admin: for identities.
        settings: those of the config.
        buffer: takes what was read.
        progress: gets partitions and ends; tells what was applied.
        health: gets told what goes wrong.
        now_ms: the clock.
        counters: what happened.
    """

    def __init__(
        self,
        consumer: Any,
        admin: Any,
        *,
        settings: KafkaConfig,
        buffer: Buffer,
        progress: Progress,
        health: Health,
        now_ms: Callable[[], int],
        counters: Counters,
    ) -> None:
        self._consumer = consumer
        self._admin = admin
        self._settings = settings
        self._buffer = buffer
        self._progress = progress
        self._health = health
        self._now_ms = now_ms
        self._counters = counters
        self._names: dict[tuple[str, int], str] = {}
        self._positions: dict[str, int] = {}
        self._committed: dict[str, int] = {}
        self.cluster: Cluster | None = None

    def start(self, cluster: Cluster, starts: Mapping[str, int]) -> None:
        """Assigns every partition at its start."""
        self.cluster = cluster
        parts = [(name, n) for name, topic in cluster.topics.items() for n in topic.partitions]
        self._names = {part: part_key(*part) for part in parts}
        self._positions = dict(starts)
        self._counters.is_paused = self._counters.is_committing = False
        self._consumer.assign(self._places(self._positions))

    def _places(self, offsets: Mapping[str, int]) -> list[Any]:
        from confluent_kafka import TopicPartition

        return [
            TopicPartition(*part, offsets[key])
            for part, key in self._names.items()
            if key in offsets
        ]

    def run(self, asked_to_stop: threading.Event) -> None:
        """Reads until told to stop.

        Raises:
            Again: when offsets or topics are not what they were.
            Unavailable: when a topic is gone or closed to us.
        """
        flush_secs = self._settings.flush_ms / 1_000
        next_second = 0.0
        next_look = time.monotonic() + self._settings.check_secs
        while not asked_to_stop.is_set():
            self._health.beat("reader")
            # Returns when there are that many, or after that long with what there is.
            batch = self._sort(self._consumer.consume(READ_LEN, flush_secs))
            if batch.offsets:
                self._buffer.put(batch)
            self._regulate()
            now = time.monotonic()
            if now >= next_second:
                next_second = now + 1
                self._tell_ends()
                self._commit()
            if now >= next_look:
                next_look = now + self._settings.check_secs
                self._look()

    def _sort(self, messages: list[Any]) -> Batch:
        """Puts records into a batch and looks into events of the client."""
        batch = Batch()
        now_ms = self._now_ms()
        for message in messages:
            key = self._names.get((message.topic(), message.partition()), "")
            offset = message.offset()
            error = message.error()
            if error is not None:
                self._note(error, key, offset, batch)
                continue
            expected = self._positions[key]
            if offset < expected:
                self._counters.repeated += 1
                continue
            self._counters.gaps += offset - expected
            self._positions[key] = batch.offsets[key] = offset + 1
            payload = message.value()
            if payload is None:
                self._counters.empty += 1
                continue
            # The stamp decides what is too far in the future, so that whoever reads the topic
            # later keeps the same events.
            kind, stamp_ms = message.timestamp()
            batch.add(payload, (key, offset), min(stamp_ms, now_ms) if kind else now_ms)
        return batch

    def _note(self, error: Any, key: str, offset: int, batch: Batch) -> None:
        from confluent_kafka import KafkaError

        code = error.code()
        if code == KafkaError._PARTITION_EOF:  # noqa: SLF001 - its public name
            # The last offsets of a partition may hold no events.
            if offset > self._positions[key]:
                self._counters.gaps += offset - self._positions[key]
                self._positions[key] = batch.offsets[key] = offset
        elif code in {KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE}:  # noqa: SLF001
            raise Again
        elif error.fatal():
            raise StoreError(
                f"the Kafka client failed: {error.str()}", code="client_failed", hint="start again"
            )
        else:
            found = unavailable(error, key)
            if found.code != "broker_away":
                raise found
            self._health.warn("broker", str(found))

    def _regulate(self) -> None:
        """Pauses while too much waits, so that memory stays bounded; goes on at half of it."""
        waiting = self._buffer.n_bytes
        limit = self._settings.max_pending_bytes
        if not self._counters.is_paused and waiting > limit:
            self._consumer.pause(self._places(self._positions))
            self._counters.is_paused = True
            self._counters.pauses += 1
        elif self._counters.is_paused and waiting <= limit // 2:
            self._consumer.resume(self._places(self._positions))
            self._counters.is_paused = False
        if self._counters.is_paused:
            # Silence of the brokers is our own doing.
            self._health.hear()

    def _tell_ends(self) -> None:
        """Takes the ends that came with the last fetches; asks nobody."""
        ends = {}
        for part, place in zip(self._names, self._places(self._positions), strict=True):
            known = self._consumer.get_watermark_offsets(place, cached=True)
            if known is not None and known[1] >= 0:
                ends[self._names[part]] = known[1]
        self._progress.ends(ends)

    def _commit(self) -> None:
        """Tells the brokers what is applied, for dashboards; nothing of ours reads it back."""
        from confluent_kafka import KafkaException

        applied = self._progress.offsets()
        if self._counters.is_committing or applied == self._committed:
            return
        try:
            self._consumer.commit(offsets=self._places(applied), asynchronous=True)
            self._counters.is_committing = True
            self._committed = applied
        except KafkaException:
            self._counters.failed_commits += 1

    def _look(self) -> None:
        """Finds topics that were made anew, and partitions that were added."""
        age = self._health.contact_age_secs()
        if self.cluster is None or age is None or age > self._settings.check_secs:
            return  # Nobody would answer.
        try:
            seen = look_up(self._consumer, self._admin, tuple(self.cluster.topics))
        except Unavailable as error:
            if error.code == "broker_away":
                return  # The client finds them again; how long it takes is watched elsewhere.
            raise
        for name, topic in seen.topics.items():
            known_id = self.cluster.topics[name].topic_id
            if known_id and topic.topic_id and topic.topic_id != known_id:
                raise Again
        added = [
            (name, number)
            for name, topic in seen.topics.items()
            for number in topic.partitions
            if (name, number) not in self._names
        ]
        if added:
            # All of a new partition is new: it is read from its beginning.
            starts = {key: span.low for key, span in spans(self._consumer, added).items()}
            if any(starts.values()):
                raise Again
            self._progress.add(starts)
            self._names |= {part: part_key(*part) for part in added}
            self._positions |= starts
            self._consumer.incremental_assign(self._places(starts))
        self.cluster = seen
