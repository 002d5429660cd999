"""A world kept in step with its log."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any, NamedTuple

from xfeed import _core
from xfeed.errors import StoreError
from xfeed.ids import to_u64

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from xfeed.config import FeedConfig
    from xfeed.log import Appended, EventLog
    from xfeed.snapshots import SnapshotInfo, SnapshotStore

logger = logging.getLogger(__name__)

LOG = "log"
"""Name of the whole embedded log among the offsets of a snapshot."""

BATCH_LEN = 16_384
"""Events per step of a replay; bounds memory."""


def world_settings(config: FeedConfig) -> dict[str, Any]:
    """The arguments of `World` that follow from the settings."""
    thunder = config.thunder
    return {
        "retention_ms": thunder.retention_secs * 1_000,
        "max_history_len": config.world.max_history_len,
        "max_posts_per_timeline": thunder.max_posts_per_timeline,
        "max_bytes": thunder.max_bytes or None,
        "hidden_authors": [to_u64(author) for author in thunder.hidden_authors],
    }


def replay(log: EventLog, world: _core.World, start: int, end: int | None = None) -> int:
    """Folds the events from `start` up to `end` (all when None) into `world`.

    Returns:
        The offset after the last folded event.

    Raises:
        StoreError: when an event in the log is no longer valid: the file was damaged.
    """
    offset = start
    for payloads in log.read(start, BATCH_LEN):
        wanted = payloads if end is None else payloads[: max(end - offset, 0)]
        batch = _core.decode_events(wanted)
        for position, _, _, _, message in batch.rejects():
            raise StoreError(
                f"the event at offset {offset + position} of the log is damaged: {message}",
                code="damaged_log",
                hint="restore the log from a copy",
            )
        world.apply(batch)
        offset += len(wanted)
        if len(wanted) < len(payloads):
            break
    return offset


class SnapshotState(NamedTuple):
    """How it stands with the snapshots.

    Attributes:
        offset: where in the log the newest good one stands; 0 when there is none.
        n_failed: how many could not be made since this feed was opened.
        problem: why the last one could not be made, or why newer ones were passed over when this
            feed was opened; empty when all is well.
    """

    offset: int
    n_failed: int
    problem: str


class Fold:
    """The world, the log it is folded from, and how far it got; safe to use from several threads.

    Opening takes the newest snapshot that fits the log and the settings, if there is one; `refresh`
    folds the rest.

    Args:
        log: where events are.
        settings: the arguments of `World`.
        snapshots: where snapshots are.
    """

    def __init__(
        self, log: EventLog, settings: Mapping[str, Any], snapshots: SnapshotStore
    ) -> None:
        self.log = log
        self._snapshots = snapshots
        self._lock = threading.Lock()
        self._snapshot_lock = threading.Lock()
        loaded = snapshots.newest(settings, self._why_not)
        if loaded is None:
            self.world, self._offset = _core.World(**settings), 0
        else:
            self.world, self._offset = loaded.world, loaded.info.offsets[LOG]
        self._tried_offset = self._offset
        self._state = SnapshotState(self._offset, 0, "; ".join(snapshots.problems))

    def _why_not(self, info: SnapshotInfo) -> str:
        """Why a snapshot cannot stand for the beginning of the log; empty when it can."""
        offset = info.offsets.get(LOG)
        if offset is None or list(info.offsets) != [LOG]:
            return "it is of a log of another kind"
        end = self.log.end_offset
        if offset > end:
            return f"it holds {offset} events, the log has {end}"
        if info.source != self.log.source(offset):
            return "it is of another log"
        return ""

    @property
    def offset(self) -> int:
        """How many events of the log the world holds."""
        return self._offset

    @property
    def snapshot_state(self) -> SnapshotState:
        """How it stands with the snapshots."""
        return self._state

    def refresh(self) -> int:
        """Folds what the log got since the last time; returns how many events that were."""
        with self._lock:
            return self._catch_up()

    def _catch_up(self) -> int:
        start = self._offset
        if self.log.end_offset != start:
            self._offset = replay(self.log, self.world, start)
        return self._offset - start

    def commit(self, batch: _core.EventBatch, payloads: Sequence[bytes]) -> Appended:
        """Appends a checked batch and folds it in.

        Whatever happens between the two, a restart or the next call folds it from the log.

        Raises:
            StoreError: when the log refuses; nothing has changed then.
        """
        with self._lock:
            self._catch_up()
            appended = self.log.append(payloads, batch.event_ids())
            self.world.apply(batch, appended.is_new)
            self._offset = appended.end_offset
            return appended

    def snapshot(self) -> SnapshotInfo:
        """Makes a snapshot of everything that is folded; events wait only for the first part.

        Raises:
            StoreError: when it cannot be made; those that were there stay.
        """
        with self._snapshot_lock:
            return self._snapshot()

    def snapshot_after(self, n_events: int) -> None:
        """Makes a snapshot when so many events came since the last; a failure is only noted."""
        is_due = self._offset - self._tried_offset >= n_events
        if not is_due or not self._snapshot_lock.acquire(blocking=False):
            return
        try:
            self._snapshot()
        except StoreError as error:
            logger.warning("%s", error)
        finally:
            self._snapshot_lock.release()

    def _snapshot(self) -> SnapshotInfo:
        self._lock.acquire()
        try:
            self._catch_up()
            offset = self._tried_offset = self._offset
            source = self.log.source(offset)
        except BaseException:
            self._lock.release()
            raise
        try:
            info = self._snapshots.create(
                self.world, {LOG: offset}, source, captured=self._lock.release
            )
        except StoreError as error:
            self._state = self._state._replace(
                n_failed=self._state.n_failed + 1, problem=str(error)
            )
            raise
        self._state = self._state._replace(offset=offset, problem="")
        return info

    def state_hash(self) -> str:
        """Hash of the whole state."""
        with self._lock:
            return self.world.digest()
