"""What was read and waits to be applied, with its size."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field

MAX_PAYLOAD_LEN = 64 * 1024
"""Longest event that the decoder takes. Of a longer record only so much is kept, and one byte more,
so that the decoder refuses it."""


@dataclass(slots=True)
class Batch:
    """Records in the order in which they were read.

    Attributes:
        payloads: what they hold, cut just above `MAX_PAYLOAD_LEN`.
        origins: partition (see `part_key`) and offset of each.
        clocks: per record, the latest moment that an event in it may be sure of, unix milliseconds.
        lengths: whole length of the records that were cut, by position.
        offsets: by partition, where it stands once this batch is applied.
        n_bytes: size in memory, roughly.
    """

    payloads: list[bytes] = field(default_factory=list)
    origins: list[tuple[str, int]] = field(default_factory=list)
    clocks: list[int] = field(default_factory=list)
    lengths: dict[int, int] = field(default_factory=dict)
    offsets: dict[str, int] = field(default_factory=dict)
    n_bytes: int = 0

    def add(self, payload: bytes, origin: tuple[str, int], clock_ms: int) -> None:
        """Appends one record."""
        if len(payload) > MAX_PAYLOAD_LEN:
            self.lengths[len(self.payloads)] = len(payload)
            payload = payload[: MAX_PAYLOAD_LEN + 1]
        self.payloads.append(payload)
        self.origins.append(origin)
        self.clocks.append(clock_ms)
        # Every record costs a few objects beside its bytes.
        self.n_bytes += len(payload) + 256


class Buffer:
    """Batches between the thread that reads and the one that applies."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._batches: deque[Batch] = deque()
        self._n_bytes = 0
        self._in_hand = False

    @property
    def n_bytes(self) -> int:
        """Size of what waits."""
        return self._n_bytes

    def put(self, batch: Batch) -> None:
        """Appends a batch; never waits."""
        with self._changed:
            self._batches.append(batch)
            self._n_bytes += batch.n_bytes
            self._changed.notify_all()

    def take(self, timeout_secs: float) -> Batch | None:
        """The oldest batch, which counts as waiting until `done`; None when there is none."""
        with self._changed:
            if not self._batches:
                self._changed.wait(timeout_secs)
            if not self._batches:
                return None
            self._in_hand = True
            return self._batches.popleft()

    def done(self, batch: Batch) -> None:
        """Says that the batch that was taken is applied."""
        with self._changed:
            self._n_bytes -= batch.n_bytes
            self._in_hand = False
            self._changed.notify_all()

    def wait_empty(self, timeout_secs: float) -> bool:
        """Waits until everything is applied; returns whether it is."""
        with self._changed:
            return self._changed.wait_for(
                lambda: not self._batches and not self._in_hand, timeout_secs
            )
