"""How two sides are timed: in turns, many times, and the medians are compared."""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Final, TypeVar

QUICK: Final = os.environ.get("QUICK", "0") not in {"", "0"}
"""A small run that shows that everything works; its figures mean nothing."""

REPETITIONS: Final = 5 if QUICK else 101
WARM_UP: Final = 3
REST_SECS: Final = 0.01 if QUICK else 0.3

ENOUGH_FOR_P99: Final = 100
"""Below so many times the 99th percentile is the slowest one, and is not told."""

Side = Callable[[int], object]
"""One unit of work; it gets the number of the repetition."""

Viewer = TypeVar("Viewer")


@dataclass(frozen=True)
class Times:
    """Median of many times, and the 99th percentile where there are enough of them."""

    p50: float
    p99: float | None = None


@dataclass(frozen=True)
class Row:
    """One line of the result.

    Attributes:
        bench: name of the bench.
        workload: what was done.
        ours: times of xfeed.
        peer: times of the other side.
        unit: unit of both.
        note: who the other side is, and what to know about the comparison.
    """

    bench: str
    workload: str
    ours: Times
    peer: Times
    unit: str
    note: str

    @property
    def ratio(self) -> float:
        """How many times as long the other side takes; below 1 we lose."""
        return self.peer.p50 / self.ours.p50


@dataclass(frozen=True)
class Figure:
    """A figure that stands alone, because there is nobody to compare with.

    Attributes:
        name: what was measured.
        value: how much.
        unit: unit of the value.
        note: what to know about it.
    """

    name: str
    value: float
    unit: str
    note: str = ""


@dataclass(frozen=True)
class Target:
    """What a figure has to be.

    Attributes:
        name: what is measured.
        found: the figure.
        wanted: its limit.
        at_most: whether it may be at most, not at least, so much.
    """

    name: str
    found: float
    wanted: float
    at_most: bool = False

    @property
    def is_met(self) -> bool:
        return self.found <= self.wanted if self.at_most else self.found >= self.wanted


@dataclass(frozen=True)
class Findings:
    """What a bench found; `raw` is everything it measured, for the file of results."""

    rows: list[Row]
    targets: list[Target] = field(default_factory=list)
    raw: dict[str, Any] = field(default_factory=dict)
    figures: list[Figure] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    """Peers that were left out, each with the reason."""


def micros(ours: Side, peer: Side, *, per: int = 1) -> tuple[Times, Times]:
    """Median microseconds of both sides, divided by `per`.

    The sides run in turns, and who goes first changes every time: neither gets the caches that
    only the other one warmed.
    """
    took: tuple[list[float], list[float]] = ([], [])
    for repetition in range(-WARM_UP, REPETITIONS):
        sides = [(0, ours), (1, peer)]
        for which, side in sides if repetition % 2 else sides[::-1]:
            start = time.perf_counter_ns()
            side(repetition)
            elapsed = time.perf_counter_ns() - start
            if repetition >= 0:
                took[which].append(elapsed / 1000 / per)
    return Times(median(took[0])), Times(median(took[1]))


def turns(
    sides: Mapping[str, Callable[[], object]], *, rounds: int, turn_ms: float = 40
) -> dict[str, Times]:
    """Milliseconds of single calls of many sides that differ much in what they take.

    The sides run in turns, and who goes first changes every round. A turn is one call of a slow
    side, or as many calls of a fast one as fill `turn_ms`. The first call of a turn does not
    count where others follow: it finds the caches as the side before left them. Between turns
    nothing runs for `REST_SECS`: threads of libraries spin for a while after their work, and would
    take the core that the next side needs.
    """
    took: dict[str, list[float]] = {name: [] for name in sides}
    n_calls: dict[str, int] = {}
    for name, side in sides.items():
        side()
        n_calls[name] = max(1, min(8, round(turn_ms / _millis(side))))
    order = list(sides)
    for n_round in range(rounds):
        first = n_round % len(order)
        for name in order[first:] + order[:first]:
            time.sleep(REST_SECS)
            found = [_millis(sides[name]) for _ in range(n_calls[name] + (n_calls[name] > 1))]
            took[name] += found[1:] if len(found) > 1 else found
    return {name: Times(median(found), _p99(sorted(found))) for name, found in took.items()}


def _millis(side: Callable[[], object]) -> float:
    start = time.perf_counter_ns()
    side()
    return (time.perf_counter_ns() - start) / 1e6


def _p99(took: Sequence[float]) -> float | None:
    """The 99th percentile of sorted times, where there are enough of them."""
    return took[(len(took) - 1) * 99 // 100] if len(took) >= ENOUGH_FOR_P99 else None


def reads(side: Callable[[Viewer], object], viewers: Sequence[Viewer], *, rounds: int) -> Times:
    """Microseconds of single reads: every viewer in turn, after one round that does not count."""
    took: list[float] = []
    for n_round in range(rounds + 1):
        for viewer in viewers:
            start = time.perf_counter_ns()
            side(viewer)
            elapsed = time.perf_counter_ns() - start
            if n_round:
                took.append(elapsed / 1000)
    took.sort()
    return Times(median(took), _p99(took))
