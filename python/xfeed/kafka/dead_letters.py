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

FILE_NAME = "dead_letters.jsonl"
OLD_NAME = "dead_letters.old.jsonl"


class DeadLetters:
    """Appends refused records to a file of bounded size.

    A file that has reached its size takes the place of the one that was put aside before. What is
    lost with that one is still in the topic, under the offset that it was counted by.

    Args:
        directory: where the files lie.
        max_bytes: size at which a file is put aside.
    """

    def __init__(self, directory: Path, max_bytes: int) -> None:
        self._path = directory / FILE_NAME
        self._old = directory / OLD_NAME
        self._max_bytes = max_bytes

    def bury(self, decoded: EventBatch, batch: Batch) -> dict[str, int]:
        """Writes what `decoded` refused and forces it to the disk; returns how many by code.

        Raises:
            OSError: when the disk refuses.
        """
        counts: dict[str, int] = {}
        letters = []
        for position, code, field, value, message in decoded.rejects():
            counts[code] = counts.get(code, 0) + 1
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
            letters.append(msgspec.json.encode(letter | _raw(payload)) + b"\n")
        self._append(letters)
        return counts

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


def _raw(payload: bytes) -> dict[str, str]:
    try:
        return {"raw": payload.decode()}
    except UnicodeDecodeError:
        return {"raw_base64": base64.b64encode(payload).decode()}
