"""Seeded draws and clock-like ids for the synthetic community.

Every part of the community draws from its own stream, so that a change in one part leaves the
others alone. Floats meet the events only through comparisons and rounding: a last bit that differs
between two processors cannot show in the output short of a coincidence of about one in a million.
"""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from xfeed.data.config import POST_ID_EPOCH_MS

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

_BISECTIONS: Final = 40


def stream(seed: int, part: int) -> np.random.Generator:
    """Returns the random stream of one part of the community."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(part,))))


def pick(rng: np.random.Generator, weights: Floats, size: int) -> Ints:
    """Draws positions with replacement.

    Args:
        rng: where the randomness comes from.
        weights: one weight of at least 0 per position; their sum must be above 0.
        size: how many to draw.

    Returns:
        `size` positions.
    """
    cumulative = np.cumsum(weights)
    drawn = np.searchsorted(cumulative, rng.random(size) * cumulative[-1], side="right")
    inside: Ints = np.minimum(drawn, weights.size - 1).astype(np.int64)
    return inside


@dataclass(frozen=True)
class GroupedPicker:
    """Draws members of given groups by weight, for many groups in one call.

    Attributes:
        order: members, group by group.
        cumulative: running sum of the weights in that order, with a leading 0.
        starts: where each group starts in `order`; one more entry closes the last group.
    """

    order: Ints
    cumulative: Floats
    starts: Ints

    @classmethod
    def build(cls, members: Ints, groups: Ints, weights: Floats, n_groups: int) -> Self:
        """Prepares the draw of `members[i]`, which is in `groups[i]` with `weights[i]`."""
        order = np.argsort(groups, kind="stable")
        cumulative = np.concatenate(([0.0], np.cumsum(weights[order])))
        starts = np.searchsorted(groups[order], np.arange(n_groups + 1)).astype(np.int64)
        return cls(members[order], cumulative, starts)

    def pick(self, rng: np.random.Generator, groups: Ints) -> Ints:
        """Draws one member per wanted group.

        Args:
            rng: where the randomness comes from.
            groups: the wanted groups.

        Returns:
            The members; -1 where the group is empty.
        """
        first, end = self.starts[groups], self.starts[groups + 1]
        low, high = self.cumulative[first], self.cumulative[end]
        value = low + rng.random(groups.size) * (high - low)
        place = np.searchsorted(self.cumulative, value, side="right") - 1
        place = np.clip(place, first, np.maximum(end - 1, first))
        if self.order.size == 0:
            return np.full(groups.size, -1, np.int64)
        member = self.order[np.minimum(place, self.order.size - 1)]
        return np.where(end > first, member, -1)


def happens(rng: np.random.Generator, probability: Floats) -> Bools:
    """Decides for each row whether it happens, by systematic sampling in random order.

    Each row happens with its own probability, and the number of rows that happen is the sum of the
    probabilities to within one. Rare actions keep their calibrated rate even in a small community.

    Args:
        rng: where the randomness comes from.
        probability: one probability per row.

    Returns:
        One bool per row.
    """
    order = rng.permutation(probability.size)
    steps = np.concatenate(([0.0], np.cumsum(probability[order]))) + rng.random()
    result = np.zeros(probability.size, np.bool_)
    result[order] = np.diff(np.floor(steps)) > 0
    return result


def sigmoid(logit: Floats) -> Floats:
    """Returns 1 / (1 + exp(-logit))."""
    return 1.0 / (1.0 + np.exp(-logit))


def calibrated(logit: Floats, rate: float) -> Floats:
    """Shifts logits until their mean probability is `rate`.

    Args:
        logit: one logit per row.
        rate: the wanted mean, between 0 and 1.

    Returns:
        One probability per row; empty for no rows.
    """
    if logit.size == 0 or rate <= 0.0:
        return np.zeros(logit.size)
    low, high = -40.0, 40.0
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2.0
        if float(sigmoid(logit + middle).mean()) < rate:
            low = middle
        else:
            high = middle
    return sigmoid(logit + (low + high) / 2.0)


def clock_ids(at_ms: Ints, lane: int) -> npt.NDArray[np.uint64]:
    """Makes unique ids that carry their time, in the way of X's post ids.

    Args:
        at_ms: times in rising order, at most 1,024 of them equal.
        lane: 0 to 3, keeps several kinds of ids apart.

    Returns:
        Milliseconds since the ids' epoch times 2^22, plus the lane, plus a counter, as uint64.
    """
    clock = (at_ms - POST_ID_EPOCH_MS).astype(np.uint64) << np.uint64(22)
    counter = np.arange(at_ms.size, dtype=np.uint64) % np.uint64(1_024)
    return clock + np.uint64(lane * 4_096) + counter
