"""From the log back to a world."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xfeed import _core
from xfeed.errors import StoreError

if TYPE_CHECKING:
    from xfeed.log import EventLog

BATCH_LEN = 16_384
"""Events per step; bounds memory."""


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
