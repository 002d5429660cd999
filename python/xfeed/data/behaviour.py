"""What the viewers of the synthetic community did with what they saw.

A viewer's interest in a post is a sum of how well the topics suit, the author's and the post's
quality, whether the viewer follows the author, freshness, language, hour and the viewer's habit.
Each action turns interest into a probability whose mean is calibrated to the rates measured on
KuaiRand-Pure (distinct rows, per 1,000 impressions): click 449.6, long view 316.9, profile 18.9,
comment 2.58, follow 1.30, forward 0.87, hate 0.84. Likes are raised from 17.4 to 40, because a
community of texts likes more than a video application. A long view is a `video_quality_view` on a
video and a dwell of at least ten seconds on everything else. Rates that the set does not have
(bookmarks, reposts, links, photos, mutes, blocks, reports) are guesses of a usual size.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from xfeed.actions import DWELLED_AT_SECS, INDEX
from xfeed.data.config import HOUR_MS, CommunityConfig
from xfeed.data.impressions import FEED, PREVIEW, SURFACE_SHARE, TOPIC_PAGE, Impressions
from xfeed.data.people import People, local_hour
from xfeed.data.posts import PHOTO, QUOTE, VIDEO, Posts
from xfeed.data.relations import Relations
from xfeed.data.sampling import Bools, Floats, Ints, calibrated, happens, stream

CLICK_PER_1000: Final = 449.6
LONG_VIEW_PER_1000: Final = 316.9
LIKE_PER_1000: Final = 40.0
_CLICK_BY_SURFACE: Final = {FEED: 0.494, PREVIEW: 0.086, TOPIC_PAGE: 0.596}
_LONG_GIVEN_CLICK: Final = 0.702

_DWELL_RANKS: Final = (0.101, 0.25, 0.5, 1.0 - LONG_VIEW_PER_1000 / 1_000, 0.75, 0.9, 0.99, 1.0)
_DWELL_SECONDS: Final = (0.25, 1.552, 4.802, DWELLED_AT_SECS, 22.424, 63.517, 210.445, 600.0)
# Percentiles of the play time, plus one knot that makes "long" and "ten seconds" the same thing.


class Habit(NamedTuple):
    """How one action follows from interest.

    Attributes:
        action: name in the action table.
        per_1000: mean count per 1,000 impressions of the posts that `on` allows.
        from_clicks: share of it that happens on clicked posts.
        interest: weight of the interest; negative for actions against the post.
        followed: added when the viewer follows the author.
        on: which posts allow it.
    """

    action: str
    per_1000: float
    from_clicks: float
    interest: float
    followed: float
    on: str = "any"


HABITS: Final = (
    Habit("favorite", LIKE_PER_1000, 0.822, 0.9, 0.4),
    Habit("reply", 2.58, 0.976, 0.7, 0.9),
    Habit("repost", 5.0, 0.9, 0.8, 0.5),
    Habit("quote", 0.8, 0.9, 0.7, 0.3),
    Habit("profile_click", 18.9, 0.928, 0.6, -0.6),
    Habit("follow_author", 1.30, 0.865, 1.0, 0.0, "stranger"),
    Habit("share", 0.87, 0.93, 0.8, 0.0),
    Habit("bookmark", 6.0, 0.9, 0.9, 0.0),
    Habit("photo_expand", 90.0, 0.9, 0.5, 0.0, "photo"),
    Habit("video_open", 140.0, 0.9, 0.5, 0.0, "video"),
    Habit("open_link", 60.0, 0.95, 0.6, 0.0, "linked"),
    Habit("quoted_click", 50.0, 0.9, 0.4, 0.0, "quote"),
    Habit("not_interested", 0.84, 0.43, -1.0, -0.5),
    Habit("mute_author", 0.15, 0.3, -1.2, 0.0, "stranger"),
    Habit("block_author", 0.12, 0.3, -1.5, 0.0, "stranger"),
    Habit("report", 0.10, 0.3, -1.5, -1.0),
)
_DM_SHARE: Final = 0.5
_ENDS_IT: Final = frozenset({"not_interested", "mute_author", "block_author", "report"})
# At most one of these per viewer and author.
ON_AUTHOR: Final = ("follow_author", "mute_author", "block_author")


@dataclass(frozen=True)
class Actions:
    """Every action, one array position each, in order of time.

    Attributes:
        impression: position of the impression.
        action: position in `xfeed.actions.ACTIONS`.
        at_ms: when.
        seconds: of a `dwell_time`; 0 for the others.
    """

    impression: Ints
    action: Ints
    at_ms: Ints
    seconds: Floats

    def __len__(self) -> int:
        return self.impression.size

    def select(self, rows: Ints | Bools) -> "Actions":
        """Keeps some rows."""
        return Actions(
            self.impression[rows], self.action[rows], self.at_ms[rows], self.seconds[rows]
        )


def interest(
    config: CommunityConfig,
    people: People,
    posts: Posts,
    relations: Relations,
    shown: Impressions,
) -> Floats:
    """Returns how much each impression interests its viewer, as a logit without its level.

    Args:
        config: for the seed of the viewers' habits.
        people: tastes, qualities and languages.
        posts: topics and qualities.
        relations: who follows whom.
        shown: the impressions, `(n,)`.

    Returns:
        `(n,)` logits.
    """
    rng = stream(config.seed, 6)
    habit = rng.normal(0.0, 0.45, len(people))
    viewer, post = shown.viewer, shown.post
    author = posts.author[post]
    hour = local_hour(people, viewer, shown.at_ms)
    age_hours = (shown.at_ms - posts.at_ms[post]) / HOUR_MS
    logit: Floats = (
        2.6 * people.liking(viewer, posts.topics[post])
        + 2.4 * people.quality[author]
        + 1.6 * posts.quality[post]
        + 0.7 * relations.follows.holds(viewer, author, shown.at_ms)
        + 0.6 * np.exp(-age_hours / 8.0)
        - 1.1 * (people.language[viewer] != posts.language[post])
        + 0.3 * ((hour >= 19) & (hour <= 23))
        + 0.25 * (posts.media[post] == PHOTO)
        + habit[viewer]
    )
    return logit


def _clicks(rng: np.random.Generator, shown: Impressions, logit: Floats) -> tuple[Bools, Floats]:
    """Draws clicks, with the measured differences between surfaces."""
    mean = sum(_CLICK_BY_SURFACE[where] * share for where, share in SURFACE_SHARE.items())
    probability = np.zeros(len(shown))
    for where, rate in _CLICK_BY_SURFACE.items():
        here = shown.surface == where
        probability[here] = calibrated(logit[here], rate * CLICK_PER_1000 / 1_000 / mean)
    return happens(rng, probability), probability


def _two_rates(logit: Floats, clicked: Bools, rate: float, from_clicks: float) -> Floats:
    """Calibrates clicked and other rows apart, so that both together have the wanted rate."""
    probability = np.zeros(logit.size)
    for rows, share in ((clicked, from_clicks), (~clicked, 1.0 - from_clicks)):
        if rows.any():
            wanted = min(rate * share / float(rows.mean()), 0.95)
            probability[rows] = calibrated(logit[rows], wanted)
    return probability


def _dwell(rng: np.random.Generator, clicked: Bools, long: Bools, logit: Floats) -> Floats:
    """Draws seconds with the measured percentiles; below the first of them it is 0."""
    order_by = 4.0 * long + np.where(long, 0.1 * logit, 0.8 * clicked) + rng.random(long.size)
    rank = np.empty(long.size)
    rank[np.argsort(order_by, kind="stable")] = (np.arange(long.size) + 0.5) / long.size
    seconds = np.exp(np.interp(rank, _DWELL_RANKS, np.log(_DWELL_SECONDS)))
    # Rounding of counts may leave a few rows on the other side of the knot.
    seconds = np.where(long, np.maximum(seconds, DWELLED_AT_SECS), seconds)
    seconds = np.where(long, seconds, np.minimum(seconds, DWELLED_AT_SECS - 0.001))
    return np.where(rank < _DWELL_RANKS[0], 0.0, np.round(seconds, 3))


def _allowed(posts: Posts, shown: Impressions, follows: Bools) -> dict[str, Bools]:
    post = shown.post
    return {
        "any": np.ones(len(shown), np.bool_),
        "stranger": ~follows,
        "photo": posts.media[post] == PHOTO,
        "video": posts.media[post] == VIDEO,
        "linked": posts.linked[post],
        "quote": posts.kind[post] == QUOTE,
    }


def _without_repeats(posts: Posts, shown: Impressions, actions: Actions) -> Actions:
    """Keeps the first follow, mute or block of a pair and takes back what comes after the end.

    After a mute or a block from a post, the viewer has no more impressions of that author, and
    actions that were still to come on earlier ones do not happen.
    """
    viewer = shown.viewer[actions.impression]
    pair = viewer * (int(posts.author.max()) + 1) + posts.author[shown.post[actions.impression]]
    keep = np.ones(len(actions), np.bool_)
    for name in ON_AUTHOR:
        rows = np.flatnonzero(actions.action == INDEX[name])
        _, first = np.unique(pair[rows], return_index=True)
        keep[np.delete(rows, first)] = False
    ends = np.flatnonzero(
        keep & np.isin(actions.action, [INDEX["mute_author"], INDEX["block_author"]])
    )
    for row in ends.tolist():
        late = (pair == pair[row]) & (actions.at_ms >= actions.at_ms[row])
        late[row] = False
        keep &= ~late
    return actions.select(keep)


def _without_the_ended(posts: Posts, shown: Impressions, actions: Actions) -> Bools:
    """Marks the impressions that do not come after their viewer blocked or muted the author."""
    author = posts.author[shown.post]
    keep = np.ones(len(shown), np.bool_)
    ends = np.isin(actions.action, [INDEX["mute_author"], INDEX["block_author"]])
    for row in np.flatnonzero(ends).tolist():
        cause = actions.impression[row]
        viewer, other = shown.viewer[cause], author[cause]
        met = (shown.viewer == viewer) & (author == other)
        if actions.action[row] == INDEX["block_author"]:
            met |= (shown.viewer == other) & (author == viewer)
        keep &= ~(met & (shown.at_ms >= actions.at_ms[row]))
    return keep


def make_actions(
    config: CommunityConfig,
    people: People,
    posts: Posts,
    relations: Relations,
    shown: Impressions,
) -> tuple[Impressions, Actions, Floats]:
    """Draws what the viewers did.

    Args:
        config: seed and window.
        people: the viewers and authors.
        posts: what was shown.
        relations: who follows whom.
        shown: the impressions, `(n,)`.

    Returns:
        The impressions that remain, without those after a block or a mute from a post; the
        actions on them; and the true probability of a click on each, which no model can beat.
    """
    rng = stream(config.seed, 7)
    logit = interest(config, people, posts, relations, shown)
    clicked, probability = _clicks(rng, shown, logit)
    size = len(shown)
    share_long = LONG_VIEW_PER_1000 / 1_000
    from_clicks = _LONG_GIVEN_CLICK * CLICK_PER_1000 / LONG_VIEW_PER_1000
    long = happens(rng, _two_rates(logit, clicked, share_long, min(from_clicks, 1.0)))
    seconds = _dwell(rng, clicked, long, logit)
    follows = relations.follows.holds(shown.viewer, posts.author[shown.post], shown.at_ms)
    allowed = _allowed(posts, shown, follows)
    click_ms = shown.at_ms + 300 + (2_000 * rng.random(size)).astype(np.int64)
    dwelled = np.flatnonzero(seconds > 0.0)
    video_long = np.flatnonzero(long & allowed["video"])
    found: list[tuple[Ints, str, Ints]] = [
        (np.flatnonzero(clicked), "click", click_ms),
        (video_long, "video_quality_view", click_ms + 8_000),
        (dwelled, "dwell_time", shown.at_ms + np.ceil(seconds * 1_000).astype(np.int64)),
    ]
    for habit in HABITS:
        rows = np.flatnonzero(allowed[habit.on])
        wish = habit.interest * logit[rows] + habit.followed * follows[rows]
        wish += rng.normal(0.0, 0.6, len(people))[shown.viewer[rows]]
        chance = _two_rates(wish, clicked[rows], habit.per_1000 / 1_000, habit.from_clicks)
        rows = rows[happens(rng, chance)]
        wait_ms = 500 + (30_000 * rng.random(size)).astype(np.int64)
        late_ms = 31_000 if habit.action in _ENDS_IT else 0
        found.append((rows, habit.action, click_ms + wait_ms + late_ms))
        if habit.action == "share":
            private = rows[rng.random(rows.size) < _DM_SHARE]
            found.append((private, "share_via_dm", click_ms + wait_ms))
    impression = np.concatenate([rows for rows, _, _ in found])
    action = np.concatenate([np.full(rows.size, INDEX[name]) for rows, name, _ in found])
    at_ms = np.concatenate([times[rows] for rows, _, times in found])
    spent = np.where(action == INDEX["dwell_time"], seconds[impression], 0.0)
    order = np.lexsort((action, impression, at_ms))
    actions = Actions(impression[order], action[order], at_ms[order], spent[order])
    actions = _without_repeats(posts, shown, actions)
    kept = _without_the_ended(posts, shown, actions)
    actions = actions.select(kept[actions.impression])
    place = np.cumsum(kept) - 1
    actions = Actions(place[actions.impression], actions.action, actions.at_ms, actions.seconds)
    return shown.select(kept), actions, probability[kept]
