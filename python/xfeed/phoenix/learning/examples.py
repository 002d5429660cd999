"""Interactions in, training samples out, without looking into the future.

A sample is one viewer at one moment: the moment is the time of its first candidate, its history
is what the viewer had seen and done strictly before, as far as it was known then, and its
candidates are the viewer's next C impressions. The newest share of the impressions is held out
by time; a label that became known only after the cut-off does not exist for training.

Everything is vectorised over rows; samples are (first, count) pairs into the list of
impressions, so another epoch can cut them elsewhere at no cost.
"""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from xfeed.errors import ConfigError
from xfeed.phoenix.batch import InteractionColumns
from xfeed.phoenix.features import derived_actions, known_at

Ints = npt.NDArray[np.int64]

END_OF_TIME: Final = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class Samples:
    """M samples as stretches of a list of impressions.

    Attributes:
        impressions: (I,) interaction rows, by viewer and time.
        first: (M,) place of the first candidate in `impressions`.
        count: (M,) number of candidates; they follow each other and belong to one viewer.
    """

    impressions: Ints
    first: Ints
    count: Ints

    def __len__(self) -> int:
        return len(self.first)

    def take(self, rows: Ints) -> Self:
        """Picks samples."""
        return type(self)(self.impressions, self.first[rows], self.count[rows])


@dataclass(frozen=True, slots=True)
class SampleArrays:
    """B samples, spelled out.

    Attributes:
        viewer_key: (B,).
        moment_ms: (B,) time of the first candidate.
        history_row: (B, S) interaction rows, oldest first; 0 where invalid.
        history_valid: (B, S) valid entries first.
        history_actions: (B, S) action bits known at the moment.
        history_dwell: (B, S) seconds known at the moment.
        candidate_row: (B, C) interaction rows; 0 where invalid.
        candidate_valid: (B, C).
    """

    viewer_key: npt.NDArray[np.uint64]
    moment_ms: Ints
    history_row: Ints
    history_valid: npt.NDArray[np.bool_]
    history_actions: npt.NDArray[np.uint64]
    history_dwell: npt.NDArray[np.float32]
    candidate_row: Ints
    candidate_valid: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Examples:
    """Interactions, split by time, with the indices that samples need.

    Attributes:
        interactions: rows with a known post only.
        cutoff_ms: impressions from here on are held out.
        viewer_start: (n,) first row of the row's viewer.
        tie_start: (n,) first row with the row's viewer and time.
        training: impressions before the cut-off.
        held_out: impressions from the cut-off on.
        label_actions: (n,) action bits, for training rows as known at the cut-off.
        label_dwell: (n,) seconds, likewise.
    """

    interactions: InteractionColumns
    cutoff_ms: int
    viewer_start: Ints
    tie_start: Ints
    training: Ints
    held_out: Ints
    label_actions: npt.NDArray[np.uint64]
    label_dwell: npt.NDArray[np.float32]

    @classmethod
    def split(cls, interactions: InteractionColumns, held_out_fraction: float) -> Self:
        """Splits by time and prepares the indices.

        Args:
            interactions: sorted rows; rows of unknown posts are left out.
            held_out_fraction: share of the newest impressions to hold out.

        Raises:
            ConfigError: no impression is left to train on.
        """
        rows = interactions.take(interactions.post_row >= 0)
        impressions = np.flatnonzero(rows.is_impression)
        cutoff = _cutoff(rows.at_ms[impressions], held_out_fraction)
        is_training = rows.at_ms < cutoff
        training = impressions[is_training[impressions]]
        if not len(training):
            raise ConfigError(
                f"none of `{len(impressions)}` impressions of known posts is left to train on",
                code="no_training_data",
                hint="ingest impressions first, or hold out less",
            )
        known_actions, known_dwell = known_at(
            np.full(len(rows), cutoff), rows.at_ms, rows.actions, rows.dwell_secs,
            rows.acted_ms, rows.is_impression,
        )  # fmt: skip
        final = derived_actions(rows.actions, rows.dwell_secs, rows.is_impression)
        return cls(
            interactions=rows,
            cutoff_ms=cutoff,
            viewer_start=_run_starts(rows.viewer_key),
            tie_start=_run_starts(rows.viewer_key, rows.at_ms),
            training=training,
            held_out=impressions[~is_training[impressions]],
            label_actions=np.where(is_training, known_actions, final),
            label_dwell=np.where(is_training, known_dwell, rows.dwell_secs),
        )

    def training_samples(self, n_candidates: int, rng: np.random.Generator) -> Samples:
        """Cuts the training impressions into samples of at most `n_candidates`.

        Each viewer's cuts start at a random place, so that over the epochs every impression is
        once the first of its sample and once the last.
        """
        viewer_start = _run_starts(self.interactions.viewer_key[self.training])
        is_first = viewer_start == np.arange(len(viewer_start))
        shift = rng.integers(0, n_candidates, size=int(is_first.sum()))
        shift = shift[np.cumsum(is_first) - 1]
        part = (np.arange(len(viewer_start)) - viewer_start + shift) // n_candidates
        first = np.flatnonzero(np.diff(part, prepend=-1).astype(bool) | is_first)
        return Samples(self.training, first, np.diff(first, append=len(self.training)))

    def held_out_samples(self, limit: int) -> Samples:
        """One sample per held-out impression, as when serving; at most `limit`, evenly spaced."""
        first = np.arange(len(self.held_out))
        if len(first) > limit:
            first = np.linspace(0, len(first) - 1, limit).round().astype(np.int64)
        return Samples(self.held_out, first, np.ones(len(first), dtype=np.int64))

    def history_len(self, samples: Samples, limit: int) -> Ints:
        """(M,) number of history entries of each sample, at most `limit`."""
        rows = samples.impressions[samples.first]
        lengths: Ints = np.minimum(self.tie_start[rows] - self.viewer_start[rows], limit)
        return lengths

    def assemble(self, samples: Samples, history_len: int) -> SampleArrays:
        """Spells samples out; arrays are as wide as the longest history and sample need.

        Args:
            samples: B samples.
            history_len: most entries of a history; the newest are kept.
        """
        rows = self.interactions
        first_row = samples.impressions[samples.first]
        end = self.tie_start[first_row]
        length = self.history_len(samples, history_len)
        slots = np.arange(max(int(length.max(initial=0)), 1))
        valid = slots < length[:, None]
        history = np.where(valid, (end - length)[:, None] + slots, 0)
        moment = rows.at_ms[first_row]
        actions, dwell = known_at(
            moment[:, None], rows.at_ms[history], rows.actions[history],
            rows.dwell_secs[history], rows.acted_ms[history], rows.is_impression[history],
        )  # fmt: skip
        places = np.arange(int(samples.count.max(initial=1)))
        candidate_valid = places < samples.count[:, None]
        place = np.where(candidate_valid, samples.first[:, None] + places, samples.first[:, None])
        return SampleArrays(
            viewer_key=rows.viewer_key[first_row],
            moment_ms=moment,
            history_row=history,
            history_valid=valid,
            history_actions=np.where(valid, actions, np.uint64(0)),
            history_dwell=np.where(valid, dwell, np.float32(0)),
            candidate_row=samples.impressions[place],
            candidate_valid=candidate_valid,
        )


def _cutoff(times: Ints, held_out_fraction: float) -> int:
    """Time from which on impressions are held out; the end of time if none are."""
    n_held_out = round(len(times) * held_out_fraction)
    if n_held_out == 0:
        return int(END_OF_TIME)
    return int(np.partition(times, len(times) - n_held_out)[len(times) - n_held_out])


def _run_starts(*keys: npt.NDArray[np.generic]) -> Ints:
    """For each row, the first row of its run of equal keys."""
    n_rows = len(keys[0])
    starts = np.ones(n_rows, dtype=bool)
    if n_rows:
        starts[1:] = np.logical_or.reduce([key[1:] != key[:-1] for key in keys])
    return np.maximum.accumulate(np.where(starts, np.arange(n_rows), 0))
