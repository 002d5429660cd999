"""Samples as tensors: the one place where training and evaluation meet the models' inputs."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from xfeed.actions import N_DISCRETE
from xfeed.phoenix.batch import PostColumns
from xfeed.phoenix.config import PhoenixConfig
from xfeed.phoenix.learning.examples import Examples, SampleArrays, Samples
from xfeed.phoenix.learning.tables import TrainingTables
from xfeed.phoenix.model.inputs import CandidateInputs, HistoryInputs, PostInputs
from xfeed.phoenix.model.moments import candidate_moments, history_moments

SORTED_TOGETHER = 16
"""Batches that are sorted by history length together: less padding, still well mixed."""

BITS = torch.arange(N_DISCRETE)


@dataclass(frozen=True, slots=True)
class Batch:
    """B samples, ready for a model.

    Attributes:
        posts: the distinct posts of histories and candidates.
        post_row: (U,) their rows in the data set.
        extra: (E,) places of the extra posts among them.
        viewer_key: (B,).
        history: viewers and histories.
        candidates: what to score.
        candidate_valid: (B, C).
        labels: (B, C, A) multi-hot.
        dwell_secs: (B, C).
    """

    posts: PostInputs
    post_row: Tensor
    extra: Tensor
    viewer_key: npt.NDArray[np.uint64]
    history: HistoryInputs
    candidates: CandidateInputs
    candidate_valid: Tensor
    labels: Tensor
    dwell_secs: Tensor


def multi_hot(bits: npt.NDArray[np.uint64]) -> Tensor:
    """Action bits (...) as floats (..., A)."""
    return (torch.from_numpy(bits.view(np.int64))[..., None] >> BITS & 1).float()


class Batcher:
    """Builds batches of one data set for one model.

    Args:
        config: sizes and switches.
        posts: every post.
        examples: the samples' source.
        tables: the model's tables.
    """

    def __init__(
        self, config: PhoenixConfig, posts: PostColumns, examples: Examples, tables: TrainingTables
    ) -> None:
        self.config = config
        self.posts = posts
        self.examples = examples
        self.tables = tables

    def order(
        self, samples: Samples, batch_size: int, rng: np.random.Generator | None
    ) -> Iterator[npt.NDArray[np.int64]]:
        """Sample rows batch by batch; without a generator in their own order, by length."""
        lengths = self.examples.history_len(samples, self.config.history_len)
        if rng is None:
            order = np.argsort(lengths, kind="stable")
        else:
            order = rng.permutation(len(samples))
            for start in range(0, len(order), SORTED_TOGETHER * batch_size):
                part = order[start : start + SORTED_TOGETHER * batch_size]
                part[...] = part[np.argsort(lengths[part], kind="stable")]
        starts = np.arange(0, len(order), batch_size)
        turns: list[int] = (starts if rng is None else rng.permutation(starts)).tolist()
        for start in turns:
            yield order[start : start + batch_size]

    def batch(
        self,
        samples: Samples,
        *,
        training: bool = False,
        dropout: float = 0.0,
        generator: torch.Generator | None = None,
        extra: npt.NDArray[np.int32] | None = None,
    ) -> Batch:
        """Looks everything up for some samples.

        Args:
            samples: B samples.
            training: whether a step of the tables follows.
            dropout: share of posts and viewers whose id rows are blanked.
            generator: source of randomness for `dropout`.
            extra: (E,) rows of further posts to look up, or None.
        """
        arrays = self.examples.assemble(samples, self.config.history_len)
        rows = self.examples.interactions
        B, S = arrays.history_row.shape
        n_places = B * (S + arrays.candidate_row.shape[1])
        wanted = np.concatenate((arrays.history_row, arrays.candidate_row), axis=1)
        post_rows = rows.post_row[wanted].reshape(-1)
        if extra is not None:
            post_rows = np.concatenate((post_rows, extra))
        distinct, inverse = np.unique(post_rows, return_inverse=True)
        place = torch.from_numpy(inverse[:n_places].reshape(B, -1))
        blank_posts = blank_viewers = None
        if dropout:
            blank_posts = torch.rand(len(distinct), generator=generator) < dropout
            blank_viewers = torch.rand(B, generator=generator) < dropout
        post_row = torch.from_numpy(distinct.astype(np.int64))
        return Batch(
            posts=self.tables.posts(post_row, training=training, blank=blank_posts),
            post_row=post_row,
            extra=torch.from_numpy(inverse[n_places:]),
            viewer_key=arrays.viewer_key,
            history=HistoryInputs(
                user_rows=self.tables.viewers(
                    arrays.viewer_key, training=training, blank=blank_viewers
                ),
                user_valid=torch.ones(B, dtype=torch.bool),
                post=place[:, :S],
                valid=torch.from_numpy(arrays.history_valid),
                actions=multi_hot(arrays.history_actions),
                surface=torch.from_numpy(rows.surface[arrays.history_row].astype(np.int64)),
                dwell_secs=torch.from_numpy(arrays.history_dwell),
                **self._moments(arrays.history_row),
            ),
            candidates=self._candidates(place[:, S:], arrays),
            candidate_valid=torch.from_numpy(arrays.candidate_valid),
            labels=multi_hot(self.examples.label_actions[arrays.candidate_row]),
            dwell_secs=torch.from_numpy(self.examples.label_dwell[arrays.candidate_row]),
        )

    def _candidates(self, place: Tensor, arrays: SampleArrays) -> CandidateInputs:
        """Candidates at the time at which each was shown."""
        rows = self.examples.interactions
        candidate = arrays.candidate_row
        shown_ms = rows.at_ms[candidate]
        created_ms = self.posts.created_ms[rows.post_row[candidate]]
        return CandidateInputs(
            post=place,
            surface=torch.from_numpy(rows.surface[candidate].astype(np.int64)),
            **candidate_moments(self.config, shown_ms, created_ms),
        )

    def _moments(self, interaction_rows: npt.NDArray[np.int64]) -> dict[str, Any]:
        """When posts of the history were shown; nothing for models that do not read it."""
        rows = self.examples.interactions
        created_ms = self.posts.created_ms[rows.post_row[interaction_rows]]
        return history_moments(self.config, rows.at_ms[interaction_rows], created_ms)
