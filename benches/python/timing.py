"""How two sides are timed: in turns, many times, and the medians are compared."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Final

REPETITIONS: Final = 101
WARM_UP: Final = 3

Side = Callable[[int], object]
"""One unit of work; it gets the number of the repetition."""


@dataclass(frozen=True)
class Row:
    """One line of the result.

    Attributes:
        bench: name of the bench.
        workload: what was done.
        ours: median of xfeed.
        peer: median of the other side.
        unit: unit of both.
        note: who the other side is, and what to know about the comparison.
    """

    bench: str
    workload: str
    ours: float
    peer: float
    unit: str
    note: str

    @property
    def ratio(self) -> float:
        """How many times as long the other side takes; below 1 we lose."""
        return self.peer / self.ours


def micros(ours: Side, peer: Side, *, per: int = 1) -> tuple[float, float]:
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
    return median(took[0]), median(took[1])
