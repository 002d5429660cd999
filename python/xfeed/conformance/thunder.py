"""Cases of the in-network post store.

Every case goes the whole way of real data: it becomes JSON events, which are decoded, checked and
applied to a `World`.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np

from xfeed import _core
from xfeed.config import FeedConfig
from xfeed.conformance.shape import NotCovered, Results, Shape
from xfeed.conformance.store_events import (
    SOMEBODY,
    Ancestors,
    Event,
    Read,
    Request,
    Retention,
    StoredPost,
    TrimLists,
    TrimTombstones,
    all_posts,
    delete_event,
    integers,
    post_event,
    step_events,
)

SKEW_MS: Final = 5 * 60 * 1000
"""How far ahead of the clock an event may be; the cases leave no room."""

DEFAULTS: Final = FeedConfig.model_validate({})
"""The cases were observed with the limits that are our defaults too."""


def read(given: Read) -> Results:
    """Applies posts and deletes, then reads for one viewer."""
    posts = all_posts(given)
    steps = [event for step in given.events for event in step_events(step)]
    deletes = [delete_event(post, given.now) for post in integers(given.deleted)]
    world = _world([*(post_event(post) for post in posts), *steps, *deletes], given.now)
    said = [*posts, *(post for step in given.events for post in step.create_batch)]
    authors = sorted({post.author_id for post in said})
    request = given.request or Request(following=authors)
    following = integers(request.following)
    oldest = (given.now - DEFAULTS.thunder.retention_secs) * 1000

    def newest(people: Iterable[int], **limits: int) -> list[int]:
        query = _core.Query(request.user_id, given.now * 1000)
        query.set_following(list(people))
        return _in_network(world, query, oldest, limits)

    if request.max_results == 0:
        raise NotCovered("a request for 0 posts; the engine takes the number as it is")
    wanted = request.max_results or DEFAULTS.thunder.max_results
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
    lines = [_line(post_event(post)) for post in posts]
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
    world = _world([post_event(post) for post in posts], given.now, given.retention)
    after: dict[str, list[int]] = {}
    for author in given.lists:
        query = _core.Query(SOMEBODY, given.now * 1000)
        query.set_following([int(author)])
        oldest = (given.now - given.retention) * 1000
        after[author] = _in_network(world, query, oldest, {"max_results": len(posts)})[::-1]
    return {"after": after}


def trim_tombstones(given: TrimTombstones) -> Results:
    """Deletes that are still remembered."""
    deletes = [delete_event(stone.id, stone.deleted_at) for stone in given.tombstones]
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
    world = _world([post_event(post) for post in posts], 0)
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


def _line(event: Event) -> bytes:
    return json.dumps(event).encode()


def _empty(retention_secs: int) -> _core.World:
    return _core.World(
        retention_ms=retention_secs * 1000,
        max_history_len=DEFAULTS.world.max_history_len,
    )


def _world(events: Sequence[Event], now: int, retention_secs: int | None = None) -> _core.World:
    """A world in which the given events happened, in this order, and it is now `now`."""
    batch = _core.decode_events([_line(event) for event in events])
    rejects = batch.rejects()
    if rejects:
        raise NotCovered(f"the event schema refuses an event: {rejects[0][4]}")
    default = DEFAULTS.thunder.retention_secs
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
    defaults = {
        "max_originals_per_author": DEFAULTS.thunder.max_originals_per_author,
        "max_secondary_per_author": DEFAULTS.thunder.max_secondary_per_author,
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
