"""How far each partition was applied. Readiness is computed from this and from nothing else."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(slots=True)
class _Part:
    applied: int
    target: int
    end: int


class Progress:
    """Offsets of all partitions; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._parts: dict[str, _Part] | None = None

    def begin(
        self, starts: Mapping[str, int], targets: Mapping[str, int], ends: Mapping[str, int]
    ) -> None:
        """Sets the partitions: where each starts, what makes it ready, where it ends."""
        with self._lock:
            self._parts = {
                key: _Part(start, targets[key], max(ends[key], start))
                for key, start in starts.items()
            }

    def reset(self) -> None:
        """Forgets all partitions: until the next `begin`, nothing counts as caught up."""
        with self._lock:
            self._parts = None

    def add(self, starts: Mapping[str, int]) -> None:
        """Adds partitions that appeared later; readiness does not wait for them."""
        with self._lock:
            parts = self._parts if self._parts is not None else {}
            parts.update({key: _Part(start, start, start) for key, start in starts.items()})
            self._parts = parts

    def advance(self, offsets: Mapping[str, int]) -> None:
        """Notes what was applied: by partition, the offset after the last event."""
        with self._lock:
            parts = self._parts or {}
            for key, offset in offsets.items():
                part = parts[key]
                part.applied = max(part.applied, offset)
                part.end = max(part.end, offset)

    def ends(self, ends: Mapping[str, int]) -> None:
        """Notes the ends that the brokers told last."""
        with self._lock:
            parts = self._parts or {}
            for key, end in ends.items():
                parts[key].end = max(parts[key].end, end)

    def offsets(self) -> dict[str, int]:
        """By partition, the offset after the last applied event."""
        with self._lock:
            return {key: part.applied for key, part in (self._parts or {}).items()}

    def is_caught_up(self) -> bool:
        """Whether every partition was applied up to the end that it had at the start."""
        with self._lock:
            return self._parts is not None and all(
                part.applied >= part.target for part in self._parts.values()
            )

    def to_dict(self) -> dict[str, dict[str, int]]:
        """By partition: `applied`, `target`, `end` and `lag` (events not yet applied)."""
        with self._lock:
            return {
                key: {
                    "applied": part.applied,
                    "target": part.target,
                    "end": part.end,
                    "lag": part.end - part.applied,
                }
                for key, part in sorted((self._parts or {}).items())
            }
