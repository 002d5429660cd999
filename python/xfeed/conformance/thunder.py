"""Cases of the in-network post store.

Times of the cases are seconds, ours are milliseconds. Every case goes the whole way of real data:
it becomes JSON events, which are decoded, checked and applied to a `World`. What the event schema
refuses cannot be expressed.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec
import numpy as np

from xfeed import _core
from xfeed.config import FeedConfig
from xfeed.conformance import shorthand
from xfeed.conformance.shape import Input, NotCovered, Results, Shape

SOMEBODY: Final = 2**62
"""Stands for people and posts that a case speaks of without naming them."""

SKEW_MS: Final = 5 * 60 * 1000
"""How far ahead of the clock an event may be; the cases leave no room."""

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


def read(given: Read) -> Results:
    """Applies posts and deletes, then reads for one viewer."""
    config = FeedConfig()
    posts = _posts(given)
    steps = [event for step in given.events for event in _step(step)]
    deletes = [_delete(post, given.now) for post in _integers(given.deleted)]
    world = _world([*(_post(post) for post in posts), *steps, *deletes], given.now)
    said = [*posts, *(post for step in given.events for post in step.create_batch)]
    authors = sorted({post.author_id for post in said})
    request = given.request or Request(following=authors)
    following = _integers(request.following)
    oldest = (given.now - config.thunder.retention_secs) * 1000

    def newest(people: Iterable[int], **limits: int) -> list[int]:
        query = _core.Query(request.user_id, given.now * 1000)
        query.set_following(list(people))
        return _in_network(world, query, oldest, limits)

    if request.max_results == 0:
        raise NotCovered("a request for 0 posts; the engine takes the number as it is")
    wanted = request.max_results or config.thunder.max_results
    result = newest(following, max_results=wanted)
    listed = newest(
        authors,
        max_results=len(said),
        max_originals_per_author=len(said),
        max_secondary_per_author=len(said),
    )[::-1]
    mentioned = {post.post_id for post in said} | {step["post_id"] for step in [*steps, *deletes]}
    results: dict[str, object] = {
        "result": result,
        "count": len(result),
        "first": result[0] if result else None,
        "last": result[-1] if result else None,
        "created_at": [_seconds(world, post) for post in result],
        "dropped": sorted(
            post.post_id
            for post in said
            if post.author_id in following and post.post_id not in result
        ),
        "posts": world.live_posts()["post_id"].tolist(),
        "tombstones": sorted(p for p in mentioned if world.post_state(p) == "deleted"),
        "full_query": result,
        **_by_kind(said, result),
    }
    if not any(post.is_reply or post.is_retweet for post in said):
        # A read shows every original of an author, so it is the author's list; of replies and
        # reposts it shows only some.
        results |= {"list_order": listed, "author_list_ids": listed}
    if given.max_per_author is not None:
        cap = given.max_per_author
        taken = newest(
            authors,
            max_results=wanted,
            max_originals_per_author=cap,
            max_secondary_per_author=cap,
        )
        results[f"taken_with_cap_{cap}"] = taken
    return results


def retention(given: Retention) -> Results:
    """Which posts are stored, by their age."""
    posts = [
        StoredPost(post_id=int(post), author_id=1, created_at=at)
        for post, at in given.created_at.items()
    ]
    lines = [_line(_post(post)) for post in posts]
    batch = _core.decode_events(lines, given.now * 1000 - SKEW_MS)
    strange = [reject for reject in batch.rejects() if reject[1] != "in_the_future"]
    if strange:
        raise NotCovered(f"the event schema refuses a post: {strange[0][4]}")
    world = _empty(given.retention)
    world.apply(batch)
    _pass_time(world, given.now)
    return {"stored": world.live_posts()["post_id"].tolist()}


def trim_lists(given: TrimLists) -> Results:
    """Posts of each author after old ones were forgotten, oldest first."""
    posts = [
        StoredPost(post_id=post, author_id=int(author), created_at=at)
        for author, entries in given.lists.items()
        for post, at in entries
    ]
    world = _world([_post(post) for post in posts], given.now, given.retention)
    after: dict[str, list[int]] = {}
    for author in given.lists:
        query = _core.Query(SOMEBODY, given.now * 1000)
        query.set_following([int(author)])
        oldest = (given.now - given.retention) * 1000
        after[author] = _in_network(world, query, oldest, {"max_results": len(posts)})[::-1]
    return {"after": after}


def trim_tombstones(given: TrimTombstones) -> Results:
    """Deletes that are still remembered."""
    deletes = [_delete(stone.id, stone.deleted_at) for stone in given.tombstones]
    world = _world(deletes, given.now, given.retention)
    ids = [stone.id for stone in given.tombstones]
    return {"remaining": [post for post in ids if world.post_state(post) == "deleted"]}


def ancestors(given: Ancestors) -> Results:
    """What a reply answers, nearest first."""
    posts = [
        StoredPost(
            post_id=SOMEBODY + i,
            author_id=SOMEBODY,
            created_at=0,
            is_reply=post.in_reply_to_post_id is not None,
            in_reply_to_post_id=post.in_reply_to_post_id,
            conversation_id=post.conversation_id,
        )
        for i, post in enumerate(given.posts)
    ]
    world = _world([_post(post) for post in posts], 0)
    batch = _core.CandidateBatch()
    batch.push_source("case", np.array([post.post_id for post in posts], dtype=np.uint64))
    world.hydrate_core(_core.Query(SOMEBODY, 0), batch)
    above = [
        [post for relation, post, *_ in batch.related(row) if relation == "ancestor"]
        for row in range(len(posts))
    ]
    return {"ancestors": above}


READ: Final = (Shape(Read, read),)
RETENTION: Final = (Shape(Retention, retention),)
TRIM: Final = (Shape(TrimLists, trim_lists), Shape(TrimTombstones, trim_tombstones))
ANCESTORS: Final = (Shape(Ancestors, ancestors),)


def _posts(given: Read) -> list[StoredPost]:
    """All posts in the order of their arrival."""
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


def _integers(given: Sequence[int] | str) -> list[int]:
    return shorthand.integers(given) if isinstance(given, str) else list(given)


def _post(post: StoredPost) -> Event:
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


def _delete(post: int, at: int) -> Event:
    return {"type": "delete", "at_ms": at * 1000, "post_id": post}


def _step(step: Step) -> list[Event]:
    if step.delete is None:
        return [_post(post) for post in step.create_batch]
    if step.at is None or step.create_batch:
        raise NotCovered("a delete without a time, or together with creates")
    return [_delete(step.delete, step.at)]


def _line(event: Event) -> bytes:
    return json.dumps(event).encode()


def _empty(retention_secs: int) -> _core.World:
    return _core.World(
        retention_ms=retention_secs * 1000,
        max_history_len=FeedConfig().world.max_history_len,
    )


def _world(events: Sequence[Event], now: int, retention_secs: int | None = None) -> _core.World:
    """A world in which the given events happened, in this order, and it is now `now`."""
    batch = _core.decode_events([_line(event) for event in events])
    rejects = batch.rejects()
    if rejects:
        raise NotCovered(f"the event schema refuses an event: {rejects[0][4]}")
    default = FeedConfig().thunder.retention_secs
    world = _empty(default if retention_secs is None else retention_secs)
    world.apply(batch)
    _pass_time(world, now)
    return world


def _pass_time(world: _core.World, now: int) -> None:
    """Moves the world's time, which only events move, and lets it forget what is too old."""
    somebody = {"user_id": SOMEBODY, "target_id": SOMEBODY + 1}
    world.apply(_core.decode_events([_line({"type": "follow", "at_ms": now * 1000, **somebody})]))
    world.digest()


def _in_network(
    world: _core.World, query: _core.Query, oldest_ms: int, limits: dict[str, int]
) -> list[int]:
    config = FeedConfig().thunder
    defaults = {
        "max_originals_per_author": config.max_originals_per_author,
        "max_secondary_per_author": config.max_secondary_per_author,
    }
    found: list[int] = world.in_network(
        query, oldest_ms=oldest_ms, **{**defaults, **limits}
    ).tolist()
    return found


def _seconds(world: _core.World, post: int) -> int | None:
    created_ms = world.created_ms(post)
    return None if created_ms is None else created_ms // 1000


def _by_kind(said: Sequence[StoredPost], result: Sequence[int]) -> dict[str, object]:
    secondary = {post.post_id for post in said if post.is_reply or post.is_retweet}
    found = {
        "originals": [post for post in result if post not in secondary],
        "secondary": [post for post in result if post in secondary],
    }
    return {
        "n_originals": len(found["originals"]),
        "n_secondary": len(found["secondary"]),
        "oldest_original": found["originals"][-1] if found["originals"] else None,
        "oldest_secondary": found["secondary"][-1] if found["secondary"] else None,
    }
