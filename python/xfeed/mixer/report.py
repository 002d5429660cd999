"""Counts and times of one run, stage by stage."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(slots=True)
class StageReport:
    """What one stage did.

    Attributes:
        kind: kind of stage, such as ``filter``.
        name: its name.
        n_in: candidates before it.
        n_out: candidates after it.
        removed: of those it removed, how many for which reason.
        millis: how long it took. Times differ from run to run and are never part of an answer.
        error: what went wrong, empty when nothing did.
    """

    kind: str
    name: str
    n_in: int = 0
    n_out: int = 0
    removed: dict[str, int] = field(default_factory=dict)
    millis: float = 0.0
    error: str = ""

    def counts(self) -> dict[str, Any]:
        """Everything but the time."""
        counts: dict[str, Any] = {
            "kind": self.kind,
            "name": self.name,
            "in": self.n_in,
            "out": self.n_out,
            "removed": dict(sorted(self.removed.items())),
        }
        if self.error:
            counts["error"] = self.error
        return counts


@dataclass(slots=True)
class Report:
    """What all stages did, in order."""

    stages: list[StageReport] = field(default_factory=list)

    @property
    def degraded(self) -> list[str]:
        """Stages that failed, as ``kind:name: what went wrong``."""
        return [f"{s.kind}:{s.name}: {s.error}" for s in self.stages if s.error]

    @contextmanager
    def stage(self, kind: str, name: str, n_in: int = 0) -> Iterator[StageReport]:
        """Times a stage that must not fail."""
        report = StageReport(kind, name, n_in, n_in)
        self.stages.append(report)
        start = time.perf_counter()
        try:
            yield report
        finally:
            report.millis = (time.perf_counter() - start) * 1_000

    @contextmanager
    def soft_stage(self, kind: str, name: str, n_in: int = 0) -> Iterator[StageReport]:
        """Times a stage whose failure is named in the answer and stops nothing else."""
        with self.stage(kind, name, n_in) as report:
            try:
                yield report
            except Exception as error:  # noqa: BLE001 - whatever a stage raises, the page is served
                report.error = f"{type(error).__name__}: {error}"
