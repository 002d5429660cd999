"""Cases of the filters."""

from collections.abc import Sequence
from typing import Final, Literal

import numpy as np

from xfeed import _core
from xfeed.conformance.shape import Input, Results, Shape

VIEWER: Final = 2**63 - 1
"""Stands for a viewer whom a case does not name."""

SOMEBODY: Final = 2**62
"""Stands for people and posts that a case speaks of without naming them."""

SNOWFLAKE_EPOCH_MS: Final = 1_288_834_974_657
"""Ids of the cases hold their time in the bits above the 22nd, counted from here."""

Related = tuple[str, int, int | None, bool]
"""A post inside a card: relation, post, author, deleted."""


class AgedPost(Input):
    """A post, or a repost of another one."""

    tweet_id: int
    retweeted_tweet_id: int | None = None


class AgeOfPosts(Input):
    """Posts and the longest age."""

    now_ms: int
    max_age_ms: int
    candidates: list[AgedPost]


class AgeOfIds(Input):
    """Originals and the longest age."""

    now_ms: int
    max_age_ms: int
    tweet_ids: list[int]


class Ids(Input):
    """Posts in the order in which sources brought them."""

    tweet_ids: list[int]


class RepostDuplicates(Input):
    """Posts of the For You feed; the variant of another feed is not covered."""

    candidates: list[AgedPost]
    variant: Literal["for_you"] = "for_you"


class KnownPost(Input):
    """A post with the posts it repeats, quotes and answers."""

    tweet_id: int
    retweeted_tweet_id: int | None = None
    quoted_tweet_id: int | None = None
    in_reply_to_tweet_id: int | None = None
    ancestors: tuple[int, ...] = ()


class Seen(Input):
    """Posts, and what the viewer has seen."""

    seen_ids: list[int]
    candidates: list[KnownPost]
    bloom_positive_ids: tuple[int, ...] = ()


class Keyword(Input):
    """A muted word and texts."""

    keyword: str
    texts: list[str]


class Keywords(Input):
    """Several muted words, each with its texts."""

    cases: list[Keyword]


class Lists(Input):
    """Whom the viewer blocks and mutes."""

    blocked: tuple[int, ...] = ()
    muted: tuple[int, ...] = ()


class SocialPost(Input):
    """A post with the people in it."""

    tweet_id: int
    author_id: int
    author_blocks_viewer: bool = False
    quoted_user_id: int | None = None
    quoted_author_blocks_viewer: bool = False
    retweeted_user_id: int | None = None
    in_reply_to_tweet_id: int | None = None
    ancestor_users: tuple[int, ...] = ()


class SocialGraph(Input):
    """Posts, and whom the viewer blocks and mutes."""

    viewer: Lists
    candidates: list[SocialPost]


def age(given: AgeOfPosts) -> Results:
    """Posts by the age that their own ids tell."""
    batch = _batch([post.tweet_id for post in given.candidates])
    for row, post in enumerate(given.candidates):
        source = post.retweeted_tweet_id
        batch.set_core(
            row,
            SOMEBODY,
            (post.tweet_id >> 22) + SNOWFLAKE_EPOCH_MS,
            kind="original" if source is None else "repost",
            related=_reposted(source),
        )
    return _judged("age", _core.Query(VIEWER, given.now_ms), batch, max_age_ms=given.max_age_ms)


def age_of_ids(given: AgeOfIds) -> Results:
    """The same for plain originals."""
    posts = [AgedPost(tweet_id=tweet_id) for tweet_id in given.tweet_ids]
    return age(AgeOfPosts(now_ms=given.now_ms, max_age_ms=given.max_age_ms, candidates=posts))


def duplicates(given: Ids) -> Results:
    """The same post from several sources."""
    return _judged("duplicates", _core.Query(VIEWER, 0), _batch(given.tweet_ids))


def repost_duplicates(given: RepostDuplicates) -> Results:
    """Several cards that show one post."""
    batch = _batch([post.tweet_id for post in given.candidates])
    for row, post in enumerate(given.candidates):
        source = post.retweeted_tweet_id
        kind = "original" if source is None else "repost"
        batch.set_core(row, SOMEBODY, 0, kind=kind, related=_reposted(source))
    return _judged("repost_duplicates", _core.Query(VIEWER, 0), batch)


def seen(given: Seen) -> Results:
    """Posts that the viewer knows, exactly or by a set that may err on one side."""
    query = _core.Query(VIEWER, 0)
    query.set_seen([*given.seen_ids, *given.bloom_positive_ids])
    batch = _batch([post.tweet_id for post in given.candidates])
    for row, post in enumerate(given.candidates):
        related = _reposted(post.retweeted_tweet_id)
        if post.quoted_tweet_id is not None:
            related.append(("quoted", post.quoted_tweet_id, None, False))
        parent = post.in_reply_to_tweet_id
        if parent is not None or post.ancestors:
            # The nearest ancestor is the parent here. A case that names ancestors but no parent
            # means posts further up, so a parent whom nobody has seen goes between.
            parent = SOMEBODY if parent is None else parent
            above = [parent, *(ancestor for ancestor in post.ancestors if ancestor != parent)]
            related += [("ancestor", ancestor, None, False) for ancestor in above]
        batch.set_core(row, SOMEBODY, 0, related=related)
    return _judged("previously_seen", query, batch)


def muted_keyword(given: Keywords) -> Results:
    """Texts in which a muted word can be read."""
    muted: list[list[bool]] = []
    for case in given.cases:
        query = _core.Query(VIEWER, 0)
        query.set_safety([], [], [], [case.keyword])
        batch = _batch(range(1, len(case.texts) + 1))
        for row, text in enumerate(case.texts):
            batch.set_core(row, SOMEBODY, 0, texts=[text])
        verdicts = _apply("muted_keywords", query, batch)
        muted.append([verdicts.removal(row) is not None for row in range(len(case.texts))])
    return {"muted": muted}


def social_graph(given: SocialGraph) -> Results:
    """Posts with blocked or muted people in them.

    Who blocks the viewer is said per post there and per viewer here, so every post is asked alone.
    """
    kept: list[int] = []
    removed: list[int] = []
    for post in given.candidates:
        related: list[Related] = []
        blocked_by = [post.author_id] if post.author_blocks_viewer else []
        if post.retweeted_user_id is not None:
            related.append(("reposted", SOMEBODY, post.retweeted_user_id, False))
        if post.quoted_user_id is not None or post.quoted_author_blocks_viewer:
            quoted = SOMEBODY if post.quoted_user_id is None else post.quoted_user_id
            related.append(("quoted", SOMEBODY + 1, quoted, False))
            blocked_by += [quoted] if post.quoted_author_blocks_viewer else []
        parent = post.in_reply_to_tweet_id
        if parent is not None and not post.ancestor_users:
            related.append(("ancestor", parent, None, False))
        related += [
            ("ancestor", SOMEBODY + 2 + i, user, False)
            for i, user in enumerate(post.ancestor_users)
        ]
        query = _core.Query(VIEWER, 0)
        query.set_safety(given.viewer.blocked, blocked_by, given.viewer.muted, [])
        batch = _batch([post.tweet_id])
        batch.set_core(0, post.author_id, 0, related=related)
        verdicts = _apply("social_graph", query, batch)
        (removed if verdicts.removal(0) else kept).append(post.tweet_id)
    return {"kept": kept, "removed": removed}


AGE: Final = (Shape(AgeOfPosts, age), Shape(AgeOfIds, age_of_ids))
DUPLICATES: Final = (Shape(Ids, duplicates),)
REPOST_DUPLICATES: Final = (Shape(RepostDuplicates, repost_duplicates),)
PREVIOUSLY_SEEN: Final = (Shape(Seen, seen),)
MUTED_KEYWORDS: Final = (Shape(Keywords, muted_keyword),)
SOCIAL_GRAPH: Final = (Shape(SocialGraph, social_graph),)


def _batch(posts: Sequence[int]) -> _core.CandidateBatch:
    batch = _core.CandidateBatch()
    batch.push_source("case", np.array(posts, dtype=np.uint64))
    return batch


def _reposted(source: int | None) -> list[Related]:
    return [] if source is None else [("reposted", source, None, False)]


def _apply(
    name: str, query: _core.Query, batch: _core.CandidateBatch, max_age_ms: int = 0
) -> _core.Verdicts:
    verdicts = _core.Verdicts(len(batch))
    settings = _core.FilterSettings(max_age_ms=max_age_ms, removing_labels=[])
    _core.run_filters([name], settings, query, batch, verdicts)
    return verdicts


def _judged(
    name: str, query: _core.Query, batch: _core.CandidateBatch, max_age_ms: int = 0
) -> Results:
    verdicts = _apply(name, query, batch, max_age_ms)
    posts: list[int] = batch.post_id.tolist()
    gone = [verdicts.removal(row) is not None for row in range(len(posts))]
    pairs = list(zip(posts, gone, strict=True))
    return {
        "kept": [post for post, is_gone in pairs if not is_gone],
        "removed": [post for post, is_gone in pairs if is_gone],
    }
