"""Hash embeddings: from ids to rows of the table, side by side."""

from typing import Final

import numpy as np
import numpy.typing as npt
from xfeed import _core

from benches.python.timing import REPETITIONS, WARM_UP, Findings, Row, Side, micros
from benches.python.workload import Ids, draws, id_batches

SEED: Final = 20_260_821
N_ROWS: Final = 1_000_000
WIDTH: Final = 64
N_CANDIDATES: Final = 1_500
N_FUNCTIONS: Final = 2
MODULUS: Final = 2**61 - 1

N_BATCHES: Final = 2 * (REPETITIONS + WARM_UP)
"""Twice as many as repetitions: no side ever meets rows that the other one just read."""

HALF: Final = REPETITIONS + WARM_UP

Rows = npt.NDArray[np.uint32]
Floats = npt.NDArray[np.float32]


def hashed(ids: Ids, scales: Ids, biases: Ids) -> Rows:
    """Row of each id under each function, shape `(n, functions)`, by the formula of the engine."""
    with np.errstate(over="ignore"):
        mixed = (ids[:, None] * scales + biases).view(np.int64)
    rows = (mixed % MODULUS) % (N_ROWS - 1) + 1
    return np.where(ids[:, None] == 0, 0, rows).astype(np.uint32)


def run() -> Findings:
    generator = np.random.default_rng(SEED)
    table: Floats = generator.standard_normal((N_ROWS, WIDTH), dtype=np.float32)
    scales, biases = draws(SEED, N_FUNCTIONS) | np.uint64(1), draws(SEED + 1, N_FUNCTIONS)
    family = _core.HashFamily(scales.tolist(), biases.tolist(), MODULUS)
    batches = id_batches(SEED + 100, N_BATCHES, N_CANDIDATES)
    all_rows = [np.ascontiguousarray(hashed(ids, scales, biases).ravel()) for ids in batches]
    shape = (N_CANDIDATES * N_FUNCTIONS, WIDTH)
    out, peer_out = np.empty(shape, dtype=np.float32), np.empty(shape, dtype=np.float32)

    def gather_hashed(batch: int) -> None:
        wide = out.reshape(N_CANDIDATES, N_FUNCTIONS * WIDTH)
        _core.gather_hashed(table, family, batches[batch], wide)

    def take_hashed(batch: int) -> None:
        rows = hashed(batches[batch], scales, biases).ravel()
        np.take(table, rows, axis=0, out=peer_out, mode="clip")

    def index_hashed(batch: int) -> None:
        peer_out[:] = table[hashed(batches[batch], scales, biases).ravel()]

    def gather_rows(batch: int) -> None:
        _core.gather_rows(table, all_rows[batch], out)

    def take_rows(batch: int) -> None:
        np.take(table, all_rows[batch], axis=0, out=peer_out, mode="clip")

    size = f"{N_CANDIDATES:,} ids x {N_FUNCTIONS} x {WIDTH} float32 of {N_ROWS:,} rows"
    found: list[Row] = []
    for workload, ours, peer, note in (
        (
            f"hash and gather {size}",
            gather_hashed,
            take_hashed,
            "numpy hash, np.take into a buffer",
        ),
        (f"hash and gather {size}", gather_hashed, index_hashed, "numpy hash, table[rows]"),
        (f"gather {size}", gather_rows, take_rows, "np.take into a buffer, rows given"),
    ):
        for batch in range(4):
            out[:], peer_out[:] = np.nan, np.nan
            ours(batch)
            peer(batch)
            np.testing.assert_array_equal(out, peer_out)
        times = micros(_from(WARM_UP, ours), _from(WARM_UP + HALF, peer))
        found.append(Row("embed", workload, *times, "µs per batch", note))
    return Findings(found)


def _from(first: int, side: Side) -> Side:
    """The same work, on the batches from `first` on."""
    return lambda repetition: side(first + repetition)
