"""What the viewers of the synthetic community were shown, by a simulated logging policy.

The policy mixes the newest posts of followed authors, popular posts, posts by taste and random
ones. Nothing in it knows what a viewer will do, so that the posts left alone are real negatives.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from xfeed.data.config import HOUR_MS, SETTLE_MS, CommunityConfig
from xfeed.data.people import N_TOPICS, People, waking_times
from xfeed.data.posts import BURST, REPOST, Posts
from xfeed.data.relations import Relations
from xfeed.data.sampling import Bools, Floats, GroupedPicker, Ints, clock_ids, pick, stream

PREVIEW, FEED, TOPIC_PAGE = 0, 1, 4
"""Surfaces, numbered as the busiest three of KuaiRand-Pure."""

SURFACE_SHARE: Final = {PREVIEW: 0.12, FEED: 0.76, TOPIC_PAGE: 0.12}

_FOLLOWED, _POPULAR, _BY_TASTE, _RANDOM = range(4)
_POLICY: Final = {
    PREVIEW: (0.10, 0.60, 0.25, 0.05),
    FEED: (0.35, 0.25, 0.30, 0.10),
    TOPIC_PAGE: (0.05, 0.15, 0.75, 0.05),
}
_SLOTS_PER_HOUR: Final = 3
_SLOT_MS: Final = HOUR_MS // _SLOTS_PER_HOUR
_QUIET_HOURS: Final = 3
_MAX_AGE_MS: Final = 48 * HOUR_MS
_MEAN_LEN: Final = 8.0
_SURPLUS: Final = 1.6
_BURST_VISITS: Final = 0.05
_BURST_LIFT: Final = 6.0


@dataclass(frozen=True)
class Impressions:
    """Every impression, one array position each, in order of time.

    Attributes:
        viewer: position of the viewer among the people.
        post: position of the post.
        at_ms: when it was seen.
        surface: where it was seen.
        request_id: the answer that showed it, as uint64.
    """

    viewer: Ints
    post: Ints
    at_ms: Ints
    surface: Ints
    request_id: npt.NDArray[np.uint64]

    def __len__(self) -> int:
        return self.viewer.size

    def select(self, rows: Ints | Bools) -> "Impressions":
        """Keeps some rows."""
        return Impressions(
            self.viewer[rows],
            self.post[rows],
            self.at_ms[rows],
            self.surface[rows],
            self.request_id[rows],
        )


def _visits(
    rng: np.random.Generator, config: CommunityConfig, people: People, n_visits: int
) -> tuple[Ints, Ints]:
    """Draws who opens the feed when; in the burst its fans come more often."""
    n_burst = int(n_visits * _BURST_VISITS)
    usual = pick(rng, people.activity, n_visits - n_burst)
    fans = pick(rng, people.activity * people.taste[:, BURST], n_burst)
    span = config.burst_end_ms - config.burst_start_ms
    fan_ms = config.burst_start_ms + (span * rng.random(n_burst)).astype(np.int64)
    viewer = np.concatenate((usual, fans))
    at_ms = np.concatenate((waking_times(rng, config, people, usual), fan_ms))
    first_ms = config.start_ms + _QUIET_HOURS * HOUR_MS
    kept = (at_ms >= first_ms) & (at_ms < config.end_ms - 2 * SETTLE_MS)
    viewer, at_ms = viewer[kept], at_ms[kept]
    order = np.argsort(at_ms, kind="stable")
    return viewer[order], at_ms[order]


class _Shelf:
    """The posts that can be shown in one slot of time, ready for every part of the policy."""

    def __init__(
        self, config: CommunityConfig, people: People, posts: Posts, slot_ms: int, by_author: Ints
    ) -> None:
        self.people = people
        self.posts = posts
        end = int(np.searchsorted(posts.at_ms, slot_ms))
        old = int(np.searchsorted(posts.at_ms, slot_ms - _MAX_AGE_MS))
        rows = np.arange(old, end)
        rows = rows[(posts.kind[rows] != REPOST) & (posts.deleted_at_ms[rows] > slot_ms)]
        age_hours = (slot_ms - posts.at_ms[rows]) / HOUR_MS
        lift = np.ones(rows.size)
        if config.burst_start_ms < slot_ms <= config.burst_end_ms + HOUR_MS:
            lift[posts.topics[rows, 0] == BURST] = _BURST_LIFT
        self.rows = rows
        self.popular: Floats = posts.attention[rows] * np.exp(-age_hours / 9.0) * lift
        fresh = (0.3 + posts.quality[rows]) * np.exp(-age_hours / 14.0) * lift
        self.by_topic = GroupedPicker.build(rows, posts.topics[rows, 0], fresh, N_TOPICS)
        self.by_author = by_author
        size = len(people)
        self.author_start = np.searchsorted(posts.author[by_author], np.arange(size))
        self.author_len = np.bincount(posts.author[:end], minlength=size)

    def newest(self, rng: np.random.Generator, authors: Ints) -> Ints:
        """Returns one of each author's newest posts, most often the newest; -1 for none."""
        back = rng.geometric(0.6, authors.size)
        place = self.author_len[authors] - back
        row = self.by_author[np.maximum(self.author_start[authors] + place, 0)]
        original = np.where(self.posts.kind[row] == REPOST, self.posts.target[row], row)
        return np.where((authors >= 0) & (place >= 0), original, -1)

    def followed(self, rng: np.random.Generator, relations: Relations, viewers: Ints) -> Ints:
        """Returns the newest of a few posts by authors whom the viewers follow; -1 for none."""
        follows = relations.follows
        start = np.searchsorted(follows.source, viewers)
        count = np.searchsorted(follows.source, viewers, side="right") - start
        best = np.full(viewers.size, -1, np.int64)
        for _ in range(4):
            place = start + (rng.random(viewers.size) * count).astype(np.int64)
            author = follows.target[np.minimum(place, len(follows) - 1)]
            best = np.maximum(best, np.where(count > 0, self.newest(rng, author), -1))
        return best

    def by_taste(self, rng: np.random.Generator, viewers: Ints) -> Ints:
        """Returns a fresh post of a topic that each viewer likes; -1 for none."""
        cumulative = self.people.taste[viewers].cumsum(axis=1)
        topic = (rng.random((viewers.size, 1)) > cumulative).sum(axis=1)
        return self.by_topic.pick(rng, np.minimum(topic, N_TOPICS - 1))

    def in_language(self, viewers: Ints, first: Ints, second: Ints) -> Ints:
        """Returns the second draw where only that one is in the viewer's language."""
        spoken = self.people.language[viewers]
        strange = self.posts.language[first] != spoken
        better = strange & (second >= 0) & (self.posts.language[second] == spoken)
        return np.where(better, second, first)


def _fill_slot(
    rng: np.random.Generator, shelf: _Shelf, relations: Relations, viewers: Ints, how: Ints
) -> Ints:
    """Chooses one post per impression of a slot."""
    size = viewers.size
    popular = shelf.in_language(
        viewers,
        shelf.rows[pick(rng, shelf.popular, size)],
        shelf.rows[pick(rng, shelf.popular, size)],
    )
    taste = shelf.in_language(viewers, shelf.by_taste(rng, viewers), shelf.by_taste(rng, viewers))
    followed = shelf.followed(rng, relations, viewers)
    anything = shelf.rows[rng.integers(0, shelf.rows.size, size)]
    drawn = np.choose(how, (followed, popular, taste, anything))
    return np.where(drawn >= 0, drawn, popular)


def _visible(people: People, posts: Posts, relations: Relations, shown: Impressions) -> Bools:
    """Returns which impressions are possible: the post is there and the viewer may see it."""
    author = posts.author[shown.post]
    follows = relations.follows.holds(shown.viewer, author, shown.at_ms)
    result: Bools = (
        (author != shown.viewer)
        & (posts.at_ms[shown.post] < shown.at_ms)
        & (posts.deleted_at_ms[shown.post] > shown.at_ms + SETTLE_MS)
        & (follows | ~people.protected[author])
        & ~relations.apart(shown.viewer, author, shown.at_ms)
    )
    return result


def make_impressions(
    config: CommunityConfig, people: People, posts: Posts, relations: Relations
) -> Impressions:
    """Draws what everybody was shown.

    Args:
        config: seed, size and window.
        people: the viewers.
        posts: what can be shown; reposts are shown as the post they repeat.
        relations: follows for the policy, blocks and mutes to respect.

    Returns:
        At most `config.n_impressions` impressions in order of time; no viewer sees a post twice.
    """
    rng = stream(config.seed, 5)
    wanted = int(config.n_impressions * _SURPLUS)
    visitor, visit_ms = _visits(rng, config, people, int(wanted / _MEAN_LEN) + 1)
    length = rng.integers(3, int(2 * _MEAN_LEN) - 2, visitor.size)
    visit = np.repeat(np.arange(visitor.size), length)
    position = np.arange(visit.size) - np.repeat(np.cumsum(length) - length, length)
    pace_ms = rng.integers(2_000, 9_000, visit.size)
    surfaces = np.array(list(SURFACE_SHARE))
    surface_of_visit = surfaces[pick(rng, np.array(list(SURFACE_SHARE.values())), visitor.size)]
    viewer, surface = visitor[visit], surface_of_visit[visit]
    how = np.zeros(visit.size, np.int64)
    for where, shares in _POLICY.items():
        here = np.flatnonzero(surface == where)
        how[here] = pick(rng, np.array(shares), here.size)
    post = np.zeros(visit.size, np.int64)
    by_author = np.lexsort((posts.at_ms, posts.author))
    slot = (visit_ms[visit] - config.start_ms) // _SLOT_MS
    bounds = np.searchsorted(slot, np.arange(config.hours * _SLOTS_PER_HOUR + 1))
    for number in np.unique(slot).tolist():
        rows = np.arange(bounds[number], bounds[number + 1])
        shelf = _Shelf(config, people, posts, config.start_ms + number * _SLOT_MS, by_author)
        if shelf.rows.size:
            post[rows] = _fill_slot(rng, shelf, relations, viewer[rows], how[rows])
    request_id = clock_ids(visit_ms, 1)[visit]
    shown = Impressions(viewer, post, visit_ms[visit] + position * pace_ms, surface, request_id)
    shown = shown.select(_visible(people, posts, relations, shown))
    shown = shown.select(np.lexsort((shown.request_id, shown.at_ms)))
    _, first = np.unique(shown.viewer * len(posts) + shown.post, return_index=True)
    kept = rng.permutation(np.sort(first))[: config.n_impressions]
    return shown.select(np.sort(kept))
