"""What cases of the post store say, and the events that say the same.

Times of the cases are seconds, ours are milliseconds. What the event schema does not know cannot be
expressed: a reply is known by the post it answers, a repost by the post it repeats.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from xfeed.conformance import shorthand
from xfeed.conformance.shape import Input, NotCovered

SOMEBODY: Final = 2**62
"""Stands for people and posts that a case speaks of without naming them."""

Event = dict[str, Any]


class StoredPost(Input):
    """A post of the store; `created_at` is in seconds."""

    post_id: int
    author_id: int
    created_at: int
    is_reply: bool = False
    in_reply_to_post_id: int | None = None
    in_reply_to_user_id: int | None = None
    conversation_id: int | None = None
    is_retweet: bool = False
    source_post_id: int | None = None
    source_user_id: int | None = None


class Request(Input):
    """Who asks, for how much; `following` may be a range."""

    following: list[int] | str
    user_id: int = SOMEBODY
    max_results: int | None = None


class Insert(Input):
    """Many posts of one author in a short form."""

    author: int
    ids: str
    created_at: str
    source_user_id: int | None = None


class Step(Input):
    """A delete, or creates that come together."""

    delete: int | None = None
    at: int | None = None
    create_batch: tuple[StoredPost, ...] = ()


class Read(Input):
    """What was said, in one of several forms, and what is asked."""

    now: int
    posts: tuple[StoredPost, ...] | str = ()
    originals: str | None = None
    inserts: dict[str, Insert] = msgspec.field(default_factory=dict)
    batches: tuple[tuple[StoredPost, ...], ...] = ()
    events: tuple[Step, ...] = ()
    deleted: tuple[int, ...] | str = ()
    request: Request | None = None
    max_per_author: int | None = None


class Retention(Input):
    """Posts by id, with the seconds at which they were made."""

    now: int
    retention: int
    created_at: dict[str, int]


class TrimLists(Input):
    """`trim_iter` says which pass runs; the engine's trim knows no passes."""

    now: int
    retention: int
    lists: dict[str, list[tuple[int, int]]]
    trim_iter: int


class Tombstone(Input):
    """A delete that came without its post."""

    id: int
    deleted_at: int


class TrimTombstones(Input):
    """Deletes of which some are too old to be remembered."""

    now: int
    retention: int
    tombstones: list[Tombstone]
    trim_iter: int


class Replied(Input):
    """What a post answers."""

    in_reply_to_post_id: int | None
    conversation_id: int | None


class Ancestors(Input):
    """Posts whose ancestors are asked for."""

    posts: list[Replied]


def all_posts(given: Read) -> list[StoredPost]:
    """Returns all posts but those of `events`, in the order of their arrival."""
    posts = [post for batch in given.batches for post in batch]
    if isinstance(given.posts, str):
        posts += [_plain(post) for post in shorthand.posts(given.posts, given.now)]
    else:
        posts += given.posts
    if given.originals is not None:
        posts += [_plain(post) for post in shorthand.posts(given.originals, given.now)]
    for name, insert in given.inserts.items():
        if name not in {"originals", "retweets"}:
            raise NotCovered(f"inserts of the kind `{name}`")
        ids = shorthand.integers(insert.ids)
        short = shorthand.listed(ids, str(insert.author), insert.created_at, given.now)
        posts += [
            StoredPost(
                post_id=post.post_id,
                author_id=post.author_id,
                created_at=post.created_at,
                is_retweet=name == "retweets",
                source_user_id=insert.source_user_id,
            )
            for post in short
        ]
    return posts


def _plain(post: shorthand.ShortPost) -> StoredPost:
    return StoredPost(post_id=post.post_id, author_id=post.author_id, created_at=post.created_at)


def integers(given: Sequence[int] | str) -> list[int]:
    """Returns ids, written out or as a range."""
    return shorthand.integers(given) if isinstance(given, str) else list(given)


def post_event(post: StoredPost) -> Event:
    """Returns the event that creates a post.

    Raises:
        NotCovered: when the schema has no words for it.
    """
    event: Event = {
        "type": "post",
        "at_ms": post.created_at * 1000,
        "post_id": post.post_id,
        "author_id": post.author_id,
    }
    # The schema knows a reply by the post it answers: without one it is a post like any other,
    # whatever conversation it belongs to.
    if post.in_reply_to_post_id is not None:
        if not post.is_reply:
            raise NotCovered(f"post {post.post_id} answers a post and is not a reply")
        event["reply_to_id"] = post.in_reply_to_post_id
        event["reply_to_author_id"] = post.in_reply_to_user_id
        event["root_id"] = post.conversation_id
    if post.is_retweet:
        source = post.source_post_id
        event["repost_of_id"] = SOMEBODY + post.post_id if source is None else source
        event["repost_of_author_id"] = post.source_user_id
    return {key: value for key, value in event.items() if value is not None}


def delete_event(post: int, at: int) -> Event:
    """Returns the event that deletes a post; `at` is in seconds."""
    return {"type": "delete", "at_ms": at * 1000, "post_id": post}


def step_events(step: Step) -> list[Event]:
    """Returns the events of one step.

    Raises:
        NotCovered: when it is not clear what happens first.
    """
    if step.delete is None:
        return [post_event(post) for post in step.create_batch]
    if step.at is None or step.create_batch:
        raise NotCovered("a delete without a time, or together with creates")
    return [delete_event(step.delete, step.at)]
