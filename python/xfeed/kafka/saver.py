"""The state and its snapshots: loads the newest, saves in time, starts anew where it must."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from xfeed import _core
from xfeed.errors import XfeedError
from xfeed.kafka.plan import Saved, read_source, source_of
from xfeed.replay import world_settings
from xfeed.snapshots import SnapshotStore

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from xfeed.config import FeedConfig
    from xfeed.kafka.cluster import Cluster
    from xfeed.kafka.health import Health
    from xfeed.kafka.progress import Progress
    from xfeed.snapshots import SnapshotInfo


class _News(NamedTuple):
    world: _core.World
    offsets: dict[str, int]
    source: str


class Saver:
    """Owns the world and keeps it on the disk together with the offsets it stands at.

    Only the thread that applies events may call `save_if_due`, `finish` and change `world`;
    `rebuild` is called while that thread has nothing to apply.

    Args:
        directory: the data directory.
        config: the settings.
        progress: the offsets that go with the world.
        health: gets told when a snapshot fails.
        topic_ids: asks the brokers for the identities of these topics, by name.
    """

    def __init__(
        self,
        directory: Path,
        config: FeedConfig,
        progress: Progress,
        health: Health,
        topic_ids: Callable[[Sequence[str]], dict[str, str]],
    ) -> None:
        self._settings = world_settings(config)
        self._every_secs = config.kafka.snapshot_secs
        self._every_events = config.kafka.snapshot_events
        self._progress = progress
        self._health = health
        self._store = SnapshotStore(directory)
        self._lock = threading.Lock()
        self._ask_topic_ids = topic_ids
        self._cluster_id = ""
        self._topic_ids: dict[str, str] = {}
        self._saved_offsets: dict[str, int] = {}
        self._next = time.monotonic() + self._every_secs
        self._worker: threading.Thread | None = None
        self._info: SnapshotInfo | None = None
        self._n_made = 0
        self._n_since = 0
        self._is_rebuilding = False
        self.unusable: tuple[str, ...] = ()
        self.world = _core.World(**self._settings)

    def load(self) -> Saved | None:
        """Takes the newest good snapshot; None, and `unusable` says why, where there is none."""
        loaded = self._store.newest(self._settings, _problem)
        problems = tuple(self._store.problems)
        self._health.warn("snapshot_unused", "; ".join(problems) or None)
        if loaded is None:
            self.unusable = problems
            return None
        self.world, self._info = loaded
        self._saved_offsets = dict(loaded.info.offsets)
        identity = read_source(loaded.info.source)
        assert identity is not None  # `_problem` has seen to it
        return Saved(*identity, dict(loaded.info.offsets))

    def identify(self, cluster: Cluster) -> None:
        """Notes what the offsets belong to."""
        self._cluster_id = cluster.cluster_id
        self._topic_ids = {name: topic.topic_id for name, topic in cluster.topics.items()}

    def rebuild(self, reason: str) -> None:
        """Starts with an empty world; the old snapshots stay until it has caught up."""
        self._health.warn("rebuilding", reason)
        with self._lock:
            self._is_rebuilding = True
            # The old offsets do not belong to the new world.
            self._progress.reset()
            self.world = _core.World(**self._settings)

    def save_if_due(self, n_applied: int) -> None:
        """Starts a snapshot when it is time; returns when the state is captured.

        Args:
            n_applied: records applied since the last call.
        """
        self._n_since += n_applied
        if self._is_rebuilding and self._progress.is_caught_up():
            self._is_rebuilding = False
            self._health.warn("rebuilding", None)
            self._next = 0.0
        is_due = time.monotonic() >= self._next or self._n_since >= self._every_events
        if not is_due or self._worker_is_busy():
            return
        news = self._news()
        self._next = time.monotonic() + self._every_secs
        self._n_since = 0
        if news is None:
            return
        captured = threading.Event()
        self._worker = threading.Thread(
            target=self._save, args=(news, captured), name="xfeed-kafka-snapshot", daemon=True
        )
        self._worker.start()
        while not captured.wait(0.5):
            self._health.beat("applier")

    def finish(self) -> None:
        """Waits for the snapshot that is being made and makes the last one.

        Raises:
            XfeedError: when the last one fails. What was saved before stays.
        """
        self.join()
        news = self._news()
        if news is not None:
            self._create(news, None)

    def join(self) -> None:
        """Waits for the snapshot that is being made: nothing is written once the lock is let go."""
        if self._worker is not None:
            self._worker.join()

    def to_dict(self) -> dict[str, Any]:
        """The last good snapshot, and how many were made."""
        info = self._info
        return {
            "number": None if info is None else info.number,
            "path": None if info is None else info.path,
            "made": self._n_made,
        }

    def _worker_is_busy(self) -> bool:
        return self._worker is not None and self._worker.is_alive()

    def _news(self) -> _News | None:
        """What there is to save; None when it is on the disk already or not fit to be.

        A topic that was deleted and made anew may have slipped events of its own into the state
        before anybody noticed. An identity never comes back: when it is still the same now, with
        everything applied that the snapshot will hold, the state is clean.
        """
        with self._lock:
            offsets = self._progress.offsets()
            if not offsets or offsets == self._saved_offsets or self._is_rebuilding:
                return None
            source = source_of(self._cluster_id, self._topic_ids)
            news = _News(self.world, offsets, source)
            known = {name: topic_id for name, topic_id in self._topic_ids.items() if topic_id}
        try:
            is_same = not known or self._ask_topic_ids(tuple(known)) == known
            problem = None if is_same else "a topic is not the one that the state was read from"
        except XfeedError as error:
            problem = str(error)
        self._health.warn("snapshot_postponed", problem)
        return news if problem is None else None

    def _save(self, news: _News, captured: threading.Event) -> None:
        try:
            self._create(news, captured.set)
        except XfeedError as error:
            # The one before stays; it is tried again when the next one is due.
            self._health.warn("snapshot_failed", str(error))
        finally:
            captured.set()

    def _create(self, news: _News, captured: Callable[[], None] | None) -> None:
        self._info = self._store.create(*news, captured=captured)
        self._saved_offsets = news.offsets
        self._n_made += 1
        self._health.warn("snapshot_failed", None)


def _problem(info: SnapshotInfo) -> str:
    """Why a snapshot is of no use here; empty when it is."""
    if read_source(info.source) is None:
        return f"it is of another log, `{info.source}`"
    return ""
