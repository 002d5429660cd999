"""Hash embeddings: from ids to rows of the table, side by side or added up.

Every side gets fresh random rows in every repetition, so nobody meets rows that somebody just read.
"""

import json
import subprocess
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional
from xfeed import _core

from benches.python.timing import (
    QUICK,
    REPETITIONS,
    WARM_UP,
    Figure,
    Findings,
    Row,
    Side,
    Target,
    micros,
)
from benches.python.workload import draws, id_batches

ROOT: Final = Path(__file__).resolve().parents[2]
SEED: Final = 20_260_821
N_ROWS: Final = 50_000 if QUICK else 1_000_000
WIDTH: Final = 128
N_CANDIDATES: Final = 1_500
N_FUNCTIONS: Final = 4
MODULUS: Final = 2**61 - 1
THREADS: Final = (1, 2)

HALF: Final = REPETITIONS + WARM_UP
N_BATCHES: Final = 2 * HALF
"""Twice as many as repetitions: each side has batches of its own."""

SIZE: Final = f"{N_CANDIDATES:,} x {N_FUNCTIONS} rows of {WIDTH} float32, table of {N_ROWS:,} rows"

Floats = npt.NDArray[np.float32]
Pooled = Callable[[torch.Tensor], torch.Tensor]


class Work:
    """The table, the ids of every batch and their rows."""

    def __init__(self) -> None:
        generator = np.random.default_rng(SEED)
        table: Floats = generator.standard_normal((N_ROWS, WIDTH), dtype=np.float32)
        self.array = table
        self.ours = _core.EmbeddingTable.from_array(table)
        self.torch = torch.from_numpy(table)
        scales, biases = draws(SEED, N_FUNCTIONS) | np.uint64(1), draws(SEED + 1, N_FUNCTIONS)
        self.family = _core.HashFamily(scales.tolist(), biases.tolist(), MODULUS)
        self.scales, self.biases = scales, biases
        self.ids = id_batches(SEED + 100, N_BATCHES, N_CANDIDATES)
        self.rows = [self._rows(ids) for ids in self.ids]
        self.index = [torch.from_numpy(rows.astype(np.int64)) for rows in self.rows]
        # memory of torch starts at a whole line of the cache
        n = N_CANDIDATES * N_FUNCTIONS
        self.out: Floats = torch.empty(n, WIDTH).numpy()
        self.peer_out: Floats = torch.empty(n, WIDTH).numpy()
        self.sums: Floats = torch.empty(N_CANDIDATES, WIDTH).numpy()

    def _rows(self, ids: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint32]:
        rows = np.empty((len(ids), N_FUNCTIONS), dtype=np.uint32)
        self.family.rows(ids, N_ROWS, rows)
        return rows

    def hashed(self, batch: int) -> npt.NDArray[np.int64]:
        """Rows by the formula of the engine, in NumPy."""
        with np.errstate(over="ignore"):
            mixed = (self.ids[batch][:, None] * self.scales + self.biases).view(np.int64)
        rows = (mixed % MODULUS) % (N_ROWS - 1) + 1
        return np.where(self.ids[batch][:, None] == 0, 0, rows)


def run() -> Findings:
    work = Work()
    found = Findings([])
    pooled, reason = fbgemm(work)
    if reason:
        found.skipped.append(reason)
    before = torch.get_num_threads()
    try:
        for threads in THREADS:
            torch.set_num_threads(threads)
            compare(work, threads, pooled, found)
    finally:
        torch.set_num_threads(before)
    native(found)
    return found


def compare(work: Work, threads: int, pooled: Pooled | None, found: Findings) -> None:
    """Every peer with so many threads; a peer without threads only where we use one."""
    wide = work.out.reshape(N_CANDIDATES, -1)

    def gather(batch: int) -> Floats:
        work.ours.gather(work.rows[batch].ravel(), work.out, threads)
        return work.out

    def hash_and_gather(batch: int) -> Floats:
        work.ours.gather_hashed(work.family, work.ids[batch], wide, False, threads)
        return work.out

    def hash_and_sum(batch: int) -> Floats:
        work.ours.gather_hashed(work.family, work.ids[batch], work.sums, True, threads)
        return work.sums

    def embedding(batch: int) -> Any:
        return functional.embedding(work.index[batch].view(-1), work.torch)

    def bag(batch: int) -> Any:
        return functional.embedding_bag(work.index[batch], work.torch, mode="sum")

    def take(batch: int) -> Any:
        rows = work.rows[batch].ravel()
        return np.take(work.array, rows, axis=0, out=work.peer_out, mode="clip")

    def hash_and_take(batch: int) -> Any:
        rows = work.hashed(batch).ravel()
        return np.take(work.array, rows, axis=0, out=work.peer_out, mode="clip")

    by, of = f"{threads} thread{'s' * (threads > 1)}", "torch.nn.functional"
    sides: list[tuple[str, Callable[[int], Any], Callable[[int], Any], str]] = [
        ("gather", gather, embedding, f"{of}.embedding"),
        ("hash and add up", hash_and_sum, bag, f"{of}.embedding_bag, sum, rows given"),
    ]
    if pooled is not None:
        peer = pooled

        def tables(batch: int) -> Any:
            return peer(work.index[batch])

        sides.append(("hash and add up", hash_and_sum, tables, "FBGEMM CPU, sum, rows given"))
    if threads == 1:
        sides += [
            ("gather", gather, take, "np.take into a buffer"),
            ("hash and gather", hash_and_gather, hash_and_take, "NumPy hash, np.take"),
        ]
    for what, ours, other, note in sides:
        for batch in range(3):
            np.testing.assert_allclose(ours(batch), other(batch), rtol=1e-5, atol=1e-5)
        times = micros(_from(WARM_UP, ours), _from(WARM_UP + HALF, other))
        row = Row("embed", f"{what}, {SIZE}, {by}", *times, "µs per batch", note)
        found.rows.append(row)
        if other is embedding:
            found.targets.append(Target(f"gather: times F.embedding, {by}", row.ratio, 1.5))


def fbgemm(work: Work) -> tuple[Pooled | None, str]:
    """FBGEMM's pooled look-up over the same table, or why it is left out."""
    # it has no types, and loads only beside the release of torch that it was built for
    names = [
        "split_table_batched_embeddings_ops_training",
        "split_embedding_configs",
        "split_table_batched_embeddings_ops_common",
    ]
    try:
        ops, configs, common = (import_module(f"fbgemm_gpu.{name}") for name in names)
    except (ImportError, OSError) as error:
        cause = error.__cause__ or error
        return None, f"FBGEMM CPU cannot be loaded: {str(cause).splitlines()[0]}"
    module = ops.SplitTableBatchedEmbeddingBagsCodegen(
        [(N_ROWS, WIDTH, common.EmbeddingLocation.HOST, ops.ComputeDevice.CPU)],
        optimizer=configs.EmbOptimType.EXACT_SGD,
    )
    module.split_embedding_weights()[0].copy_(work.torch)
    offsets = torch.arange(0, N_CANDIDATES * N_FUNCTIONS + 1, N_FUNCTIONS)

    def pooled(index: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            result: torch.Tensor = module(index.view(-1), offsets)
        return result

    return pooled, ""


def native(found: Findings) -> None:
    """The same rows in Rust alone: beside a bare loop that reads them, and a plain copy."""
    build = ["cargo", "build", "--release", "--locked", "--quiet", "-p", "xfeed-bench"]
    build += ["--bin", "embed", "--message-format", "json"]
    built = subprocess.run(build, cwd=ROOT, stdout=subprocess.PIPE, check=True)
    messages = [json.loads(line) for line in built.stdout.splitlines()]
    program = [it["executable"] for it in messages if it.get("executable")][-1]
    arguments = [N_ROWS, WIDTH, N_CANDIDATES * N_FUNCTIONS, REPETITIONS]
    done = subprocess.run([program, *map(str, arguments)], stdout=subprocess.PIPE, check=True)
    found.raw["native"] = json.loads(done.stdout)
    for result in found.raw["native"]:
        dtype, threads = result["dtype"], result["threads"]
        by = f"{threads} thread{'s' * (threads > 1)}"
        ours, bare = result["gather"]["p50_us"], result["bare_read"]["p50_us"]
        note = f"{bare / ours:.0%} of the rate of a bare loop that only reads the rows"
        rate = result["bytes"] / ours / 1000
        found.figures.append(Figure(f"random rows of {dtype}, {by}", rate, "GB/s", note))
        if dtype == "float32":
            name = f"share of the random-row rate of a bare loop, {by}"
            found.targets.append(Target(name, bare / ours, 0.7))


def _from(first: int, side: Side) -> Side:
    """The same work, on the batches from `first` on."""
    return lambda repetition: side(first + repetition)
