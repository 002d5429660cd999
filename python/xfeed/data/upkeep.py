"""The rarer events of the synthetic community: labels, muted words, edits.

They are few, but every rule of the feed that depends on them should have something to do in a demo:
labels that still hold and labels that are over, words that people do not want to read, and texts
that change after they were seen.
"""

from typing import Final, NamedTuple

import numpy as np

from xfeed.data.config import DAY_MS, HOUR_MS, SETTLE_MS, CommunityConfig
from xfeed.data.people import N_TOPICS, People
from xfeed.data.posts import NO_MEDIA, REPOST, Posts
from xfeed.data.sampling import Bools, stream
from xfeed.data.words import MUTABLE_WORDS, TOPICS

_GRAPHIC: Final = 0.006
_WORD_USERS: Final = 0.06
_EDITED: Final = 0.006


class Label(NamedTuple):
    """A label that moderation put on a post."""

    at_ms: int
    post: int
    label: str
    expires_at_ms: int | None


class MutedWord(NamedTuple):
    """A word that a person does not want to read."""

    at_ms: int
    person: int
    word: str
    expires_at_ms: int | None


class Edit(NamedTuple):
    """A text that an author changed."""

    at_ms: int
    post: int
    text: str


def make_labels(config: CommunityConfig, posts: Posts) -> list[Label]:
    """Labels most advertisements as spam and a few photos and videos as graphic.

    Args:
        config: seed and window.
        posts: what can be labelled.

    Returns:
        Labels in order of time. A third of them never ends, some are over before the window is.
    """
    rng = stream(config.seed, 8)
    size = len(posts)
    spam: Bools = posts.is_spam & (rng.random(size) < 0.85)
    graphic: Bools = (posts.media != NO_MEDIA) & (rng.random(size) < _GRAPHIC)
    at_ms = posts.at_ms + (rng.exponential(1.5 * HOUR_MS, size)).astype(np.int64) + 60_000
    lasts_ms = (HOUR_MS * rng.uniform(4.0, 96.0, size)).astype(np.int64)
    forever = rng.random(size) < 0.34
    return sorted(
        Label(
            int(at_ms[row]),
            row,
            "spam" if spam[row] else "graphic",
            None if forever[row] else int(at_ms[row] + lasts_ms[row]),
        )
        for row in np.flatnonzero((spam | graphic) & (at_ms < config.end_ms)).tolist()
    )


def make_muted_words(config: CommunityConfig, people: People) -> list[MutedWord]:
    """Lets some people mute words, mostly hashtags of topics that they do not care about.

    Args:
        config: seed and window.
        people: who mutes.

    Returns:
        Muted words in order of time; some are muted for a few days only.
    """
    rng = stream(config.seed, 9)
    words = set()
    for person in np.flatnonzero(rng.random(len(people)) < _WORD_USERS).tolist():
        for _ in range(int(rng.integers(1, 4))):
            topic, other = int(rng.integers(N_TOPICS)), int(rng.integers(len(MUTABLE_WORDS)))
            strange = people.taste[person, topic] == 0.0 and rng.random() < 0.7
            word = f"#{TOPICS[topic].name}" if strange else MUTABLE_WORDS[other]
            at_ms = config.start_ms + int(rng.integers(-10 * DAY_MS, config.hours * HOUR_MS))
            short = rng.random() < 0.3
            ends_ms = at_ms + int(rng.integers(DAY_MS, 14 * DAY_MS)) if short else None
            words.add((at_ms, person, word, ends_ms))
    ordered = sorted(words, key=lambda row: row[:3])
    return [MutedWord(*row) for row in ordered]


def make_edits(config: CommunityConfig, posts: Posts) -> list[Edit]:
    """Changes the text of a few posts some minutes after they were made.

    Args:
        config: seed and window.
        posts: reposts and deleted posts are left alone.

    Returns:
        Edits in order of time.
    """
    rng = stream(config.seed, 10)
    size = len(posts)
    chosen = (posts.kind != REPOST) & ~posts.is_spam & (rng.random(size) < _EDITED)
    at_ms = posts.at_ms + 60_000 + (rng.random(size) * 2 * SETTLE_MS * 0.9).astype(np.int64)
    chosen &= (at_ms < posts.deleted_at_ms) & (at_ms < config.end_ms)
    return sorted(
        Edit(int(at_ms[row]), row, f"{posts.text[row]} (edited)")
        for row in np.flatnonzero(chosen).tolist()
    )
