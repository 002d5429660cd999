"""A world kept in step with its log."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from xfeed import _core
from xfeed.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xfeed.log import Appended, EventLog

BATCH_LEN = 16_384
"""Events per step of a replay; bounds memory."""


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


class Fold:
    """The world, the log it is folded from, and how far it got; safe to use from several threads.

    Args:
        log: where events are.
        world: what they are folded into; empty.
    """

    def __init__(self, log: EventLog, world: _core.World) -> None:
        self.log = log
        self.world = world
        self._lock = threading.Lock()
        self._offset = 0

    @property
    def offset(self) -> int:
        """How many events of the log the world holds."""
        return self._offset

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

    def state_hash(self) -> str:
        """Hash of the whole state."""
        with self._lock:
            return self.world.digest()
