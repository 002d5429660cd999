"""The way in: check, append, acknowledge, fold. What is refused goes to the dead-letter file."""

from __future__ import annotations

import base64
import itertools
import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from xfeed import _core
from xfeed.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from xfeed._core import EventBatch
    from xfeed.adapters import RawLine
    from xfeed.replay import Fold

FILE_NAME = "dead_letters.jsonl"


@dataclass(slots=True)
class IngestReport:
    """What an ingest did.

    Attributes:
        read: events read.
        accepted: events that are now in the log.
        duplicates: events left out because their `event_id` was in the log.
        by_type: accepted events by type.
        rejected: refused events by reason.
        end_offset: offset after the last event of the log.
        seconds: how long it took.
        dead_letters: the file that holds the refused events; None when there are none.
    """

    read: int = 0
    accepted: int = 0
    duplicates: int = 0
    by_type: dict[str, int] = field(default_factory=dict)
    rejected: dict[str, int] = field(default_factory=dict)
    end_offset: int = 0
    seconds: float = 0.0
    dead_letters: str | None = None

    @property
    def n_rejected(self) -> int:
        """Refused events."""
        return sum(self.rejected.values())

    @property
    def events_per_sec(self) -> float:
        """Events read per second."""
        return self.read / self.seconds if self.seconds else 0.0

    def to_dict(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        values["by_type"] = dict(sorted(self.by_type.items()))
        values["rejected"] = dict(sorted(self.rejected.items()))
        return values


def ingest(
    lines: Iterable[RawLine],
    *,
    fold: Fold,
    directory: Path,
    batch_len: int,
    now_ms: int,
    on_ack: Callable[[IngestReport], None] | None = None,
) -> IngestReport:
    """Appends every valid line to the log and folds it into the world, batch by batch.

    A batch is acknowledged (`on_ack` is called) once it is durable. Refused lines are written to
    the dead-letter file before the batch that they came with is acknowledged.

    Args:
        lines: what to read.
        fold: the log and the world that take them.
        directory: where the dead-letter file lies.
        batch_len: lines per batch.
        now_ms: the clock that limits `at_ms`, unix milliseconds.
        on_ack: gets the report so far after each batch.

    Raises:
        StoreError: when the log cannot be written. Everything acknowledged stays.
    """
    if not fold.log.writable:
        raise StoreError(
            "the feed is open for reading only",
            code="read_only",
            hint='open the feed with mode="write"',
        )
    report = IngestReport(end_offset=fold.log.end_offset)
    start = time.perf_counter()
    for batch in _batched(lines, batch_len):
        payloads = [line.payload for line in batch]
        decoded = _core.decode_events(payloads, now_ms)
        _bury(decoded, batch, directory, report)
        accepted = [payloads[position] for position in decoded.positions()]
        appended = fold.commit(decoded, accepted)
        for event_type, fresh in zip(decoded.types(), appended.is_new, strict=True):
            report.by_type[event_type] = report.by_type.get(event_type, 0) + fresh
        report.read += len(batch)
        report.accepted += sum(appended.is_new)
        report.duplicates += len(appended.is_new) - sum(appended.is_new)
        report.end_offset = appended.end_offset
        report.seconds = time.perf_counter() - start
        if on_ack is not None:
            on_ack(report)
    return report


def _bury(
    decoded: EventBatch, batch: tuple[RawLine, ...], directory: Path, report: IngestReport
) -> None:
    rejects = decoded.rejects()
    if not rejects:
        return
    path = directory / FILE_NAME
    report.dead_letters = str(path)
    letters = []
    for position, code, field_name, value, message in rejects:
        report.rejected[code] = report.rejected.get(code, 0) + 1
        line = batch[position]
        letters.append(
            msgspec.json.encode(
                {
                    "source": line.source,
                    "line": line.line,
                    "code": code,
                    "field": field_name,
                    "value": value,
                    "message": message,
                    "hint": "mend the line and ingest it again; docs/events.md has the schema",
                    **_raw(line.payload),
                }
            )
        )
    try:
        with path.open("ab") as file:
            file.write(b"".join(letter + b"\n" for letter in letters))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise StoreError(
            f"{len(letters)} refused events could not be written to `{path}`: {error}",
            code="io_failed",
            hint="free disk space or mend the disk, then ingest the same events again",
        ) from error


def _raw(payload: bytes) -> dict[str, str]:
    """The refused bytes, exactly: as text where they are text."""
    try:
        return {"raw": payload.decode()}
    except UnicodeDecodeError:
        return {"raw_base64": base64.b64encode(payload).decode()}


def _batched(lines: Iterable[RawLine], batch_len: int) -> Iterable[tuple[RawLine, ...]]:
    iterator = iter(lines)
    while batch := tuple(itertools.islice(iterator, batch_len)):
        yield batch
