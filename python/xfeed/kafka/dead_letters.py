"""The file of refused records: where each came from, why it was refused, and its bytes."""

from __future__ import annotations

import base64
import os
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from pathlib import Path

    from xfeed._core import EventBatch
    from xfeed.kafka.buffer import Batch
    from xfeed.kafka.health import Health

FILE_NAME = "dead_letters.jsonl"
OLD_NAME = "dead_letters.old.jsonl"


FLOOD_SHARE = 0.5
FLOOD_LEN = 1_000
"""When more than this share of so many records in a row is refused, something is wrong with whoever
produces them."""


class DeadLetters:
    """Appends refused records to a file of bounded size.

    A file that has reached its size takes the place of the one that was put aside before. What is
    lost with that one is still in the topic, under the offset that it was counted by.

    Args:
        directory: where the files lie.
        max_bytes: size at which a file is put aside.
        health: gets told of floods, and of a disk that refuses.
    """

    def __init__(self, directory: Path, max_bytes: int, health: Health) -> None:
        self._path = directory / FILE_NAME
        self._old = directory / OLD_NAME
        self._max_bytes = max_bytes
        self._health = health
        self._n_read = self._n_refused = 0
        self.counts: dict[str, int] = {}

    def take(self, decoded: EventBatch, batch: Batch) -> None:
        """Counts what `decoded` refused, and writes it and forces it to the disk.

        A disk that refuses is no reason to stand still: the topic still has the records.
        """
        rejects = decoded.rejects()
        self._watch(len(batch.payloads), len(rejects))
        if not rejects:
            return
        for _, code, *_ in rejects:
            self.counts[code] = self.counts.get(code, 0) + 1
        try:
            self._append([_letter(reject, batch) for reject in rejects])
            self._health.warn("dead_letters", None)
        except OSError as error:
            self._health.warn("dead_letters", f"refused records could not be written: {error}")

    def _watch(self, n_read: int, n_refused: int) -> None:
        self._n_read += n_read
        self._n_refused += n_refused
        if self._n_read >= FLOOD_LEN:
            flood = self._n_refused > FLOOD_SHARE * self._n_read
            message = f"{self._n_refused} of the last {self._n_read} records were refused"
            self._health.warn("flood_of_refused", message if flood else None)
            self._n_read = self._n_refused = 0

    def _append(self, letters: list[bytes]) -> None:
        size = self._path.stat().st_size if self._path.exists() else 0
        while letters:
            n_fitting = n_bytes = 0
            while n_fitting < len(letters) and (
                size + n_bytes + len(letters[n_fitting]) <= self._max_bytes or size + n_bytes == 0
            ):
                n_bytes += len(letters[n_fitting])
                n_fitting += 1
            if n_fitting:
                with self._path.open("ab") as file:
                    file.write(b"".join(letters[:n_fitting]))
                    file.flush()
                    os.fsync(file.fileno())
            letters = letters[n_fitting:]
            if letters:
                self._path.replace(self._old)
                size = 0


def _letter(reject: tuple[int, str, str, str, str], batch: Batch) -> bytes:
    position, code, field, value, message = reject
    key, offset = batch.origins[position]
    topic, _, partition = key.rpartition("/")
    payload = batch.payloads[position]
    letter: dict[str, Any] = {
        "source": "kafka",
        "topic": topic,
        "partition": int(partition),
        "offset": offset,
        "code": code,
        "field": field,
        "value": value,
        "message": message,
        "hint": "mend the event and produce it again; docs/events.md has the schema",
        "n_bytes": batch.lengths.get(position, len(payload)),
    }
    return msgspec.json.encode(letter | _raw(payload)) + b"\n"


def _raw(payload: bytes) -> dict[str, str]:
    try:
        return {"raw": payload.decode()}
    except UnicodeDecodeError:
        return {"raw_base64": base64.b64encode(payload).decode()}
