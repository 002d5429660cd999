"""Reading a directory that Kafka feeds, beside the process that feeds it.

The topics are not asked: what is read is the newest snapshot, and then each newer one as it comes.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, NoReturn

from xfeed.errors import StoreError
from xfeed.kafka.plan import read_source
from xfeed.log.directory import KAFKA_NAME
from xfeed.replay import Fold, SnapshotState

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from xfeed._core import EventBatch
    from xfeed.log import Appended, EventLog
    from xfeed.snapshots import Loaded, SnapshotInfo, SnapshotStore


class TopicsLog:
    """Stands for topics that this process does not ask; holds no events itself."""

    end_offset = 0
    writable = False

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    @staticmethod
    def feeds(directory: Path) -> bool:
        """Whether Kafka feeds this directory."""
        return (directory / KAFKA_NAME).exists()

    def source(self, _offset: int) -> str:
        """Empty: the snapshots name the topics."""
        return ""

    def append(self, _payloads: Sequence[bytes], _event_ids: Sequence[str | None]) -> NoReturn:
        """Refuses.

        Raises:
            StoreError: always.
        """
        raise StoreError(
            f"`{self._directory}` is fed by Kafka",
            code="fed_by_kafka",
            hint="produce the events to the topic: `xfeed kafka produce`",
        )

    def read(self, _offset: int, _batch_len: int) -> Iterator[list[bytes]]:
        """Nothing."""
        return iter(())

    def close(self) -> None:
        """There is nothing to let go of."""


class SnapshotFold(Fold):
    """The state as the newest snapshot has it; `refresh` takes a newer one. For reading only.

    Args:
        log: a `TopicsLog`.
        settings: the arguments of `World`.
        snapshots: where the snapshots are.

    Raises:
        StoreError: when there is no snapshot that can be used.
    """

    def __init__(
        self, log: EventLog, settings: Mapping[str, Any], snapshots: SnapshotStore
    ) -> None:
        self.log = log
        self._settings = settings
        self._snapshots = snapshots
        self._lock = threading.Lock()
        self._tried: Path | None = None
        loaded = self._load()
        if loaded is None:
            why = "; ".join(snapshots.problems) or "none was made yet"
            raise StoreError(
                f"there is no snapshot that can be used: {why}",
                code="no_snapshot",
                hint="`xfeed ingest --from kafka://…` makes one in a while and when it stops",
            )
        self._take(loaded)

    def _load(self) -> Loaded | None:
        newest = next(iter(self._snapshots.list()), None)
        self._tried = None if newest is None else newest.path
        return self._snapshots.newest(self._settings, _why_not)

    def _take(self, loaded: Loaded) -> None:
        self.world = loaded.world
        self._offset = sum(loaded.info.offsets.values())
        self._state = SnapshotState(self._offset, 0, "; ".join(self._snapshots.problems))

    def refresh(self) -> int:
        """Takes a newer snapshot if there is one; returns how many more records it holds."""
        with self._lock:
            before = self._offset
            newest = next(iter(self._snapshots.list()), None)
            if newest is None or newest.path == self._tried:
                return 0
            loaded = self._load()
            # One that cannot be used is no reason to serve nothing.
            if loaded is not None:
                self._take(loaded)
            return max(self._offset - before, 0)

    def commit(self, batch: EventBatch, payloads: Sequence[bytes]) -> Appended:
        """Refuses; see `TopicsLog.append`."""
        return self.log.append(payloads, batch.event_ids())


def _why_not(info: SnapshotInfo) -> str:
    return "" if read_source(info.source) is not None else f"it is of another log, `{info.source}`"
