"""Posts of the synthetic community: originals, replies, reposts and quotes in order of time.

Shares follow two measured windows: half of Bluesky's new posts are replies, with nearly as many
reposts; in the Higgs set reposts lead by far, because there is an announcement. Here an
announcement comes at seven tenths of the window and one topic is busy for two hours.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from xfeed.data.config import (
    DAY_MS,
    HOUR_MS,
    NEVER_MS,
    SETTLE_MS,
    CommunityConfig,
)
from xfeed.data.people import N_TOPICS, People, waking_times
from xfeed.data.relations import Relations
from xfeed.data.sampling import Bools, Floats, Ints, clock_ids, pick, stream
from xfeed.data.words import BURST_TOPIC, LANGUAGES, TOPICS, PostKind, announcement, sentence, spam

KINDS: Final[tuple[PostKind, ...]] = ("original", "reply", "repost", "quote")
ORIGINAL, REPLY, REPOST, QUOTE = range(4)
NO_MEDIA, PHOTO, VIDEO = range(3)

BURST: Final = [topic.name for topic in TOPICS].index(BURST_TOPIC)
"""Position of the topic of the announcement."""

_KIND_SHARE: Final = (0.46, 0.27, 0.21, 0.06)
_BURST_SHARE: Final = 0.04
_BURST_KIND_SHARE: Final = (0.25, 0.25, 0.40, 0.10)
_DELETED: Final = 0.012
_SPAM: Final = 0.008
_LINKED: Final = 0.12
_TRIES: Final = 6


@dataclass(frozen=True)
class Posts:
    """Every post, one array position per post, in order of time.

    Attributes:
        post_id: clock-like ids beyond 2^53, as uint64.
        author: position of the author among the people.
        at_ms: when it was made.
        kind: position in `KINDS`.
        target: the post that is replied to, reposted or quoted; -1 for none.
        root: the first post of the conversation; -1 outside of conversations.
        topics: first and second topic, `(n, 2)`; -1 for none. Related posts share their target's.
        quality: how good the post is, 0 to 1.
        attention: heavy-tailed weight in popular lists.
        language: position in `words.LANGUAGES`.
        media: `NO_MEDIA`, `PHOTO` or `VIDEO`.
        duration_ms: length of the video, else 0.
        linked: whether the text has a link.
        is_spam: whether it is an unwanted advertisement.
        deleted_at_ms: when it was deleted; `NEVER_MS` for not.
        text: what it says; empty for reposts.
    """

    post_id: npt.NDArray[np.uint64]
    author: Ints
    at_ms: Ints
    kind: Ints
    target: Ints
    root: Ints
    topics: Ints
    quality: Floats
    attention: Floats
    language: Ints
    media: Ints
    duration_ms: Ints
    linked: Bools
    is_spam: Bools
    deleted_at_ms: Ints
    text: list[str]

    def __len__(self) -> int:
        return self.post_id.size


def _authors_and_times(
    rng: np.random.Generator, config: CommunityConfig, people: People
) -> tuple[Ints, Ints, Bools]:
    """Draws who posts when; the last array marks the burst, whose first post announces."""
    n_burst = max(2, int(config.n_posts * _BURST_SHARE))
    topic = BURST
    usual = pick(rng, people.posting, config.n_posts - n_burst)
    fans = pick(rng, people.posting * people.taste[:, topic], n_burst)
    known = np.where(people.protected, 0.0, people.popularity) * (people.favourite == topic)
    fans[0] = int(known.argmax())
    span = config.burst_end_ms - config.burst_start_ms
    fan_ms = config.burst_start_ms + (span * rng.beta(1.0, 2.0, n_burst)).astype(np.int64)
    fan_ms[0] = config.burst_start_ms
    author = np.concatenate((fans, usual))
    at_ms = np.concatenate((fan_ms, waking_times(rng, config, people, usual)))
    order = np.argsort(at_ms, kind="stable")
    return author[order], at_ms[order], order < n_burst


def _own_topics(rng: np.random.Generator, people: People, author: Ints) -> Ints:
    """Draws one or two topics from each author's tastes, mostly the favourite."""
    cumulative = people.taste[author].cumsum(axis=1)
    drawn = (rng.random((author.size, 1)) > cumulative).sum(axis=1)
    drawn = np.minimum(drawn, N_TOPICS - 1)
    first = np.where(rng.random(author.size) < 0.5, people.favourite[author], drawn)
    second = np.where((rng.random(author.size) < 0.5) & (drawn != first), drawn, -1)
    return np.stack((first, second), axis=1)


class _Threads:
    """Finds what replies, reposts and quotes are about, hour by hour."""

    def __init__(
        self, people: People, relations: Relations, author: Ints, at_ms: Ints, kind: Ints
    ) -> None:
        self.people = people
        self.relations = relations
        self.author = author
        self.at_ms = at_ms
        self.kind = kind
        self.target = np.full(author.size, -1, np.int64)

    def allowed(self, rows: Ints, targets: Ints, deleted_at_ms: Ints) -> Bools:
        """Returns whether each post may be about that target."""
        authors, others = self.author[rows], self.author[targets]
        at_ms = self.at_ms[rows]
        result: Bools = (
            (authors != others)
            & ~self.people.protected[others]
            & (self.at_ms[targets] < at_ms)
            & (deleted_at_ms[targets] > at_ms)
            & ~self.relations.apart(authors, others, at_ms)
        )
        return result

    def fill_hour(
        self,
        rng: np.random.Generator,
        rows: Ints,
        pool: Ints,
        weights: Floats,
        topics: Ints,
        deleted_at_ms: Ints,
    ) -> None:
        """Gives the posts `rows` targets from `pool`; those without one become originals."""
        best = np.full(rows.size, -1, np.int64)
        best_fit = np.full(rows.size, -1.0)
        for _ in range(_TRIES if pool.size else 0):
            drawn = pool[pick(rng, weights, rows.size)]
            fit = self.people.liking(self.author[rows], topics[drawn])
            fit += (
                self.people.language[self.author[rows]] == self.people.language[self.author[drawn]]
            )
            better = (fit > best_fit) & self.allowed(rows, drawn, deleted_at_ms)
            best, best_fit = np.where(better, drawn, best), np.where(better, fit, best_fit)
        self.target[rows] = best
        self.kind[rows[best < 0]] = ORIGINAL


def _fill_targets(
    rng: np.random.Generator,
    config: CommunityConfig,
    threads: _Threads,
    topics: Ints,
    attention: Floats,
    deleted_at_ms: Ints,
    in_burst: Bools,
) -> None:
    """Chooses every target, in order of time, and lets related posts take over its topics."""
    announced = int(np.flatnonzero(in_burst)[0])
    hour_of = (threads.at_ms - config.start_ms) // HOUR_MS
    bounds = np.searchsorted(hour_of, np.arange(config.hours + 1))
    for hour in range(config.hours):
        rows = np.arange(bounds[hour], bounds[hour + 1])
        rows = rows[threads.kind[rows] != ORIGINAL]
        on_news = in_burst[rows] & (rng.random(rows.size) < 0.6)
        news = np.full(rows.size, announced)
        on_news &= threads.allowed(rows, news, deleted_at_ms)
        threads.target[rows[on_news]] = announced
        oldest = np.searchsorted(threads.at_ms, threads.at_ms[bounds[hour] - 1] - DAY_MS)
        pool = np.arange(oldest, bounds[hour])
        pool = pool[threads.kind[pool] != REPOST]
        age_hours = hour - hour_of[pool]
        threads.fill_hour(
            rng, rows[~on_news], pool, attention[pool] * 0.9**age_hours, topics, deleted_at_ms
        )
        related = rows[threads.target[rows] >= 0]
        topics[related] = topics[threads.target[related]]


def _roots(kind: Ints, target: Ints) -> Ints:
    """Returns the first post of each reply's conversation; -1 for everything else."""
    root = np.full(kind.size, -1, np.int64)
    for row in np.flatnonzero(kind == REPLY).tolist():
        above = target[row]
        root[row] = root[above] if root[above] >= 0 else above
    return root


def _texts(
    rng: np.random.Generator, kind: Ints, topics: Ints, language: Ints, linked: Bools, ads: Bools
) -> list[str]:
    draws = rng.integers(0, 2**62, kind.size).tolist()
    texts = []
    for row, draw in enumerate(draws):
        if kind[row] == REPOST:
            texts.append("")
        elif ads[row]:
            texts.append(spam(draw) + " https://prizes.example/now")
        else:
            text = sentence(LANGUAGES[language[row]], int(topics[row, 0]), KINDS[kind[row]], draw)
            link = f" https://news.example/{draw % 100_000}" if linked[row] else ""
            texts.append(text + link)
    return texts


def make_posts(config: CommunityConfig, people: People, relations: Relations) -> Posts:
    """Draws every post of the window.

    Args:
        config: seed, size and window.
        people: the authors.
        relations: nobody answers somebody who blocked them, or the other way round.

    Returns:
        `config.n_posts` posts in order of time.
    """
    rng = stream(config.seed, 4)
    author, at_ms, in_burst = _authors_and_times(rng, config, people)
    size = author.size
    kind = pick(rng, np.array(_KIND_SHARE), size)
    burst_kind = pick(rng, np.array(_BURST_KIND_SHARE), size)
    kind = np.where(in_burst, burst_kind, kind)
    announced = int(np.flatnonzero(in_burst)[0])
    kind[announced] = ORIGINAL
    is_spam = (kind == ORIGINAL) & (rng.random(size) < _SPAM)
    is_spam[announced] = False
    quality = rng.beta(2.0, 2.0, size)
    quality[is_spam] *= 0.15
    quality[announced] = 0.95
    topics = _own_topics(rng, people, author)
    topics[in_burst] = (BURST, -1)
    attention = people.popularity[author] ** 0.6 * (0.2 + quality) ** 1.5
    attention *= np.exp(rng.normal(0.0, 1.2, size)) * np.where(kind == REPLY, 0.25, 1.0)
    attention[announced] = attention.max() * 2.0
    deleted = rng.random(size) < np.where(is_spam, 0.3, _DELETED)
    deleted[announced] = False
    delay_ms = (2 * SETTLE_MS + rng.exponential(4.0 * HOUR_MS, size)).astype(np.int64)
    deleted &= at_ms + delay_ms < config.end_ms
    deleted_at_ms = np.where(deleted, at_ms + delay_ms, NEVER_MS)
    threads = _Threads(people, relations, author, at_ms, kind)
    _fill_targets(rng, config, threads, topics, attention, deleted_at_ms, in_burst)
    media = np.where(rng.random(size) < 0.28, PHOTO, NO_MEDIA)
    media = np.where(rng.random(size) < 0.20, VIDEO, media)
    media[(kind == REPOST) | is_spam] = NO_MEDIA
    seconds = np.clip(np.exp(rng.normal(4.1, 0.9, size)), 3.0, 1_200.0)
    linked = (kind != REPOST) & ((rng.random(size) < _LINKED) | is_spam)
    language = people.language[author]
    language[is_spam | (np.arange(size) == announced)] = LANGUAGES.index("en")
    text = _texts(rng, kind, topics, language, linked, is_spam)
    text[announced] = announcement()
    linked[announced] = False
    return Posts(
        post_id=clock_ids(at_ms, 0),
        author=author,
        at_ms=at_ms,
        kind=kind,
        target=threads.target,
        root=_roots(kind, threads.target),
        topics=topics,
        quality=quality,
        attention=attention,
        language=language,
        media=media,
        duration_ms=np.where(media == VIDEO, (seconds * 1_000).astype(np.int64), 0),
        linked=linked,
        is_spam=is_spam,
        deleted_at_ms=deleted_at_ms,
        text=text,
    )
