"""A loaded bundle that answers requests.

A request is scored in chunks, in the order in which its candidates came, against a context that
is encoded once per state of the viewer. Everything that is kept between requests is a cache: it
changes how long an answer takes, never the answer. One object serves any number of threads.
"""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

from xfeed.phoenix.batch import InteractionColumns, PostColumns
from xfeed.phoenix.bundles.read import Bundle, read_bundle
from xfeed.phoenix.model.ranker import RankerContext
from xfeed.phoenix.options import RuntimeOptions
from xfeed.phoenix.runtime.batching import Batcher
from xfeed.phoenix.runtime.contexts import ByteCache, CacheStats, nbytes_of
from xfeed.phoenix.runtime.engines import RankerEngine, RetrievalEngine
from xfeed.phoenix.runtime.heads import HeadMap
from xfeed.phoenix.runtime.progress import Progress
from xfeed.phoenix.runtime.requests import Candidates, KnownHistory, RankRequest
from xfeed.phoenix.runtime.scores import ScoreCache

DEADLINE_CHUNK: Final = 256
"""Most candidates that are scored between two looks at the clock, when there is a deadline."""

DEFAULTS: Final = RuntimeOptions()


@dataclass(frozen=True, slots=True)
class RuntimeStats:
    """What a loaded bundle did since loading.

    Attributes:
        contexts: encoded histories and vectors of viewers.
        scores: predictions, counted by candidate.
        n_not_finite: predictions that came out as NaN or infinite.
        n_unscored: candidates that a deadline left without predictions.
        mean_group_len: requests that were computed together, on average.
    """

    contexts: CacheStats
    scores: CacheStats
    n_not_finite: int
    n_unscored: int
    mean_group_len: float


class Phoenix:
    """Both models of a bundle, ready to serve; safe to call from several threads.

    Args:
        bundle: a checked bundle.
        options: engine, device, precision and caches.

    Raises:
        BundleError: no head of the ranker is an action of this version.
        ConfigError: the device or the precision cannot be had.
    """

    def __init__(self, bundle: Bundle, options: RuntimeOptions = DEFAULTS) -> None:
        self.bundle_id = bundle.id
        self.config = bundle.config
        self.retrieval_config = bundle.retrieval_config
        self.log_offset = bundle.log_offset
        self.metrics: dict[str, Any] = bundle.metrics
        self.options = options
        self.heads = HeadMap.of_bundle(bundle)
        self._ranker = RankerEngine(
            bundle.config, bundle.ranker, bundle.ranker_tables, self.heads, options
        )
        self._retrieval = RetrievalEngine(
            bundle.retrieval_config, bundle.retrieval, bundle.retrieval_tables, self.heads, options
        )
        self._contexts: ByteCache[RankerContext | npt.NDArray[np.float32]] = ByteCache(
            options.context_cache_bytes, nbytes_of
        )
        self._scores = ScoreCache(options.score_cache_entries)
        self._batcher = Batcher(self._run, options.group_len, options.batch_wait_ms)
        self._lock = threading.Lock()
        self._n_not_finite = self._n_unscored = 0
        if options.warm_up:
            self.warm_up()

    @classmethod
    def load(cls, directory: Path | str, options: RuntimeOptions = DEFAULTS) -> Self:
        """Reads and checks a bundle.

        Raises:
            BundleError: the bundle is damaged or does not fit this version.
            ConfigError: the device or the precision cannot be had.
        """
        return cls(read_bundle(Path(directory), verify="once"), options)

    @property
    def n_not_finite(self) -> int:
        """Predictions that came out as NaN or infinite since loading."""
        return self._n_not_finite

    @property
    def stats(self) -> RuntimeStats:
        """Counts since loading."""
        return RuntimeStats(
            self._contexts.stats,
            self._scores.stats,
            self._n_not_finite,
            self._n_unscored,
            self._batcher.mean_group_len,
        )

    def warm_up(self) -> None:
        """Answers a made-up request, so that the first real one finds everything in memory."""
        nobody = (0, InteractionColumns.zeros(0), PostColumns.zeros(0), 0)
        context = self._ranker.encode(KnownHistory.of(self.config, *nobody))
        self._ranker.score([context], [Candidates.of(self.config, PostColumns.zeros(1), 0, 0)])
        self._retrieval.user_vector(KnownHistory.of(self.retrieval_config, *nobody))
        self._retrieval.post_vectors(PostColumns.zeros(1))

    def predict(
        self,
        viewer_key: int,
        history: InteractionColumns,
        history_posts: PostColumns,
        candidates: PostColumns,
        surface: int,
        now_ms: int,
        *,
        deadline: float | None = None,
    ) -> npt.NDArray[np.float32]:
        """Predicts every action for every candidate, each alone.

        Args:
            viewer_key: the viewer; 0 for an unknown one.
            history: what this viewer saw and did, sorted by time; what is not older than
                `now_ms` is left out, and of the rest the newest positions are read.
            history_posts: table that ``history.post_row`` points into.
            candidates: C posts, most important first.
            surface: product surface that asks.
            now_ms: time of the request.
            deadline: moment of `time.monotonic` after which nothing more is scored; candidates
                are scored in their order, so the last ones go without. The answer comes after the
                chunk that runs at this moment; a request that still waits for others is answered
                at once, with what is kept.

        Returns:
            (C, 27) in the order of the action table: probabilities, then seconds. NaN stands for
            "not predicted": the model has no such head, the value was not finite (counted in
            `n_not_finite`), or, in a whole row, the deadline came first (counted in `stats`).

        Raises:
            ShapeError: the history belongs to another viewer or points outside its posts, or a
                number is out of its range.
        """
        known = KnownHistory.of(self.config, viewer_key, history, history_posts, now_ms)
        shown = Candidates.of(self.config, candidates, surface, now_ms)
        return self._batcher.submit(RankRequest(known, shown, deadline), deadline)

    def user_vector(
        self,
        viewer_key: int,
        history: InteractionColumns,
        history_posts: PostColumns,
        now_ms: int,
    ) -> npt.NDArray[np.float32]:
        """(D,) vector of unit length to search posts with; arguments as for `predict`."""
        config = self.retrieval_config
        known = KnownHistory.of(config, viewer_key, history, history_posts, now_ms)
        key = known.digest(b"vector")
        kept = self._contexts.get(key)
        if kept is None:
            kept = self._counted(self._retrieval.user_vector(known))
            self._contexts.put(key, kept)
        assert isinstance(kept, np.ndarray)
        return kept.copy()

    def post_vectors(self, posts: PostColumns) -> npt.NDArray[np.float32]:
        """(N, D) vectors of unit length of posts."""
        return self._counted(self._retrieval.post_vectors(posts))

    def _run(
        self, requests: Sequence[RankRequest]
    ) -> Iterator[tuple[int, npt.NDArray[np.float32]]]:
        """Scores requests together: a chunk of each, then the next chunk of each.

        Yields:
            The place of a request and its answer, as soon as it is done or late.
        """
        running = [Progress(request, self._ranker.purpose, self._kept()) for request in requests]
        for step in running:
            step.look_up()
        chunk = self.options.candidate_chunk
        if any(request.deadline is not None for request in requests):
            chunk = min(chunk, DEADLINE_CHUNK)
        left = dict(enumerate(running))
        while left:
            active = []
            for place, step in list(left.items()):
                if step.goes_on:
                    active.append(step)
                else:
                    del left[place]
                    yield place, self._ended(step)
            if not active:
                return
            contexts = [self._context(step) for step in active]
            parts = [step.part(chunk) for step in active]
            values = self._ranker.score(contexts, parts)
            for step, found in zip(active, values, strict=True):
                step.write(self._counted(found, self.heads.filled))

    def _kept(self) -> ScoreCache | None:
        """Kept predictions, while fresh ones would have the same bits."""
        return self._scores if self._scores.is_on and self._ranker.is_exact else None

    def _ended(self, step: Progress) -> npt.NDArray[np.float32]:
        """The answer to a request that is done or late."""
        if self._kept() is not None:
            step.keep()
        if step.n_left:
            with self._lock:
                self._n_unscored += step.n_left
        return step.out

    def _context(self, step: Progress) -> RankerContext:
        """The context of a request, kept or encoded now."""
        if step.context is None:
            kept = self._contexts.get(step.key)
            if kept is None:
                kept = self._ranker.encode(step.request.history)
                self._contexts.put(step.key, kept)
            assert not isinstance(kept, np.ndarray)
            step.context = kept
        return step.context

    def _counted(
        self,
        values: npt.NDArray[np.float32],
        columns: npt.NDArray[np.bool_] | None = None,
    ) -> npt.NDArray[np.float32]:
        """Turns what is not finite into NaN and counts it, in the columns that must be finite."""
        bad = ~np.isfinite(values)
        n_bad = int((bad if columns is None else bad[:, columns]).sum())
        if n_bad:
            values = np.where(bad, np.float32(np.nan), values)
            with self._lock:
                self._n_not_finite += n_bad
        return values
