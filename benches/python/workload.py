"""Seeded workloads. Counter-based numbers, so that any language can make the same ones.

Number `i` of a stream is the SplitMix64 mix of `seed + (i + 1) * GAMMA`, all modulo 2^64.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.uint64]

GAMMA: Final = np.uint64(0x9E3779B97F4A7C15)
FIRST_FACTOR: Final = np.uint64(0xBF58476D1CE4E5B9)
SECOND_FACTOR: Final = np.uint64(0x94D049BB133111EB)

DAY_MS: Final = 86_400_000
NOW_MS: Final = 1_790_000_000_000


def draws(seed: int, n: int, start: int = 0) -> Ids:
    """Numbers `start .. start + n` of the stream of `seed`, uniform on 64 bits."""
    i = np.arange(start + 1, start + n + 1, dtype=np.uint64)
    with np.errstate(over="ignore"):
        z = np.uint64(seed) + i * GAMMA
        z = (z ^ (z >> np.uint64(30))) * FIRST_FACTOR
        z = (z ^ (z >> np.uint64(27))) * SECOND_FACTOR
    mixed: Ids = z ^ (z >> np.uint64(31))
    return mixed


def below(seed: int, n: int, limit: int, start: int = 0) -> Ids:
    """Like `draws`, each modulo `limit`."""
    limited: Ids = draws(seed, n, start) % np.uint64(limit)
    return limited


def id_batches(seed: int, n_batches: int, n_ids: int) -> Sequence[Ids]:
    """Batches of ids below 2^63, none of them 0."""
    batches = [draws(seed + batch, n_ids) >> np.uint64(1) for batch in range(n_batches)]
    return [np.maximum(batch, np.uint64(1)) for batch in batches]
