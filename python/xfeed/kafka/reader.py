"""The thread that reads: connects, decides where to start, and starts again after trouble."""

from __future__ import annotations

import random
import threading
import time
from typing import TYPE_CHECKING, Any

import msgspec

from xfeed.errors import StoreError, XfeedError
from xfeed.kafka import client
from xfeed.kafka.cluster import Unavailable, look_up, spans, unavailable
from xfeed.kafka.plan import Saved, check_identity, plan
from xfeed.kafka.stream import Again, Counters, Stream

if TYPE_CHECKING:
    from collections.abc import Callable

    from xfeed.config import KafkaConfig
    from xfeed.kafka.address import Address
    from xfeed.kafka.buffer import Buffer
    from xfeed.kafka.cluster import Cluster
    from xfeed.kafka.health import Health
    from xfeed.kafka.progress import Progress

MAX_BACKOFF_SECS = 10.0


class _Broker(msgspec.Struct):
    nodeid: int
    state: str
    rxidle: int


class _Statistics(msgspec.Struct):
    brokers: dict[str, _Broker]


class Reader(threading.Thread):
    """Reads all partitions of the topics into a buffer until it is told to stop.

    Args:
        address: the topics.
        settings: those of the config.
        saved: where the state stands; None for an empty one.
        unusable: why there are snapshots and none of them is `saved`; empty otherwise.
        buffer: takes what was read.
        progress: gets the partitions and their ends; tells what was applied.
        health: gets told what goes wrong.
        now_ms: the clock.
        on_connect: called with the cluster before anything of it is read.
        on_rebuild: called with the reasons when the state is of no use; nothing waits in the
            buffer then. Makes the state empty.
    """

    def __init__(
        self,
        address: Address,
        settings: KafkaConfig,
        saved: Saved | None,
        unusable: tuple[str, ...],
        *,
        buffer: Buffer,
        progress: Progress,
        health: Health,
        now_ms: Callable[[], int],
        on_connect: Callable[[Cluster], None],
        on_rebuild: Callable[[tuple[str, ...]], None],
    ) -> None:
        super().__init__(name="xfeed-kafka-reader", daemon=True)
        self._address = address
        self._settings = settings
        self._saved = saved
        self._unusable = unusable
        self._buffer = buffer
        self._progress = progress
        self._health = health
        self._now_ms = now_ms
        self._on_connect = on_connect
        self._on_rebuild = on_rebuild
        self._asked_to_stop = threading.Event()
        self._auth_error = ""
        self.counters = Counters()

    def stop(self) -> None:
        """Asks the thread to end; it does within a second or two."""
        self._asked_to_stop.set()

    def run(self) -> None:
        """Connects, reads, and connects again after trouble, until told or until it is useless."""
        failures = 0
        try:
            while not self._asked_to_stop.is_set():
                self._health.beat("reader")
                try:
                    self._session()
                except Again:
                    failures = 0
                except Unavailable as error:
                    failures += 1
                    self._health.trouble(error.code, str(error))
                self._wait_before_retry(failures)
        except XfeedError as error:
            self._health.fail(error)
        except Exception as error:  # noqa: BLE001 - a thread that dies must say so
            message = f"reading ended unexpectedly: {error!r}"
            self._health.fail(StoreError(message, code="reader_died", hint="start it again"))

    def _wait_before_retry(self, failures: int) -> None:
        longest = min(MAX_BACKOFF_SECS, 0.1 * 2 ** min(failures, 10))
        # Instances that lost the same broker must not come back in step.
        end = time.monotonic() + longest * random.uniform(0.5, 1)  # noqa: S311 - not secret
        while time.monotonic() < end and not self._asked_to_stop.wait(0.1):
            self._health.beat("reader")

    def _session(self) -> None:
        kafka = client.load()
        from confluent_kafka.admin import AdminClient

        stream: Stream | None = None
        consumer = client.make(
            kafka.Consumer, client.properties(self._address, self._own_properties())
        )
        try:
            admin_properties = client.properties(self._address, {"error_cb": self._on_error})
            admin = client.make(AdminClient, admin_properties)
            try:
                cluster = look_up(consumer, admin, self._address.topics)
                starts = self._begin(consumer, cluster)
            except Unavailable as error:
                # The reason comes by callback, and those are served here.
                consumer.poll(0)
                admin.poll(0)
                raise self._why(error) from error
            self._health.no_trouble()
            self._health.hear()
            stream = Stream(
                consumer,
                admin,
                settings=self._settings,
                buffer=self._buffer,
                progress=self._progress,
                health=self._health,
                now_ms=self._now_ms,
                counters=self.counters,
            )
            stream.start(cluster, starts)
            stream.run(self._asked_to_stop)
        except (Again, Unavailable):
            if stream is not None:
                self._settle(stream.cluster)
            raise
        finally:
            consumer.close()

    def _why(self, error: Unavailable) -> Unavailable:
        if not self._auth_error or error.code != "broker_away":
            return error
        return Unavailable(
            self._auth_error,
            code="auth_failed",
            hint="check the credentials in the file of client properties",
        )

    def _settle(self, cluster: Cluster | None) -> None:
        """Waits until everything that was read is applied; the next session starts from there."""
        while not self._buffer.wait_empty(0.1):
            self._health.beat("reader")
            if self._asked_to_stop.is_set():
                return
        if cluster is not None:
            topic_ids = {name: topic.topic_id for name, topic in cluster.topics.items()}
            self._saved = Saved(cluster.cluster_id, topic_ids, self._progress.offsets())

    def _begin(self, consumer: Any, cluster: Cluster) -> dict[str, int]:
        """Decides where to start."""
        if self._saved is not None:
            check_identity(self._saved, cluster.cluster_id, self._address.topics)
        parts = [(name, n) for name, topic in cluster.topics.items() for n in topic.partitions]
        found = spans(consumer, parts)
        ends = {key: span.high for key, span in found.items()}
        planned = plan(self._saved, cluster, found)
        lost = planned.lost
        if self._saved is None and self._unusable and any(span.low for span in found.values()):
            # Starting at the beginning is no loss only where the beginning is still there.
            lost = self._unusable
        was_ready = self._progress.is_caught_up()
        if lost:
            self._lost(lost)
            self._saved, self._unusable = None, ()
            planned = plan(None, cluster, found)
            was_ready = False
        self._on_connect(cluster)
        targets = planned.starts if was_ready else ends
        self._progress.begin(planned.starts, targets, ends)
        return planned.starts

    def _lost(self, reasons: tuple[str, ...]) -> None:
        if self._settings.on_lost == "stop":
            raise StoreError(
                "; ".join(reasons),
                code="events_lost",
                hint="the state cannot be carried on from here: name another directory, or set"
                " kafka.on_lost=rebuild to start from what the topics still have",
            )
        self._on_rebuild(reasons)

    def _own_properties(self) -> dict[str, Any]:
        return {
            "group.id": self._address.group or self._settings.group,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            # An offset that is gone is our decision, never a silent jump.
            "auto.offset.reset": "error",
            # Says how far a partition goes where its last offsets hold no events of ours.
            "enable.partition.eof": True,
            "allow.auto.create.topics": False,
            "statistics.interval.ms": 1_000,
            "queued.max.messages.kbytes": max(1, self._settings.max_pending_bytes // 1024),
            # A record that is far too large is refused by us; it must not stop its partition.
            "receive.message.max.bytes": 1_000_000_000,
            "error_cb": self._on_error,
            "stats_cb": self._on_statistics,
            "on_commit": self.counters.on_commit,
        }

    def _on_error(self, error: Any) -> None:
        found = unavailable(error, self._address.servers)
        if found.code == "auth_failed":
            self._auth_error = str(found)
        self._health.warn("broker", str(found))

    def _on_statistics(self, text: str) -> None:
        brokers = msgspec.json.decode(text, type=_Statistics).brokers.values()
        idle = [b.rxidle for b in brokers if b.nodeid >= 0 and b.state == "UP" and b.rxidle >= 0]
        if idle:
            self._health.hear(min(idle) / 1e6)
            self._health.warn("broker", None)
            self._auth_error = ""
