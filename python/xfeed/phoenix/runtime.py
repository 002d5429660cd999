"""A loaded bundle that answers requests.

The viewer and the history are encoded once per request, candidates are scored in chunks against
them, rows come from numpy tables through the Rust core. Nothing is written after loading except
a counter, so one object serves any number of threads.
"""

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from xfeed import _core
from xfeed.actions import ACTIONS, N_DISCRETE
from xfeed.errors import BundleError, ShapeError
from xfeed.phoenix.batch import MAX_TOPICS, InteractionColumns, PostColumns
from xfeed.phoenix.batching import multi_hot
from xfeed.phoenix.bundle import Bundle, Tensors, read_bundle
from xfeed.phoenix.config import PhoenixConfig
from xfeed.phoenix.features import (
    duration_bucket,
    hour_of_day,
    known_at,
    media_index,
    post_age_bucket,
)
from xfeed.phoenix.inputs import CandidateInputs, HistoryInputs, PostInputs
from xfeed.phoenix.ranker import Ranker
from xfeed.phoenix.retrieval import Retrieval
from xfeed.phoenix.tables import hash_family, post_keys
from xfeed.phoenix.train_ranker import DWELL_HEAD

CANDIDATE_CHUNK: Final = 2_048
"""Candidates that pass through the model together; bounds memory, changes no score."""

POST_CHUNK: Final = 8_192
"""Posts whose vectors are computed together."""


@dataclass(frozen=True, slots=True)
class ServingTables:
    """Embedding tables of one model, read through the Rust core.

    Attributes:
        config: hashes and widths.
        tables: (rows, W) by name.
        families: hash functions by name.
    """

    config: PhoenixConfig
    tables: Tensors
    families: dict[str, _core.HashFamily]

    @classmethod
    def of(cls, config: PhoenixConfig, tensors: Tensors) -> Self:
        """Picks the tables out of a bundle's tensors."""
        tables = {name: np.ascontiguousarray(tensors[f"table.{name}"]) for name in config.hashes}
        return cls(config, tables, {n: hash_family(h) for n, h in config.hashes.items()})

    def rows(self, name: str, ids: npt.NDArray[np.uint64]) -> Tensor:
        """(n, H * W) rows of ids side by side; zero for id 0."""
        table, family = self.tables[name], self.families[name]
        width = self.config.hashes[name].n_functions * table.shape[1]
        out = np.empty((len(ids), width), dtype=np.float32)
        _core.gather_hashed(table, family, np.ascontiguousarray(ids), out)
        return torch.from_numpy(out)

    def posts(self, posts: PostColumns) -> PostInputs:
        """Looks posts up."""
        item = self.rows("item", posts.post_key)
        author = self.rows("author", posts.author_key)
        if not self.config.post_features:
            return PostInputs(item, author, keys=post_keys(posts))
        topics = self.rows("topic", posts.topic_keys.reshape(-1))
        return PostInputs(
            item,
            author,
            torch.from_numpy(media_index(posts.media_kind)),
            torch.from_numpy(duration_bucket(posts.duration_ms)),
            self.rows("language", posts.language_key),
            topics.view(len(posts), MAX_TOPICS, -1).sum(1),
            post_keys(posts),
        )


class Phoenix:
    """Both models of a bundle, ready to serve; safe to call from several threads.

    Args:
        bundle: a checked bundle.
    """

    def __init__(self, bundle: Bundle) -> None:
        self.bundle_id = bundle.id
        self.config = bundle.config
        self.log_offset = bundle.log_offset
        self.metrics: dict[str, Any] = bundle.metrics
        if self.config.n_actions != N_DISCRETE:
            raise BundleError(
                f"the ranker has `{self.config.n_actions}` heads, there are `{N_DISCRETE}` actions",
                code="other_actions",
            )
        self._ranker = Ranker(self.config)
        self._retrieval = Retrieval(self.config)
        _fill(self._ranker, bundle.ranker)
        _fill(self._retrieval, bundle.retrieval)
        self._ranker_tables = ServingTables.of(self.config, bundle.ranker)
        self._retrieval_tables = ServingTables.of(self.config, bundle.retrieval)
        self._lock = threading.Lock()
        self._n_not_finite = 0

    @classmethod
    def load(cls, directory: Path | str) -> Self:
        """Reads and checks a bundle.

        Raises:
            BundleError: the bundle is damaged or does not fit this version.
        """
        return cls(read_bundle(Path(directory)))

    @property
    def n_not_finite(self) -> int:
        """Predictions that came out as NaN or infinite since loading."""
        return self._n_not_finite

    def predict(
        self,
        viewer_key: int,
        history: InteractionColumns,
        history_posts: PostColumns,
        candidates: PostColumns,
        surface: int,
        now_ms: int,
    ) -> npt.NDArray[np.float32]:
        """Predicts every action for every candidate, each alone.

        Args:
            viewer_key: the viewer; 0 for an unknown one.
            history: what this viewer saw and did, sorted by time; what is not older than
                `now_ms` is left out, and of the rest the newest positions are read.
            history_posts: table that ``history.post_row`` points into.
            candidates: C posts.
            surface: product surface that asks.
            now_ms: time of the request.

        Returns:
            (C, 27) in the order of the action table: probabilities, then seconds. Heads that
            are not trained give 0 seconds. A value that is not finite is NaN and counted.

        Raises:
            ShapeError: the history belongs to another viewer or points outside its posts.
        """
        out = np.zeros((len(candidates), len(ACTIONS)), dtype=np.float32)
        with torch.inference_mode():
            tables = self._ranker_tables
            inputs = self._history(tables, viewer_key, history, history_posts, now_ms)
            context = self._ranker.encode_context(*inputs)
            for start in range(0, len(candidates), CANDIDATE_CHUNK):
                rows = np.arange(start, min(start + CANDIDATE_CHUNK, len(candidates)))
                part = candidates if len(rows) == len(candidates) else candidates.take(rows)
                at = self._candidates(part, surface, now_ms)
                scores = self._ranker.score_candidates(context, tables.posts(part), at, start)
                out[rows, :N_DISCRETE] = scores.logits[0].sigmoid().numpy()
                secs = scores.continuous[0, :, DWELL_HEAD].numpy() * self.config.dwell_scale_secs
                out[rows, N_DISCRETE + DWELL_HEAD] = secs
        return self._checked(out)

    def user_vector(
        self,
        viewer_key: int,
        history: InteractionColumns,
        history_posts: PostColumns,
        now_ms: int,
    ) -> npt.NDArray[np.float32]:
        """(D,) vector of unit length to search posts with; arguments as for `predict`."""
        with torch.inference_mode():
            inputs = self._history(
                self._retrieval_tables, viewer_key, history, history_posts, now_ms
            )
            vector, _ = self._retrieval.user_vectors(*inputs)
            return self._checked(vector[0].numpy())

    def post_vectors(self, posts: PostColumns) -> npt.NDArray[np.float32]:
        """(N, D) vectors of unit length of posts."""
        out = np.empty((len(posts), self.config.emb_size), dtype=np.float32)
        with torch.inference_mode():
            for start in range(0, len(posts), POST_CHUNK):
                rows = np.arange(start, min(start + POST_CHUNK, len(posts)))
                inputs = self._retrieval_tables.posts(posts.take(rows))
                out[rows] = self._retrieval.post_vectors(inputs).numpy()
        return self._checked(out)

    def _history(
        self,
        tables: ServingTables,
        viewer_key: int,
        history: InteractionColumns,
        history_posts: PostColumns,
        now_ms: int,
    ) -> tuple[PostInputs, HistoryInputs]:
        """Inputs of one viewer: the newest rows strictly before now, as far as known now."""
        if len(history) and not (history.viewer_key == np.uint64(viewer_key)).all():
            raise ShapeError(
                f"the history holds rows of other viewers than `{viewer_key}`",
                code="wrong_viewer",
                hint="pass the rows of one viewer",
            )
        usable = np.flatnonzero((history.post_row >= 0) & (history.at_ms < now_ms))
        rows = history.take(usable[-self.config.history_len :])
        actions, dwell = known_at(
            np.full(len(rows), now_ms), rows.at_ms, rows.actions, rows.dwell_secs,
            rows.acted_ms, rows.is_impression,
        )  # fmt: skip
        # one padded position keeps the shapes alive when there is no history
        S = max(len(rows), 1)
        posts = history_posts.take(np.pad(rows.post_row, (0, S - len(rows)), constant_values=-1))
        inputs = HistoryInputs(
            user_rows=tables.rows("user", np.array([viewer_key], dtype=np.uint64)),
            # an unknown viewer is a known viewer without rows, as in training
            user_valid=torch.ones(1, dtype=torch.bool),
            post=torch.arange(S)[None],
            valid=torch.arange(S)[None] < len(rows),
            actions=multi_hot(np.pad(actions, (0, S - len(rows))))[None],
            surface=_padded(rows.surface.astype(np.int64), S),
            dwell_secs=_padded(dwell, S),
        )
        return tables.posts(posts), inputs

    def _candidates(self, posts: PostColumns, surface: int, now_ms: int) -> CandidateInputs:
        """Candidates as shown now."""
        C = len(posts)
        now = np.full(C, now_ms, dtype=np.int64)
        age = post_age_bucket(
            now // 1_000, posts.created_ms // 1_000, self.config.post_age_granularity_mins
        )
        return CandidateInputs(
            post=torch.arange(C)[None],
            surface=torch.full((1, C), surface, dtype=torch.int64),
            post_age=torch.from_numpy(age)[None],
            hour=torch.from_numpy(hour_of_day(now))[None],
        )

    def _checked(self, values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Turns what is not finite into NaN and counts it."""
        bad = ~np.isfinite(values)
        n_bad = int(bad.sum())
        if n_bad:
            values = np.where(bad, np.float32(np.nan), values)
            with self._lock:
                self._n_not_finite += n_bad
        return values


def _padded(values: npt.NDArray[Any], length: int) -> Tensor:
    """(1, length) with zeros behind."""
    return torch.from_numpy(np.pad(values, (0, length - len(values))))[None]


def _fill(model: nn.Module, tensors: Tensors) -> None:
    """Copies a bundle's parameters into a model and freezes it."""
    state = {
        name.removeprefix("model."): torch.from_numpy(values)
        for name, values in tensors.items()
        if name.startswith("model.")
    }
    model.load_state_dict(state)
    model.requires_grad_(requires_grad=False)
    model.eval()
