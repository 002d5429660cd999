"""From topics to a state: read, decode, apply, remember the offsets with the state."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from xfeed import _core
from xfeed import config as config_module
from xfeed.errors import StoreError, XfeedError
from xfeed.events import system_now_ms
from xfeed.kafka import client
from xfeed.kafka import directory as directory_module
from xfeed.kafka.address import Address
from xfeed.kafka.buffer import Batch, Buffer
from xfeed.kafka.cluster import topic_ids
from xfeed.kafka.dead_letters import DeadLetters
from xfeed.kafka.health import Health
from xfeed.kafka.plan import check_identity
from xfeed.kafka.progress import Progress
from xfeed.kafka.reader import Reader
from xfeed.kafka.saver import Saver

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType

    from xfeed._core import EventBatch
    from xfeed.config import FeedConfig
    from xfeed.kafka.cluster import Cluster


class KafkaIngest:
    """Keeps the state of a data directory in step with Kafka topics.

    Safe to use from several threads. Exactly one process may feed a directory. The state, `world`,
    can be read at any time, also while the brokers are away; `status` says how current it is.

    Args:
        directory: the data directory; made when it does not exist.
        address: the topics, ``kafka://host:port/topic,topic?format=json``.
        config: nested settings that override `xfeed.toml` and the environment.
        now_ms: the clock, unix milliseconds; limits how far in the future an event may be.

    Raises:
        ConfigError: for a wrong address or setting.
        StoreError: when another process feeds the directory, when it is not Kafka that feeds it,
            or when its state is of other topics.

    Example:
        >>> with KafkaIngest("data", "kafka://localhost:9092/posts") as ingest:  # doctest: +SKIP
        ...     ingest.start()
        ...     ingest.wait_ready(timeout_secs=60)
        ...     ingest.world.counts()
    """

    def __init__(
        self,
        directory: Path | str,
        address: Address | str,
        *,
        config: Mapping[str, Any] | None = None,
        now_ms: Callable[[], int] = system_now_ms,
    ) -> None:
        self._directory = Path(directory)
        self._address = Address.parse(address) if isinstance(address, str) else address
        self._config = config_module.load_config(self._directory, config)
        self._decode = _decoder(self._address.format)
        self._progress = Progress()
        self._health = Health(self._progress, self._config.kafka.max_stale_secs)
        self._buffer = Buffer()
        self._letters = DeadLetters(
            self._directory, self._config.kafka.max_dead_letters_bytes, self._health
        )
        self._n_applied = 0
        self._began = time.monotonic()
        self._ready_after_secs: float | None = None
        self._asked_to_stop = threading.Event()
        self._ended = threading.Event()
        self._admin: Any = None
        self._lock = directory_module.take(self._directory)
        try:
            self._open(now_ms)
        except BaseException:
            self._lock.release()
            raise

    def _open(self, now_ms: Callable[[], int]) -> None:
        self._check_marker("")
        self._saver = Saver(
            self._directory, self._config, self._progress, self._health, self._topic_ids
        )
        saved = self._saver.load()
        self._reader = Reader(
            self._address,
            self._config.kafka,
            saved,
            self._saver.unusable,
            buffer=self._buffer,
            progress=self._progress,
            health=self._health,
            now_ms=now_ms,
            on_connect=self._on_connect,
            on_rebuild=self._on_rebuild,
        )
        self._applier = threading.Thread(target=self._run, name="xfeed-kafka-applier", daemon=True)

    def _topic_ids(self, topics: Sequence[str]) -> dict[str, str]:
        """Asks on a connection of its own: the reader's may be busy."""
        if self._admin is None:
            client.load()
            from confluent_kafka.admin import AdminClient

            self._admin = client.make(AdminClient, client.properties(self._address, {}))
        return topic_ids(self._admin, topics)

    def _check_marker(self, cluster_id: str) -> None:
        marked = directory_module.read_marker(self._directory)
        if marked is not None:
            check_identity(marked, cluster_id, self._address.topics)

    def _on_connect(self, cluster: Cluster) -> None:
        self._check_marker(cluster.cluster_id)
        directory_module.write_marker(self._directory, cluster)
        self._saver.identify(cluster)

    def _on_rebuild(self, reasons: tuple[str, ...]) -> None:
        self._saver.rebuild("; ".join(reasons))

    @property
    def world(self) -> _core.World:
        """The state; another one after a rebuild."""
        return self._saver.world

    @property
    def config(self) -> FeedConfig:
        """All settings."""
        return self._config

    @property
    def failure(self) -> XfeedError | None:
        """What ended the work; None while it goes on or when it was stopped."""
        return self._health.failure

    def start(self) -> None:
        """Begins to read. Returns at once; see `status`, `wait_ready` and `wait`."""
        self._reader.start()
        self._applier.start()

    def stop(self) -> None:
        """Asks the work to end: what is in hand is applied, a snapshot is made. Returns at once."""
        self._asked_to_stop.set()

    def wait(self, timeout_secs: float | None = None) -> bool:
        """Waits for the end of the work; returns whether it has ended."""
        return self._ended.wait(timeout_secs)

    def wait_ready(self, timeout_secs: float) -> bool:
        """Waits until the state is ready; returns whether it is. Gives up when the work ends."""
        end = time.monotonic() + timeout_secs
        while not self.is_ready and time.monotonic() < end and not self._ended.wait(0.01):
            pass
        return self.is_ready

    @property
    def is_ready(self) -> bool:
        """Whether the state holds all that the topics held at the start, and follows them."""
        return not self.reasons()

    def reasons(self) -> list[dict[str, str]]:
        """Why the state is not ready, each with `code` and `message`; empty when it is."""
        reasons = self._health.reasons()
        threads = (self._reader, self._applier)
        if not reasons and not all(thread.is_alive() for thread in threads):
            reasons.append({"code": "not_running", "message": "nobody reads the topics"})
        return reasons

    def is_connected(self) -> bool:
        """Whether brokers and topics were found."""
        return bool(self._progress.offsets())

    def is_caught_up(self) -> bool:
        """Whether every partition was applied up to the end that it had at the start."""
        return self._progress.is_caught_up()

    def status(self) -> dict[str, Any]:
        """How current the state is, as plain values.

        `ready` and, when it is not, `reasons` (each with `code` and `message`); `partitions` with
        `applied`, `target` (the end at the start), `end` and `lag` of each; `lag` of all;
        `applied` events, `refused` ones by code; what reading met (`gaps`, `repeated`, `empty`,
        `pauses`); `pending_bytes`; the last snapshot; `warnings` by code; `contact_age_secs`.
        """
        reasons = self.reasons()
        partitions = self._progress.to_dict()
        counters = self._reader.counters
        age = self._health.contact_age_secs()
        return {
            "ready": not reasons,
            "reasons": reasons,
            "ready_after_secs": self._ready_after_secs,
            "lag": sum(part["lag"] for part in partitions.values()),
            "partitions": partitions,
            "applied": self._n_applied,
            "refused": dict(sorted(self._letters.counts.items())),
            "gaps": counters.gaps,
            "repeated": counters.repeated,
            "empty": counters.empty,
            "pauses": counters.pauses,
            "paused": counters.is_paused,
            "failed_commits": counters.failed_commits,
            "pending_bytes": self._buffer.n_bytes,
            "contact_age_secs": None if age is None else round(age, 3),
            "snapshot": self._saver.to_dict(),
            "warnings": self._health.warnings(),
        }

    def _run(self) -> None:
        try:
            while self._reader.is_alive() and not self._asked_to_stop.is_set():
                self._health.beat("applier")
                batch = self._buffer.take(0.2)
                n_applied = 0
                if batch is not None:
                    n_applied = len(batch.payloads)
                    self._apply(batch)
                    self._buffer.done(batch)
                if self._ready_after_secs is None and self._progress.is_caught_up():
                    self._ready_after_secs = time.monotonic() - self._began
                self._saver.save_if_due(n_applied)
            self._reader.stop()
            self._saver.finish()
        except XfeedError as error:
            self._health.fail(error)
        except Exception as error:  # noqa: BLE001 - a thread that dies must say so
            message = f"applying ended unexpectedly: {error!r}"
            self._health.fail(StoreError(message, code="applier_died", hint="start it again"))
        finally:
            self._reader.stop()
            self._saver.join()
            self._health.end()
            self._ended.set()

    def _apply(self, batch: Batch) -> None:
        decoded = self._decode(batch.payloads, batch.clocks)
        # What was refused is on the disk before the offsets move on.
        self._letters.take(decoded, batch)
        self._saver.world.apply(decoded)
        self._n_applied += len(decoded)
        self._progress.advance(batch.offsets)

    def close(self) -> None:
        """Ends the work as `stop` does, waits for it, and lets go of the directory.

        Raises:
            XfeedError: what ended the work, or what the last snapshot failed with.
        """
        self.stop()
        if self._applier.ident is not None:
            self._applier.join()
            self._reader.join()
        self._lock.release()
        if self._health.failure is not None:
            raise self._health.failure

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self.close()
        except XfeedError:
            if error is None:
                raise


def _decoder(name: str) -> Callable[[list[bytes], list[int]], EventBatch]:
    return _core.decode_protobuf if name == "protobuf" else _core.decode_events
