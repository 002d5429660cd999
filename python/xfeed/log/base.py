"""What a log is. The embedded one is SQLite; at scale it is Kafka."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol


class Appended(NamedTuple):
    """What an append did.

    Attributes:
        end_offset: offset after the last event of the log; everything before it is durable.
        is_new: per event, whether it was written; False where its `event_id` was there already.
    """

    end_offset: int
    is_new: list[bool]


class EventLog(Protocol):
    """An append-only list of events. Offsets count from 0 without gaps."""

    @property
    def end_offset(self) -> int:
        """Offset after the last durable event."""

    @property
    def writable(self) -> bool:
        """Whether this process may append."""

    def source(self, offset: int) -> str:
        """Names the log up to `offset`: two logs with the same name hold the same events so far.

        Empty when the log does not reach that far.
        """

    def append(self, payloads: Sequence[bytes], event_ids: Sequence[str | None]) -> Appended:
        """Writes events in one batch; returns when they are durable.

        An event whose `event_id` is in the log already is left out.

        Raises:
            StoreError: when the log is open for reading only, or the disk refuses.
        """

    def read(self, offset: int, batch_len: int) -> Iterator[list[bytes]]:
        """Yields the events from `offset` to the present end, at most `batch_len` at a time."""

    def close(self) -> None:
        """Lets go of the files. The log cannot be used afterwards."""
