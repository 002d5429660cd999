"""People of the synthetic community: tastes, quality, activity, language and time zone.

Activity and attention are heavy-tailed, as in every community that was ever measured: most people
read a little and write nothing, and a few authors get most of the attention.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from xfeed.data.config import DAY_MS, HOUR_MS, HOUR_SHARE, CommunityConfig
from xfeed.data.sampling import Bools, Floats, Ints, pick, stream
from xfeed.data.words import LANGUAGE_SHARE, TOPICS, UTC_OFFSETS

N_TOPICS: Final = len(TOPICS)

# Impressions of one user in 14 days on KuaiRand-Pure are 6/19/41 at the median, 90th and 99th
# percentile: a log-normal of about this width.
_ACTIVITY_WIDTH: Final = 0.87
_POSTING_WIDTH: Final = 1.3
# Tail of the activity that authors receive in the Higgs set (alpha about 1.96, so 0.96 on counts);
# a little lighter, because 3,000 people leave no room for a star with half of everything.
_POPULARITY_TAIL: Final = 1.15
_PROTECTED_SHARE: Final = 0.015


@dataclass(frozen=True)
class People:
    """Everybody, one array position per person.

    Attributes:
        user_id: ids 1 to n, as uint64.
        taste: how much of each topic a person wants, `(n, 16)`; rows sum to 1, 2 to 4 entries.
        favourite: the topic of each person's largest taste.
        language: position in `words.LANGUAGES`.
        utc_offset: hours east of Greenwich.
        activity: relative number of feeds a person opens.
        posting: relative number of posts a person writes.
        quality: how good a person's posts are, 0 to 1.
        popularity: relative chance to be followed.
        protected: whether only followers may see the posts.
        created_at_ms: when the account was made.
    """

    user_id: npt.NDArray[np.uint64]
    taste: Floats
    favourite: Ints
    language: Ints
    utc_offset: Ints
    activity: Floats
    posting: Floats
    quality: Floats
    popularity: Floats
    protected: Bools
    created_at_ms: Ints

    def __len__(self) -> int:
        return self.user_id.size

    def liking(self, viewers: Ints, topics: Ints) -> Floats:
        """Returns how well topics suit viewers, 1 for the favourite and 0 for no interest.

        Args:
            viewers: positions of people, `(n,)`.
            topics: first and second topic of a post, `(n, 2)`; -1 for none.
        """
        share = self.taste / self.taste.max(axis=1, keepdims=True)
        first = share[viewers, topics[:, 0]]
        second = np.where(topics[:, 1] >= 0, share[viewers, topics[:, 1]], 0.0)
        better: Floats = np.maximum(first, 0.7 * second)
        return better


def _tastes(rng: np.random.Generator, n_people: int) -> Floats:
    weight = np.array([topic.weight for topic in TOPICS])
    # An exponential race picks distinct topics, more often the ones that many care about.
    race = rng.exponential(size=(n_people, N_TOPICS)) / weight
    rank = np.argsort(np.argsort(race, axis=1, kind="stable"), axis=1, kind="stable")
    wanted = rank < rng.integers(2, 5, size=(n_people, 1))
    amount = np.where(wanted, rng.gamma(1.5, size=(n_people, N_TOPICS)) + 0.05, 0.0)
    share: Floats = amount / amount.sum(axis=1, keepdims=True)
    return share


def make_people(config: CommunityConfig) -> People:
    """Draws the people of a community.

    Args:
        config: seed, size and window.

    Returns:
        `config.n_people` people, all with an account older than the window.
    """
    rng = stream(config.seed, 1)
    size = config.n_people
    taste = _tastes(rng, size)
    language = pick(rng, np.array(LANGUAGE_SHARE), size)
    n_offsets = np.array([len(offsets) for offsets in UTC_OFFSETS])
    table = np.array([(offsets * 6)[:6] for offsets in UTC_OFFSETS], np.int64)
    utc_offset = table[language, (rng.random(size) * n_offsets[language]).astype(np.int64)]
    activity = np.exp(rng.normal(0.0, _ACTIVITY_WIDTH, size))
    quality = rng.beta(2.0, 2.0, size)
    posting = np.exp(rng.normal(0.0, _POSTING_WIDTH, size)) * activity**0.4
    popularity = (1.0 + rng.pareto(_POPULARITY_TAIL, size)) * (0.15 + quality) ** 1.5
    popularity = np.minimum(popularity, 2.0 * np.quantile(popularity, 0.995))
    protected = rng.random(size) < _PROTECTED_SHARE
    protected &= popularity < np.quantile(popularity, 0.9)
    age_ms = (DAY_MS * (20.0 + 1_480.0 * rng.random(size))).astype(np.int64)
    return People(
        user_id=np.arange(1, size + 1, dtype=np.uint64),
        taste=taste,
        favourite=taste.argmax(axis=1),
        language=language,
        utc_offset=utc_offset,
        activity=activity,
        posting=posting,
        quality=quality,
        popularity=popularity,
        protected=protected,
        created_at_ms=config.start_ms - age_ms,
    )


def local_hour(people: People, persons: Ints, at_ms: Ints) -> Ints:
    """Returns the hour of the day, 0 to 23, where each person lives."""
    hour: Ints = (at_ms // HOUR_MS + people.utc_offset[persons]) % 24
    return hour


def waking_times(
    rng: np.random.Generator, config: CommunityConfig, people: People, persons: Ints
) -> Ints:
    """Draws a time within the window for each person, by the local hour-of-day curve.

    Args:
        rng: where the randomness comes from.
        config: the window.
        people: for their time zones.
        persons: who does something; may repeat.

    Returns:
        One time per entry of `persons`, unix milliseconds.
    """
    share = np.array(HOUR_SHARE)
    hours = np.arange(config.hours)
    first_hour = config.start_ms // HOUR_MS
    result = np.zeros(persons.size, np.int64)
    offsets = people.utc_offset[persons]
    for offset in np.unique(offsets):
        rows = np.flatnonzero(offsets == offset)
        curve = share[(first_hour + hours + offset) % 24]
        within = (rng.random(rows.size) * HOUR_MS).astype(np.int64)
        result[rows] = config.start_ms + pick(rng, curve, rows.size) * HOUR_MS + within
    return result
