"""Predictions that are kept: the same viewer state and the same candidate give the same numbers.

Kept per context (with the surface that all candidates of a request share) as
columns: the posts' keys, sorted, beside everything else that the model reads about a candidate
and the predictions. Looking up is a binary search and a comparison of whole rows, so nothing
rests on a hash, and no Python runs per candidate.
"""

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from xfeed.phoenix.runtime.contexts import CacheStats

Facts = npt.NDArray[np.uint64]
"""(C, w) what the model reads about candidates; the first column is the post's key."""

ROW_OVERHEAD: Final = 8
"""Bytes of a kept row beside facts and predictions: its key, once more."""


@dataclass(frozen=True, slots=True)
class _Scored:
    """Predictions of one context: keys (n,) sorted and distinct, facts (n, w), values (n, A)."""

    keys: npt.NDArray[np.uint64]
    facts: Facts
    values: npt.NDArray[np.float32]


class ScoreCache:
    """Least recently used contexts up to a number of candidates; safe from several threads.

    Args:
        max_entries: most candidates of all contexts together; 0 keeps none.
    """

    def __init__(self, max_entries: int) -> None:
        self._max_entries = max_entries
        self._lock = threading.Lock()
        self._kept: OrderedDict[bytes, _Scored] = OrderedDict()
        self._n_entries = self._hits = self._misses = self._evictions = 0

    @property
    def is_on(self) -> bool:
        """Whether anything is kept at all."""
        return self._max_entries > 0

    def fill(self, key: bytes, facts: Facts, out: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
        """Writes kept predictions to their rows of `out`.

        Args:
            key: the context with the surface.
            facts: (C, w) of the candidates.
            out: (C, A), written where a candidate is known.

        Returns:
            Rows that are still to be predicted, ascending.
        """
        with self._lock:
            kept = self._kept.get(key)
            if kept is not None:
                self._kept.move_to_end(key)
        n = len(facts)
        if kept is None or not n:
            hit = np.zeros(n, dtype=np.bool_)
        else:
            place = np.minimum(np.searchsorted(kept.keys, facts[:, 0]), len(kept.keys) - 1)
            hit = (kept.facts[place] == facts).all(axis=1)
            out[hit] = kept.values[place[hit]]
        n_hits = int(hit.sum())
        with self._lock:
            self._hits += n_hits
            self._misses += n - n_hits
        return np.flatnonzero(~hit)

    def put(self, key: bytes, facts: Facts, values: npt.NDArray[np.float32]) -> None:
        """Keeps predictions; of two for one post in one context the newer stays."""
        facts, values = facts[-self._max_entries :], values[-self._max_entries :]
        if not len(facts) or not self.is_on:
            return
        with self._lock:
            before = self._kept.pop(key, None)
            if before is not None:
                self._n_entries -= len(before.keys)
                facts = np.concatenate((before.facts, facts))
                values = np.concatenate((before.values, values))
            # the last of equal keys is the newest; np.unique gives the first of the reversed
            keys, last = np.unique(facts[::-1, 0], return_index=True)
            rows = len(facts) - 1 - last
            if len(rows) > self._max_entries:
                newest = np.sort(np.argsort(rows)[-self._max_entries :])
                keys, rows = keys[newest], rows[newest]
            self._kept[key] = _Scored(keys, facts[rows], values[rows])
            self._n_entries += len(keys)
            while self._n_entries > self._max_entries:
                _, gone = self._kept.popitem(last=False)
                self._n_entries -= len(gone.keys)
                self._evictions += len(gone.keys)

    @property
    def stats(self) -> CacheStats:
        """Counts of candidates since loading."""
        with self._lock:
            nbytes = sum(
                kept.facts.nbytes + kept.values.nbytes + ROW_OVERHEAD * len(kept.keys)
                for kept in self._kept.values()
            )
            return CacheStats(self._hits, self._misses, self._evictions, self._n_entries, nbytes)
