"""What a run of cases came to."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class AreaReport:
    """Counts of one area.

    Attributes:
        passed: cases that hold.
        failures: cases that do not: `{"case", "expected", "got"}`.
        unknowns: cases that were not decided: `(case, why)`.
    """

    passed: int = 0
    failures: list[dict[str, Any]] = field(default_factory=list)
    unknowns: list[tuple[str, str]] = field(default_factory=list)

    @property
    def failed(self) -> int:
        """Number of cases that do not hold."""
        return len(self.failures)

    @property
    def unknown(self) -> int:
        """Number of cases that were not decided."""
        return len(self.unknowns)


@dataclass(slots=True)
class ConformanceReport:
    """The outcome of all cases, by area.

    Attributes:
        areas: area to its counts.
    """

    areas: dict[str, AreaReport] = field(default_factory=dict)

    @property
    def passed(self) -> int:
        """Number of cases that hold."""
        return sum(area.passed for area in self.areas.values())

    @property
    def failed(self) -> int:
        """Number of cases that do not hold."""
        return sum(area.failed for area in self.areas.values())

    @property
    def unknown(self) -> int:
        """Number of cases that were not decided."""
        return sum(area.unknown for area in self.areas.values())

    def add_pass(self, area: str) -> None:
        """Counts a case that holds."""
        self._area(area).passed += 1

    def add_failure(self, area: str, case: str, expected: object, got: object) -> None:
        """Counts a case that does not hold."""
        self._area(area).failures.append({"case": case, "expected": expected, "got": got})

    def add_unknown(self, area: str, case: str, why: str) -> None:
        """Counts a case that was not decided."""
        self._area(area).unknowns.append((case, why))

    def to_dict(self) -> dict[str, Any]:
        """Returns the report as JSON values, areas sorted.

        Returns:
            `{"areas": {area: {"passed", "failed", "unknown", "failures"}}}`.
        """
        return {
            "areas": {
                name: {
                    "passed": area.passed,
                    "failed": area.failed,
                    "unknown": area.unknown,
                    "failures": area.failures,
                }
                for name, area in sorted(self.areas.items())
            }
        }

    def to_text(self) -> str:
        """Returns the report for people: one line per area, then what failed or is unknown."""
        width = max((len(name) for name in self.areas), default=0)
        lines = [f"{'area':{width}}  passed  failed unknown"]
        for name, area in sorted(self.areas.items()):
            lines.append(f"{name:{width}} {area.passed:7} {area.failed:7} {area.unknown:7}")
        for name, area in sorted(self.areas.items()):
            for failure in area.failures:
                lines.append(f"FAILED  {name} {failure['case']}")
                lines.append(f"        expected {failure['expected']}")
                lines.append(f"        got      {failure['got']}")
        for name, area in sorted(self.areas.items()):
            lines += [f"unknown {name} {case}: {why}" for case, why in area.unknowns]
        return "\n".join(lines)

    def _area(self, name: str) -> AreaReport:
        return self.areas.setdefault(name, AreaReport())
