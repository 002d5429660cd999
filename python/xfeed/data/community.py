"""Puts the synthetic community together: people, relations, posts, what was seen and done."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from xfeed.actions import ACTIONS
from xfeed.data import records
from xfeed.data.behaviour import Actions, make_actions
from xfeed.data.config import NEVER_MS, CommunityConfig
from xfeed.data.impressions import Impressions, make_impressions
from xfeed.data.people import People, make_people
from xfeed.data.posts import KINDS, Posts, make_posts
from xfeed.data.relations import Relations, make_relations, reciprocal_share
from xfeed.data.sampling import Floats, Ints
from xfeed.data.upkeep import Edit, Label, MutedWord, make_edits, make_labels, make_muted_words
from xfeed.data.words import BURST_TOPIC


@dataclass(frozen=True)
class Community:
    """A synthetic community with everything that happened in it.

    Attributes:
        config: what it was made from.
        people: everybody.
        relations: follows, blocks and mutes.
        posts: every post.
        shown: every impression.
        actions: every action on an impression.
        click_probability: the true probability of a click per impression, `(n,)`; the best that a
            model can know. It is not part of the events.
        labels: what moderation labelled.
        muted_words: what people do not want to read.
        edits: which texts changed.
    """

    config: CommunityConfig
    people: People
    relations: Relations
    posts: Posts
    shown: Impressions
    actions: Actions
    click_probability: Floats
    labels: list[Label]
    muted_words: list[MutedWord]
    edits: list[Edit]

    def events(self) -> Iterator[bytes]:
        """Yields every event as one line of JSON, without the line end, in order of `at_ms`.

        Events of the same millisecond come in the order in which they depend on each other:
        people, relations, posts, impressions, actions, ends.
        """
        people, posts, ties = self.people, self.posts, self.relations
        over = records.ended(ties.follows)
        tables: list[tuple[Ints, Iterator[bytes]]] = [
            (people.created_at_ms, records.profiles(people)),
            (ties.follows.at_ms, records.relations(people, ties.follows, "follow")),
            (over.at_ms, records.relations(people, over, "unfollow")),
            (_times(self.muted_words), records.words_muted(people, self.muted_words)),
            (posts.at_ms, records.posts_made(people, posts)),
            (_times(self.edits), records.edits_made(posts, self.edits)),
            (self.shown.at_ms, records.impressions_seen(people, posts, self.shown)),
            (
                self.actions.at_ms,
                records.actions_done(people, posts, self.shown, self.actions),
            ),
            (ties.mutes.at_ms, records.relations(people, ties.mutes, "mute")),
            (ties.blocks.at_ms, records.relations(people, ties.blocks, "block")),
            (_times(self.labels), records.labels_put(posts, self.labels)),
            (
                posts.deleted_at_ms[posts.deleted_at_ms < NEVER_MS],
                records.posts_deleted(posts),
            ),
        ]
        at_ms = np.concatenate([times for times, _ in tables])
        table = np.repeat(np.arange(len(tables)), [times.size for times, _ in tables])
        lines = [events for _, events in tables]
        # Each table yields its own events in order of time, so its turns are all that is needed.
        for turn in table[np.lexsort((table, at_ms))].tolist():
            yield next(lines[turn])

    @cached_property
    def figures(self) -> dict[str, int | float | str]:
        """Counts and shares for people: how many of everything, and the topic of the burst."""
        follows, posts = self.relations.follows, self.posts
        kinds = np.bincount(posts.kind, minlength=len(KINDS)).tolist()
        counts = np.bincount(self.actions.action, minlength=len(ACTIONS)).tolist()
        figures: dict[str, int | float | str] = {
            "people": len(self.people),
            "follows": len(follows),
            "reciprocal_share": round(reciprocal_share(follows), 4),
            "blocks": len(self.relations.blocks),
            "mutes": len(self.relations.mutes),
            "muted_words": len(self.muted_words),
            "posts": len(posts),
        }
        plural = ("originals", "replies", "reposts", "quotes")
        figures |= dict(zip(plural, kinds, strict=True))
        figures |= {
            "deleted": int((posts.deleted_at_ms < NEVER_MS).sum()),
            "edited": len(self.edits),
            "labels": len(self.labels),
            "burst_topic": BURST_TOPIC,
            "requests": int(np.unique(self.shown.request_id).size),
            "impressions": len(self.shown),
            "actions": len(self.actions),
        }
        figures |= {
            f"action.{spec.name}": count
            for spec, count in zip(ACTIONS, counts, strict=True)
            if count
        }
        return figures


def _times(rows: list[MutedWord] | list[Edit] | list[Label]) -> Ints:
    return np.array([row.at_ms for row in rows], np.int64)


def community(config: CommunityConfig | None = None) -> Community:
    """Makes a synthetic community.

    Equal settings give equal bytes of `Community.events` with equal versions of NumPy; nothing
    depends on the clock, on hashing or on the number of processors.

    Args:
        config: seed, size and window; the defaults take about three seconds on one core.

    Returns:
        The community; its events are written only when asked for.

    Example:
        >>> from xfeed.data import CommunityConfig, community
        >>> small = community(CommunityConfig(n_people=60, n_posts=300, n_impressions=500))
        >>> next(small.events())[:17]
        b'{"type":"profile"'
    """
    config = config or CommunityConfig()
    people = make_people(config)
    relations = make_relations(config, people)
    posts = make_posts(config, people, relations)
    shown = make_impressions(config, people, posts, relations)
    shown, actions, click_probability = make_actions(config, people, posts, relations, shown)
    return Community(
        config=config,
        people=people,
        relations=relations,
        posts=posts,
        shown=shown,
        actions=actions,
        click_probability=click_probability,
        labels=make_labels(config, posts),
        muted_words=make_muted_words(config, people),
        edits=make_edits(config, posts),
    )
