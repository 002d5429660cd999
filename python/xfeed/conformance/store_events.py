"""What cases of the post store say, in its own terms.

Times of the cases are seconds, ours are milliseconds.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from xfeed import PostStore, _core
from xfeed.conformance import shorthand
from xfeed.conformance.shape import Input, NotCovered

SOMEBODY: Final = 2**62
"""Stands for people and posts that a case speaks of without naming them."""

VIDEO_MS: Final = 5_000
"""Length of a video of which a case says only that it counts as one."""

OUT_OF_TIME: Final = frozenset({"too_old", "in_the_future"})
"""Refusals that are the very behaviour that cases are about."""


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
    has_video: bool = False

    @property
    def answers(self) -> bool:
        """Whether it is a reply: any of three fields says so."""
        return (
            self.is_reply
            or self.in_reply_to_post_id is not None
            or self.in_reply_to_user_id is not None
        )


class Request(Input):
    """Who asks, for how much; `following` may be a range."""

    following: list[int] | str
    user_id: int = SOMEBODY
    max_results: int = 0
    is_video_request: bool = False
    exclude_tweet_ids: list[int] | str = ()  # type: ignore[assignment]


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
    exclude: tuple[int, ...] | str = ()
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


class Asked(Input):
    """How much one request asks for."""

    max_results: int
    video: bool = False


class RequestDefaults(Input):
    """Requests whose real limits are asked for."""

    requests: list[Asked]


class Burst(Input):
    """Requests at one moment, and how much later the next ones come."""

    qps_limit: int
    requests_at_t0: int
    then_after_ms: int


class RawReply(Input):
    """What a raw event says of a reply."""

    status_id: int | None = None
    user_id: int | None = None


class RawShare(Input):
    """What a raw event says of a repost."""

    source_id: int
    source_user_id: int | None = None


class RawMedia(Input):
    """One attachment; a video when it has a length."""

    video_ms: int | None = None


class RawCreate(Input):
    """A raw create of a post."""

    id: int
    user_id: int = SOMEBODY
    nullcast: bool = False
    reply: RawReply | None = None
    share: RawShare | None = None
    media: list[RawMedia] = msgspec.field(default_factory=list)


class RawCreates(Input):
    """Raw creates of which some are not kept."""

    events: list[RawCreate]


def all_posts(given: Read) -> list[list[StoredPost]]:
    """Returns all posts but those of `events`, in the batches in which they arrive."""
    batches = [list(batch) for batch in given.batches]
    if isinstance(given.posts, str):
        batches.append([_plain(post) for post in shorthand.posts(given.posts, given.now)])
    else:
        batches.append(list(given.posts))
    if given.originals is not None:
        batches.append([_plain(post) for post in shorthand.posts(given.originals, given.now)])
    for name, insert in given.inserts.items():
        if name not in {"originals", "retweets"}:
            raise NotCovered(f"inserts of the kind `{name}`")
        ids = shorthand.integers(insert.ids)
        short = shorthand.listed(ids, str(insert.author), insert.created_at, given.now)
        batches.append(
            [
                StoredPost(
                    post_id=post.post_id,
                    author_id=post.author_id,
                    created_at=post.created_at,
                    is_retweet=name == "retweets",
                    source_user_id=insert.source_user_id,
                )
                for post in short
            ]
        )
    return batches


def _plain(post: shorthand.ShortPost) -> StoredPost:
    return StoredPost(post_id=post.post_id, author_id=post.author_id, created_at=post.created_at)


def integers(given: Sequence[int] | str) -> list[int]:
    """Returns ids, written out or as a range."""
    return shorthand.integers(given) if isinstance(given, str) else list(given)


def insert(store: PostStore, posts: Sequence[StoredPost], now: int | None = None) -> None:
    """Adds posts that arrive together.

    Raises:
        NotCovered: when the store refuses one for another reason than its time.
    """
    if not posts:
        return
    kinds = _core.post_kinds()
    video = _core.media_kinds().index("video")
    try:
        report = store.insert_many(
            [post.post_id for post in posts],
            [post.author_id for post in posts],
            [post.created_at * 1000 for post in posts],
            np.array([kinds.index(_kind(post)) for post in posts], dtype=np.uint8),
            media_kind=[video * post.has_video for post in posts],
            media_duration_ms=[VIDEO_MS * post.has_video for post in posts],
            now_ms=None if now is None else now * 1000,
            **_related(posts),
        )
    except ValueError as error:
        raise NotCovered(f"the store does not take such ids or times: {error}") from None
    for i, reason, why in zip(report.position, report.reason, report.message, strict=True):
        if reason not in OUT_OF_TIME and reason != "conflict":
            raise NotCovered(f"the store refuses post {posts[i].post_id}: {why}")


def _kind(post: StoredPost) -> str:
    return "repost" if post.is_retweet else "reply" if post.answers else "original"


def _related(posts: Sequence[StoredPost]) -> dict[str, Any]:
    """The columns of related posts; a repost that names no source repeats one that nobody knows."""
    sources = [
        SOMEBODY + post.post_id
        if post.is_retweet and post.source_post_id is None
        # A post that is no repost repeats nothing, whatever else it names.
        else post.source_post_id
        if post.is_retweet
        else None
        for post in posts
    ]
    return {
        "reply_to_id": _ids([post.in_reply_to_post_id for post in posts]),
        "reply_to_author_id": _ids([post.in_reply_to_user_id for post in posts]),
        "root_id": _ids([post.conversation_id if post.answers else None for post in posts]),
        "repost_of_id": _ids(sources),
        "repost_of_author_id": _ids(
            [post.source_user_id if post.is_retweet else None for post in posts]
        ),
    }


def _ids(ids: Sequence[int | None]) -> npt.NDArray[np.uint64]:
    missing = [id_ is None for id_ in ids]
    return np.ma.MaskedArray(np.array([id_ or 0 for id_ in ids], dtype=np.uint64), mask=missing)


def raw_event(raw: RawCreate) -> bytes:
    """Returns the JSON event that says the same as a raw create."""
    event: dict[str, Any] = {
        "type": "post",
        "at_ms": 0,
        "post_id": raw.id,
        "author_id": raw.user_id,
        "nullcast": raw.nullcast,
    }
    if raw.reply is not None:
        event["reply_to_id"] = raw.reply.status_id
        event["reply_to_author_id"] = raw.reply.user_id
    if raw.share is not None:
        event["repost_of_id"] = raw.share.source_id
        event["repost_of_author_id"] = raw.share.source_user_id
    # An event speaks of an attachment only when there is exactly one.
    if len(raw.media) == 1:
        (media,) = raw.media
        event["media_kind"] = "photo" if media.video_ms is None else "video"
        event["media_duration_ms"] = media.video_ms
    return msgspec.json.encode(event)
