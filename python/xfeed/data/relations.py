"""Who follows, blocks and mutes whom in the synthetic community.

Follows grow by shared topics, language and popularity. Their out-degrees are log-normal with the
shape of two measured sets (90th percentile 5 to 7 times the median, 99th 27 to 33 times), scaled
to the size; 15 to 27 % have a follow in the other direction. Blocks and mutes are rare, one-way and
concentrated: few people use them, and they meet mostly authors whom few like.
"""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from xfeed.data.config import NEVER_MS, SETTLE_MS, CommunityConfig
from xfeed.data.people import N_TOPICS, People
from xfeed.data.sampling import Bools, Floats, GroupedPicker, Ints, pick, stream

_MEDIAN_FOLLOWS: Final = 7.0
_FOLLOWS_WIDTH: Final = 1.3
_FOLLOW_BACK: Final = 0.16
_FOLLOWED_LATE: Final = 0.05
_UNFOLLOWED: Final = 0.01


@dataclass(frozen=True)
class Edges:
    """Directed relations between people, sorted by source and target, each pair once.

    Attributes:
        n_people: how many people there are.
        source: who relates.
        target: to whom.
        at_ms: since when.
        until_ms: until when; `NEVER_MS` for no end.
    """

    n_people: int
    source: Ints
    target: Ints
    at_ms: Ints
    until_ms: Ints

    @classmethod
    def build(cls, n_people: int, source: Ints, target: Ints, at_ms: Ints) -> Self:
        """Sorts relations, drops those to oneself and keeps the first of equal pairs."""
        rows = np.flatnonzero(source != target)
        _, first = np.unique(source[rows] * n_people + target[rows], return_index=True)
        rows = rows[first]
        until_ms = np.full(rows.size, NEVER_MS)
        return cls(n_people, source[rows], target[rows], at_ms[rows], until_ms)

    def __len__(self) -> int:
        return self.source.size

    def select(self, mask: Bools) -> "Edges":
        """Keeps the relations where `mask` is true."""
        columns = (self.source, self.target, self.at_ms, self.until_ms)
        return Edges(self.n_people, *(column[mask] for column in columns))

    def find(self, source: Ints, target: Ints) -> Ints:
        """Returns the position of each pair, or -1."""
        if len(self) == 0:
            return np.full(source.size, -1, np.int64)
        keys = self.source * self.n_people + self.target
        wanted = source * self.n_people + target
        place = np.minimum(np.searchsorted(keys, wanted), keys.size - 1)
        return np.where(keys[place] == wanted, place, -1)

    def holds(self, source: Ints, target: Ints, at_ms: Ints) -> Bools:
        """Returns whether each pair is related at that time."""
        place = self.find(source, target)
        known = place >= 0
        since = np.where(known, self.at_ms[place], NEVER_MS) if len(self) else NEVER_MS
        until = np.where(known, self.until_ms[place], 0) if len(self) else 0
        result: Bools = (since <= at_ms) & (at_ms < until)
        return result


@dataclass(frozen=True)
class Relations:
    """All relations of the community.

    Attributes:
        follows: with an end where somebody unfollowed.
        blocks: never lifted.
        mutes: never lifted.
    """

    follows: Edges
    blocks: Edges
    mutes: Edges

    def apart(self, viewers: Ints, authors: Ints, at_ms: Ints) -> Bools:
        """Returns whether a viewer must not meet an author: blocked either way, or muted.

        What starts within `SETTLE_MS` of the time counts already, so that an impression's late
        actions cannot come after a block.
        """
        until = at_ms + SETTLE_MS
        result: Bools = (
            self.blocks.holds(viewers, authors, until)
            | self.blocks.holds(authors, viewers, until)
            | self.mutes.holds(viewers, authors, until)
        )
        return result


def reciprocal_share(follows: Edges) -> float:
    """Returns the share of follows that have a follow in the other direction."""
    return float((follows.find(follows.target, follows.source) >= 0).mean())


def _first_of_each(source: Ints, limit: Ints) -> Bools:
    """Marks the first `limit[s]` rows of each source `s`; rows are grouped by source."""
    start = np.searchsorted(source, source)
    result: Bools = np.arange(source.size) - start < limit[source]
    return result


def _wanted_follows(rng: np.random.Generator, people: People) -> tuple[Ints, Ints]:
    """Draws who follows whom, with out-degrees near a log-normal."""
    size = len(people)
    wish = _MEDIAN_FOLLOWS * np.exp(rng.normal(0.0, _FOLLOWS_WIDTH, size))
    degree: Ints = np.clip(wish, 1, size / 6).astype(np.int64)
    # Some draws are lost to other languages, repetitions and oneself.
    source = np.repeat(np.arange(size), degree * 2 + 2)
    by_topic = GroupedPicker.build(np.arange(size), people.favourite, people.popularity, N_TOPICS)
    cumulative = people.taste.cumsum(axis=1)
    topic = (rng.random((source.size, 1)) > cumulative[source]).sum(axis=1)
    target = by_topic.pick(rng, np.minimum(topic, N_TOPICS - 1))
    how = rng.random(source.size)
    target = np.where(how < 0.65, target, pick(rng, people.popularity, source.size))
    target = np.where(how < 0.92, target, rng.integers(0, size, source.size))
    foreign = people.language[source] != people.language[target]
    good = (target >= 0) & (target != source) & (~foreign | (rng.random(source.size) < 0.3))
    source, target = source[good], target[good]
    _, first = np.unique(source * size + target, return_index=True)
    first.sort()
    source, target = source[first], target[first]
    kept = _first_of_each(source, degree)
    return source[kept], target[kept]


def _make_follows(config: CommunityConfig, people: People) -> Edges:
    rng = stream(config.seed, 2)
    size = len(people)
    source, target = _wanted_follows(rng, people)
    followers = np.bincount(target, minlength=size)
    back = rng.random(source.size) < _FOLLOW_BACK / (1.0 + followers[target] / 120.0)
    source, target = (
        np.concatenate((source, target[back])),
        np.concatenate((target, source[back])),
    )
    known_since = np.maximum(people.created_at_ms[source], people.created_at_ms[target])
    early = known_since + (rng.random(source.size) * (config.start_ms - known_since))
    late = config.start_ms + rng.random(source.size) * (config.end_ms - config.start_ms)
    at_ms = np.where(rng.random(source.size) < _FOLLOWED_LATE, late, early).astype(np.int64)
    follows = Edges.build(size, source, target, at_ms)
    ends = (rng.random(len(follows)) < _UNFOLLOWED) & (follows.at_ms < config.start_ms)
    end_ms = config.start_ms + rng.random(len(follows)) * (config.end_ms - config.start_ms)
    follows.until_ms[ends] = end_ms[ends].astype(np.int64)
    return follows


def _make_dislikes(
    rng: np.random.Generator,
    config: CommunityConfig,
    people: People,
    follows: Edges,
    share_of_people: float,
    mean_count: float,
) -> Edges:
    """Draws one-way relations that few people start and that meet unloved authors."""
    size = len(people)
    who = np.flatnonzero(rng.random(size) < share_of_people)
    source = np.repeat(who, np.minimum(rng.geometric(1.0 / mean_count, who.size), 60))
    weight: Floats = people.posting * (1.0 - people.quality) ** 3
    target = pick(rng, weight, source.size)
    span = config.end_ms - config.start_ms
    # A third comes before the window, the rest all through it.
    at_ms = (config.start_ms + span * (1.5 * rng.random(source.size) - 0.5)).astype(np.int64)
    edges = Edges.build(size, source, target, at_ms)
    one_way = edges.find(edges.target, edges.source) < 0
    strangers = follows.find(edges.source, edges.target) < 0
    strangers &= follows.find(edges.target, edges.source) < 0
    return edges.select(one_way & strangers)


def make_relations(config: CommunityConfig, people: People) -> Relations:
    """Draws follows, blocks and mutes.

    Args:
        config: seed and window.
        people: who relates to each other.

    Returns:
        Relations without any to oneself; nobody blocks or mutes those
        they follow or are followed by.
    """
    follows = _make_follows(config, people)
    rng = stream(config.seed, 3)
    blocks = _make_dislikes(rng, config, people, follows, 0.03, 3.0)
    mutes = _make_dislikes(rng, config, people, follows, 0.05, 5.0)
    return Relations(follows, blocks, mutes)
