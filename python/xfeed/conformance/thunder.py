"""Cases of the in-network post store, answered by `xfeed.PostStore` itself."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec
import numpy as np

from xfeed import PostStore, _core
from xfeed.config import FeedConfig
from xfeed.conformance.shape import NotCovered, Results, Shape
from xfeed.conformance.store_events import (
    SOMEBODY,
    Ancestors,
    Burst,
    RawCreates,
    Read,
    Request,
    RequestDefaults,
    Retention,
    Step,
    StoredPost,
    TrimLists,
    TrimTombstones,
    all_posts,
    insert,
    integers,
    raw_event,
)

MAX_REQUESTS: Final = 1_000_000
"""Most requests, and most posts of an answer, that are tried out."""


def read(given: Read) -> Results:
    """Applies posts and deletes, then reads for one viewer."""
    store = PostStore(max_future_ms=0)
    batches = all_posts(given)
    said = [post for batch in batches for post in batch]
    for batch in batches:
        insert(store, batch, given.now)
    deletes = integers(given.deleted)
    for step in given.events:
        deletes += _apply(store, step, given.now)
        said += step.create_batch
    _delete(store, integers(given.deleted), given.now)

    authors = sorted({post.author_id for post in said})
    request = given.request or Request(following=authors)
    following = integers(request.following)
    everything = {
        "max_results": len(said) or 1,
        "max_originals_per_author": len(said),
        "max_secondary_per_author": len(said),
        "max_videos_per_author": len(said),
    }
    asked = {
        "viewer": request.user_id,
        "excluded": [*integers(given.exclude), *integers(request.exclude_tweet_ids)],
        "max_results": request.max_results,
    }

    def newest(people: Iterable[int], **changed: Any) -> list[int]:
        found = store.newest(list(people), now_ms=given.now * 1000, **changed)
        return found.post_id.tolist()  # type: ignore[no-any-return]

    result = newest(following, **asked, videos_only=request.is_video_request)
    videos = {author: newest([author], **everything, videos_only=True)[::-1] for author in authors}
    results: dict[str, object] = {
        "result": result,
        "count": len(result),
        "first": result[0] if result else None,
        "last": result[-1] if result else None,
        "created_at": [_seconds(store, post) for post in result],
        "dropped": sorted(
            {post.post_id for post in said if post.author_id in following} - set(result)
        ),
        "posts": store.post_ids().tolist(),
        "tombstones": sorted(
            post for post in {*deletes, *(p.post_id for p in said)} if store.was_deleted(post)
        ),
        "full_query": result,
        "video_result": newest(following, **asked, videos_only=True),
        "video_lists": {str(author): posts for author, posts in videos.items() if posts},
        "video_list_len": sum(map(len, videos.values())),
        **_by_kind(store, result),
        **_lists(store, said, newest(authors, **everything)[::-1]),
    }
    if given.max_per_author is not None:
        cap = given.max_per_author
        per_author = {"max_originals_per_author": cap, "max_secondary_per_author": cap}
        results[f"taken_with_cap_{cap}"] = newest(authors, **per_author)
    return results


def retention(given: Retention) -> Results:
    """Which posts are stored, by their age."""
    store = _aged(given.retention)
    posts = [
        StoredPost(post_id=int(post), author_id=1, created_at=at)
        for post, at in given.created_at.items()
    ]
    insert(store, posts, given.now)
    return {"stored": store.post_ids().tolist()}


def trim_lists(given: TrimLists) -> Results:
    """Posts of each author after old ones were forgotten, oldest first."""
    store = _aged(given.retention)
    posts = [
        StoredPost(post_id=post, author_id=int(author), created_at=at)
        for author, entries in given.lists.items()
        for post, at in entries
    ]
    insert(store, sorted(posts, key=lambda post: post.created_at))
    store.trim(given.now * 1000)
    left = sorted(
        (post["created_ms"], post["post_id"], str(post["author_id"]))
        for post in map(store.get, store.post_ids().tolist())
        if post is not None
    )
    return {
        "after": {author: [post for _, post, by in left if by == author] for author in given.lists}
    }


def trim_tombstones(given: TrimTombstones) -> Results:
    """Deletes that are still remembered."""
    store = _aged(given.retention)
    for stone in given.tombstones:
        _delete(store, [stone.id], stone.deleted_at)
    store.trim(given.now * 1000)
    ids = [stone.id for stone in given.tombstones]
    return {"remaining": [post for post in ids if store.was_deleted(post)]}


def request_defaults(given: RequestDefaults) -> Results:
    """How many posts each request gets when there are more than enough."""
    most = max((asked.max_results for asked in given.requests), default=0)
    if most > MAX_REQUESTS:
        raise NotCovered(f"a request for {most} posts; {MAX_REQUESTS} at most are tried out")
    store = PostStore()
    n = max(most, store.config.max_results, store.config.max_videos) + 1
    ids = np.arange(n, dtype=np.uint64)
    video = np.full(n, _core.media_kinds().index("video"), dtype=np.uint8)
    length = np.full(n, 60_000, dtype=np.uint32)
    store.insert_many(
        ids, ids, np.zeros(n, dtype=np.int64), media_kind=video, media_duration_ms=length
    )
    return {
        "effective": [
            len(
                store.newest(
                    ids, now_ms=0, max_results=asked.max_results, videos_only=asked.video
                ).post_id
            )
            for asked in given.requests
        ]
    }


def rate_limit(given: Burst) -> Results:
    """How many requests of one client pass at once, and how many later."""
    if max(given.requests_at_t0, given.qps_limit) > MAX_REQUESTS:
        raise NotCovered(f"more than {MAX_REQUESTS} requests")
    limiter = _core.RateLimiter(per_second=given.qps_limit, max_clients=1)

    def accepted(requests: int, at_ms: int) -> int:
        return sum(limiter.check("", at_ms * 1_000_000) is None for _ in range(requests))

    first = accepted(given.requests_at_t0, 0)
    later = accepted(given.qps_limit + 1, given.then_after_ms)
    return {
        "accepted_at_t0": first,
        "rejected_at_t0": given.requests_at_t0 - first,
        f"accepted_after_{given.then_after_ms}ms": later,
    }


def raw_creates(given: RawCreates) -> Results:
    """Which raw creates are kept, and as what."""
    store = PostStore()
    report = store.insert_json([raw_event(raw) for raw in given.events])
    if len(report.position):
        raise NotCovered(f"the event schema refuses an event: {report.message[0]}")
    kept = [store.get(raw.id) for raw in given.events]
    posts = [post for post in kept if post is not None]

    def ids(field: str, value: object) -> list[int]:
        return [post["post_id"] for post in posts if post[field] == value]

    return {
        "emitted": [post["post_id"] for post in posts],
        "is_reply": ids("kind", "reply"),
        "is_retweet": ids("kind", "repost"),
        "has_video": ids("has_video", value=True),
    }


def ancestors(given: Ancestors) -> Results:
    """What a reply answers, nearest first."""
    lines = [
        {
            "type": "post",
            "at_ms": 0,
            "post_id": SOMEBODY + i,
            "author_id": SOMEBODY,
            "reply_to_id": post.in_reply_to_post_id,
            # Every post of X has a conversation; ours belong to one when they answer something.
            "root_id": None if post.in_reply_to_post_id is None else post.conversation_id,
        }
        for i, post in enumerate(given.posts)
    ]
    batch = _core.decode_events([msgspec.json.encode(line) for line in lines])
    if batch.rejects():
        raise NotCovered(f"the event schema refuses an event: {batch.rejects()[0][4]}")
    config = FeedConfig.model_validate({})
    world = _core.World(
        retention_ms=config.thunder.retention_secs * 1000,
        max_history_len=config.world.max_history_len,
    )
    world.apply(batch)
    candidates = _core.CandidateBatch()
    candidates.push_source("case", np.array([line["post_id"] for line in lines], dtype=np.uint64))
    world.hydrate_core(_core.Query(SOMEBODY, 0), candidates)
    above = [
        [post for relation, post, *_ in candidates.related(row) if relation == "ancestor"]
        for row in range(len(lines))
    ]
    return {"ancestors": above}


READ: Final = (Shape(Read, read),)
RETENTION: Final = (Shape(Retention, retention),)
TRIM: Final = (Shape(TrimLists, trim_lists), Shape(TrimTombstones, trim_tombstones))
REQUEST_DEFAULTS: Final = (Shape(RequestDefaults, request_defaults),)
RATE_LIMIT: Final = (Shape(Burst, rate_limit),)
RAW_CREATES: Final = (Shape(RawCreates, raw_creates),)
ANCESTORS: Final = (Shape(Ancestors, ancestors),)


def _aged(retention_secs: int) -> PostStore:
    return PostStore(retention_ms=retention_secs * 1000, max_future_ms=0)


def _apply(store: PostStore, step: Step, now: int) -> list[int]:
    """Applies one step; returns the posts that it deletes."""
    if step.delete is None:
        insert(store, step.create_batch, now)
        return []
    if step.at is None or step.create_batch:
        raise NotCovered("a delete without a time, or together with creates")
    _delete(store, [step.delete], step.at)
    return [step.delete]


def _delete(store: PostStore, posts: Sequence[int], at: int) -> None:
    try:
        store.delete_many(posts, [at * 1000] * len(posts))
    except ValueError as error:
        raise NotCovered(f"the store does not take such ids or times: {error}") from None


def _seconds(store: PostStore, post: int) -> int | None:
    found = store.get(post)
    return None if found is None else found["created_ms"] // 1000


def _lists(store: PostStore, said: Sequence[StoredPost], listed: list[int]) -> dict[str, object]:
    """The authors' lists, where a read shows all of them: of replies and reposts it shows some."""
    if any(post.answers or post.is_retweet for post in said):
        return {}
    results: dict[str, object] = {
        "list_order": listed,
        "author_list_ids": listed,
        "original_list_len": len(listed),
    }
    if len({post.post_id for post in said}) == 1:
        results["record_created_at"] = _seconds(store, said[0].post_id)
    return results


def _by_kind(store: PostStore, result: Sequence[int]) -> dict[str, object]:
    kinds = {post: (store.get(post) or {}).get("kind") for post in result}
    secondary = [post for post in result if kinds[post] in {"reply", "repost"}]
    originals = [post for post in result if post not in set(secondary)]
    return {
        "n_originals": len(originals),
        "n_secondary": len(secondary),
        "oldest_original": originals[-1] if originals else None,
        "oldest_secondary": secondary[-1] if secondary else None,
    }
