"""Serving whole requests: concurrent viewers, the first request of a process, retrieval.

The models have the sizes of the release of May 2026 with tables of a million rows and drawn
weights. A request goes from ids to predictions: rows are hashed and gathered, tokens made, the
viewer encoded (unless kept), candidates scored.
"""

import itertools
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from xfeed.phoenix.options import RuntimeOptions
from xfeed.phoenix.runtime import Phoenix

from benches.python.phoenix_dense import DenseRanker, arguments
from benches.python.phoenix_retrieval import retrieval_rows
from benches.python.phoenix_serving import (
    Served,
    Viewer,
    gathered,
    make_viewer,
    serve_mini,
)
from benches.python.phoenix_start import first_rankings
from benches.python.phoenix_training import training_figures
from benches.python.timing import QUICK, Figure, Findings, Row, Target, Times, turns

BENCH: Final = "phoenix_serving"
N_VIEWERS: Final = 8
N_CANDIDATES: Final = 100 if QUICK else 1_500
ROUNDS: Final = 2 if QUICK else 20
PEER_ROUNDS: Final = 1 if QUICK else 4
MEMORY_ROUNDS: Final = 4 if QUICK else 200
TOLERANCE: Final = 1e-4
"""Of probabilities."""

COLD: Final = RuntimeOptions(context_cache_bytes=0, score_cache_entries=0)
WARM: Final = replace(COLD, context_cache_bytes=2**28)


@dataclass(frozen=True)
class Load:
    """What concurrent viewers saw."""

    per_s: float
    times: Times

    @classmethod
    def of(cls, rank: Callable[[int], object], n_rounds: int, n_workers: int) -> "Load":
        """Lets each of the viewers ask `n_rounds` times.

        Args:
            rank: ranks for viewer i.
            n_rounds: requests of each viewer.
            n_workers: how many ask at the same time.
        """
        took: list[float] = []
        waiting = [viewer for _ in range(n_rounds) for viewer in range(N_VIEWERS)]
        lock = threading.Lock()

        def ask() -> None:
            with torch.inference_mode():
                while True:
                    with lock:
                        if not waiting:
                            return
                        viewer = waiting.pop()
                    start = time.perf_counter()
                    rank(viewer)
                    elapsed = time.perf_counter() - start
                    with lock:
                        took.append(elapsed * 1_000)

        workers = [threading.Thread(target=ask) for _ in range(n_workers)]
        start = time.perf_counter()
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        elapsed = time.perf_counter() - start
        took.sort()
        p99 = took[(len(took) - 1) * 99 // 100] if len(took) >= 100 else None
        return cls(len(took) * N_CANDIDATES / elapsed, Times(median(took), p99))


def run() -> Findings:
    served = serve_mini()
    viewers = [make_viewer(served.ranker.config, N_CANDIDATES, n) for n in range(N_VIEWERS)]
    rows = one_viewer(served, viewers)
    more, figures, targets = concurrent_viewers(served, viewers)
    rows += more + retrieval_rows(BENCH, served)
    start_figures, start_targets = first_rankings()
    figures += [*start_figures, *training_figures()]
    # The targets are about full sizes; a small run says nothing about them.
    return Findings(rows, [] if QUICK else [*targets, *start_targets], figures=figures)


def one_viewer(served: Served, viewers: list[Viewer]) -> list[Row]:
    """One request at a time, from ids to predictions: new, encoded before, scored before."""
    dense = DenseRanker(served.ranker, "in place")
    dense.prepare(N_CANDIDATES)
    rows: list[Row] = []
    for n_threads in (1, 2):
        phoenixes = {
            name: Phoenix(served.bundle, replace(options, threads=n_threads))
            for name, options in (("cold", COLD), ("warm", WARM), ("kept", RuntimeOptions()))
        }

        for phoenix in phoenixes.values():
            for viewer in viewers:
                phoenix.predict(*viewer.request)

        def predict(phoenix: Phoenix, ring: Iterator[Viewer]) -> Callable[[], object]:
            def call() -> object:
                torch.set_num_threads(1)
                return phoenix.predict(*next(ring).request)

            return call

        def from_ids(ring: Iterator[Viewer], n_threads: int = n_threads) -> Callable[[], object]:
            def call() -> object:
                torch.set_num_threads(n_threads)
                with torch.inference_mode():
                    return dense(*arguments(gathered(served, next(ring))))

            return call

        sides = {
            name: predict(phoenix, itertools.cycle(viewers)) for name, phoenix in phoenixes.items()
        }
        sides["dense"] = from_ids(itertools.cycle(viewers))
        with torch_threads(1):
            times = turns(sides, rounds=ROUNDS)
        what = f"one viewer, {N_CANDIDATES:,} candidates, {n_threads} thread{'s' * (n_threads > 1)}"
        rows += [
            Row(
                BENCH, what, times["cold"], times["dense"], "ms", "dense form, rows from our gather"
            ),
            Row(BENCH, f"{what}, encoded before", times["warm"], times["cold"], "ms", "ours, new"),
            Row(BENCH, f"{what}, scored before", times["kept"], times["cold"], "ms", "ours, new"),
        ]
    return rows


def concurrent_viewers(
    served: Served, viewers: list[Viewer]
) -> tuple[list[Row], list[Figure], list[Target]]:
    """Eight viewers who ask at the same time, beside the dense form; memory afterwards."""
    phoenix, warm = Phoenix(served.bundle, COLD), Phoenix(served.bundle, WARM)
    dense = DenseRanker(served.ranker, "in place")
    dense.prepare(N_CANDIDATES)
    given = [arguments(gathered(served, viewer)) for viewer in viewers]
    for viewer, ready in zip(viewers, given, strict=True):
        check_equal(phoenix.predict(*viewer.request), dense(*ready)[0])

    def cold_side(viewer: int) -> object:
        return phoenix.predict(*viewers[viewer].request)

    def warm_side(viewer: int) -> object:
        return warm.predict(*viewers[viewer].request)

    def dense_side(viewer: int) -> object:
        return dense(*given[viewer])

    with torch_threads(1):
        for side in (cold_side, warm_side):
            Load.of(side, 1, N_VIEWERS)
        ours, kept = (Load.of(side, ROUNDS, N_VIEWERS) for side in (cold_side, warm_side))
        peers = {
            f"dense form, {N_VIEWERS} at once": Load.of(dense_side, PEER_ROUNDS, N_VIEWERS),
            "dense form, two at once": Load.of(dense_side, PEER_ROUNDS, 2),
        }
    with torch_threads(2):
        one = "dense form, one after another with two threads"
        peers[one] = Load.of(dense_side, PEER_ROUNDS, 1)
    what = f"{N_VIEWERS} viewers at once, {N_CANDIDATES:,} candidates each"
    note = "; embeddings already gathered, ours gathers"
    rows = [
        # the peer's time over ours is the ratio, so rates go in as times
        Row(
            BENCH, f"{what}, per candidate", per_candidate(ours), per_candidate(peer), "µs",
            name + note,
        )
        for name, peer in peers.items()
    ]  # fmt: skip
    rows.append(
        Row(
            BENCH, f"{what}, viewers already encoded", per_candidate(kept), per_candidate(ours),
            "µs", "ours, cold",
        )
    )  # fmt: skip
    best = max(peer.per_s for peer in peers.values())
    grown = growth(cold_side)
    figures = [
        Figure(f"{what}, cold", ours.per_s, "candidates/s"),
        Figure(f"{what}, already encoded", kept.per_s, "candidates/s"),
        Figure(f"{what}, dense form at best", best, "candidates/s"),
        Figure(f"{what}, cold, p50", ours.times.p50, "ms"),
        *([Figure(f"{what}, cold, p99", ours.times.p99, "ms")] if ours.times.p99 else []),
        Figure(
            f"memory after {MEMORY_ROUNDS} rounds", grown, "MiB", "more than after the first 10"
        ),
    ]
    targets = [
        Target(f"{what}: times the dense form at its best", ours.per_s / best, 15),
        Target(f"MiB more after {MEMORY_ROUNDS} rounds", grown, 32, at_most=True),
    ]
    return rows, figures, targets


def check_equal(predicted: npt.NDArray[np.float32], logits: torch.Tensor) -> None:
    wanted = logits[0].sigmoid().numpy()
    worst = np.abs(predicted[:, : wanted.shape[1]] - wanted).max()
    assert worst < TOLERANCE, f"probabilities differ by {worst} from the dense form"


def per_candidate(load: Load) -> Times:
    return Times(1e6 / load.per_s)


def growth(side: Callable[[int], object]) -> float:
    """MiB that this process has more after many rounds than after a few."""
    Load.of(side, min(10, MEMORY_ROUNDS), N_VIEWERS)
    before = resident_mib()
    Load.of(side, MEMORY_ROUNDS, N_VIEWERS)
    return resident_mib() - before


def resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


@contextmanager
def torch_threads(n_threads: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
