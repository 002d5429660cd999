"""Requests as the models see them: a history as known now, candidates as shown now.

Both come from columns by array operations, and both tell exactly what the model will read, which
is what the caches compare.
"""

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from xfeed.errors import ShapeError
from xfeed.phoenix.batch import InteractionColumns, PostColumns
from xfeed.phoenix.config import PhoenixConfig
from xfeed.phoenix.features import known_at
from xfeed.phoenix.integers import I64_RANGE, U64_RANGE, checked_integer
from xfeed.phoenix.model.inputs import CandidateInputs, HistoryInputs, PostInputs
from xfeed.phoenix.model.moments import candidate_moments, history_moments
from xfeed.phoenix.runtime.heads import HeadMap
from xfeed.phoenix.runtime.scores import Facts
from xfeed.phoenix.runtime.tables import ServingTables

DIGEST_BYTES = 16
"""Bytes of a context's key: two histories with the same one will not be met."""


@dataclass(frozen=True, slots=True)
class KnownHistory:
    """What the models read about a viewer at one moment, oldest row first.

    Attributes:
        viewer_key: the viewer; 0 for an unknown one.
        posts: posts of the n rows.
        actions: (n,) action bits.
        dwell_secs: (n,) seconds spent so far.
        surface: (n,) product surfaces.
        moments: (n,) columns about when each post was shown, by name.
    """

    viewer_key: int
    posts: PostColumns
    actions: npt.NDArray[np.uint64]
    dwell_secs: npt.NDArray[np.float32]
    surface: npt.NDArray[np.uint8]
    moments: Mapping[str, Tensor]

    @classmethod
    def of(
        cls,
        config: PhoenixConfig,
        viewer_key: int,
        history: InteractionColumns,
        history_posts: PostColumns,
        now_ms: int,
    ) -> Self:
        """Takes the newest rows strictly before now, as far as they are known now.

        Args:
            config: of the model that reads them.
            viewer_key: the viewer.
            history: rows of this viewer, sorted by time.
            history_posts: table that ``history.post_row`` points into.
            now_ms: time of the request.

        Raises:
            ShapeError: the history belongs to another viewer or points outside its posts, or a
                number is out of its range.
        """
        viewer_key = checked_integer("viewer_key", viewer_key, U64_RANGE)
        now_ms = checked_integer("now_ms", now_ms, I64_RANGE)
        if len(history) and not (history.viewer_key == np.uint64(viewer_key)).all():
            raise ShapeError(
                f"the history holds rows of other viewers than `{viewer_key}`",
                code="wrong_viewer",
                hint="pass the rows of one viewer",
            )
        usable = np.flatnonzero((history.post_row >= 0) & (history.at_ms < now_ms))
        rows = history.take(usable[-config.history_len :])
        actions, dwell_secs = known_at(
            np.full(len(rows), now_ms), rows.at_ms, rows.actions, rows.dwell_secs,
            rows.acted_ms, rows.is_impression,
        )  # fmt: skip
        posts = history_posts.take(rows.post_row)
        moments = history_moments(config, rows.at_ms, posts.created_ms)
        return cls(viewer_key, posts, actions, dwell_secs, rows.surface, moments)

    def __len__(self) -> int:
        return len(self.actions)

    def digest(self, purpose: bytes) -> bytes:
        """Key of everything that is read here, apart for each purpose."""
        found = hashlib.blake2b(digest_size=DIGEST_BYTES, person=purpose)
        found.update(self.viewer_key.to_bytes(8, "little"))
        found.update(len(self).to_bytes(8, "little"))
        for column in (self.actions, self.dwell_secs, self.surface):
            found.update(column.tobytes())
        for moment in self.moments.values():
            found.update(moment.numpy().tobytes())
        for field in fields(self.posts):
            # of the time of creation the models read the age alone, which is a moment
            if field.name != "created_ms":
                found.update(getattr(self.posts, field.name).tobytes())
        return found.digest()

    def inputs(self, tables: ServingTables, heads: HeadMap) -> tuple[PostInputs, HistoryInputs]:
        """Inputs of one viewer (B = 1)."""
        # one padded position keeps the shapes alive when there is no history
        n, S = len(self), max(len(self), 1)
        posts = self.posts if n else PostColumns.zeros(1)
        place = torch.arange(S)[None]
        moments: dict[str, Any] = {name: _padded(one, S) for name, one in self.moments.items()}
        inputs = HistoryInputs(
            user_rows=tables.rows("user", np.array([self.viewer_key], dtype=np.uint64)),
            # an unknown viewer is a known viewer without rows, as in training
            user_valid=torch.ones(1, dtype=torch.bool),
            post=place,
            valid=place < n,
            actions=heads.multi_hot(np.pad(self.actions, (0, S - n)))[None],
            surface=_padded(torch.from_numpy(self.surface.astype(np.int64)), S),
            dwell_secs=_padded(torch.from_numpy(self.dwell_secs), S),
            **moments,
        )
        return tables.posts(posts), inputs


@dataclass(frozen=True, slots=True)
class Candidates:
    """C candidates as they are shown now.

    Attributes:
        posts: the candidates.
        surface: product surface that asks.
        moments: (C,) columns about now and about each post's age, by name.
    """

    posts: PostColumns
    surface: int
    moments: Mapping[str, Tensor]

    @classmethod
    def of(cls, config: PhoenixConfig, posts: PostColumns, surface: int, now_ms: int) -> Self:
        """Reads the clock for the candidates of a request.

        Raises:
            ShapeError: a number is out of its range.
        """
        surface = checked_integer("surface", surface, I64_RANGE)
        now_ms = checked_integer("now_ms", now_ms, I64_RANGE)
        shown_ms = np.full(len(posts), now_ms, dtype=np.int64)
        return cls(posts, surface, candidate_moments(config, shown_ms, posts.created_ms))

    def __len__(self) -> int:
        return len(self.posts)

    def take(self, rows: npt.NDArray[np.int64]) -> "Candidates":
        """Picks candidates."""
        index = torch.from_numpy(rows)
        moments = {name: moment[index] for name, moment in self.moments.items()}
        return Candidates(self.posts.take(rows), self.surface, moments)

    def facts(self) -> Facts:
        """(C, w) everything that the model reads about each candidate, the key first."""
        posts = self.posts
        media = posts.media_kind.astype(np.uint64) << np.uint64(32)
        columns = [
            posts.post_key,
            posts.author_key,
            posts.language_key,
            media | posts.duration_ms.view(np.uint32),
            *(moment.numpy().astype(np.uint64) for moment in self.moments.values()),
        ]
        return np.concatenate((np.stack(columns, axis=1), posts.topic_keys), axis=1)

    def shared_key(self, context: bytes) -> bytes:
        """What all candidates of the request share: the context and the surface."""
        return context + self.surface.to_bytes(8, "little", signed=True)

    def inputs(self, n_rows: int) -> CandidateInputs:
        """Inputs of one request (B = 1), filled up to `n_rows` with candidates of no age."""
        return CandidateInputs(
            post=torch.arange(n_rows)[None],
            surface=torch.full((1, n_rows), self.surface, dtype=torch.int64),
            **{name: _padded(moment, n_rows) for name, moment in self.moments.items()},
        )


@dataclass(frozen=True, slots=True)
class RankRequest:
    """One request to the ranker.

    Attributes:
        history: the viewer.
        candidates: what is to be scored, most important first.
        deadline: moment of `time.monotonic` after which nothing more is scored; None for none.
    """

    history: KnownHistory
    candidates: Candidates
    deadline: float | None

    @property
    def is_late(self) -> bool:
        """Whether the deadline has passed."""
        return self.deadline is not None and time.monotonic() >= self.deadline


def _padded(values: Tensor, length: int) -> Tensor:
    """(1, length) with zeros behind."""
    return functional.pad(values, (0, length - len(values)))[None]
