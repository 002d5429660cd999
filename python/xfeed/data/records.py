"""Turns the arrays of the synthetic community into events, one stream per kind, by time."""

from collections.abc import Iterator
from typing import Any, Final

import msgspec
import numpy as np

from xfeed.actions import ACTIONS
from xfeed.data.behaviour import ON_AUTHOR, Actions
from xfeed.data.config import NEVER_MS
from xfeed.data.impressions import Impressions
from xfeed.data.people import People
from xfeed.data.posts import NO_MEDIA, PHOTO, QUOTE, REPLY, REPOST, Posts
from xfeed.data.relations import Edges
from xfeed.data.sampling import Ints
from xfeed.data.upkeep import Edit, Label, MutedWord
from xfeed.data.words import LANGUAGES, TOPICS, person_name

_encode: Final = msgspec.json.Encoder().encode


def by_time(at_ms: Ints) -> Ints:
    """Returns the rows in order of time; equal times stay in order of rows."""
    return np.argsort(at_ms, kind="stable")


def profiles(people: People) -> Iterator[bytes]:
    """Yields a `profile` per person, at the time the account was made."""
    for row in by_time(people.created_at_ms).tolist():
        handle, name = person_name(row)
        event: dict[str, Any] = {
            "type": "profile",
            "at_ms": int(people.created_at_ms[row]),
            "user_id": int(people.user_id[row]),
            "handle": handle,
            "name": name,
            "language": LANGUAGES[people.language[row]],
            "created_at_ms": int(people.created_at_ms[row]),
        }
        if people.protected[row]:
            event["protected"] = True
        yield _encode(event)


def relations(people: People, edges: Edges, name: str) -> Iterator[bytes]:
    """Yields a `follow`, `block` or `mute` per relation."""
    order = by_time(edges.at_ms)
    at_ms = edges.at_ms[order].tolist()
    source = people.user_id[edges.source[order]].tolist()
    target = people.user_id[edges.target[order]].tolist()
    for at, user, other in zip(at_ms, source, target, strict=True):
        yield _encode({"type": name, "at_ms": at, "user_id": user, "target_id": other})


def ended(edges: Edges) -> Edges:
    """Returns the relations that end, with their end in place of their start."""
    over = edges.select(edges.until_ms < NEVER_MS)
    return Edges(over.n_people, over.source, over.target, over.until_ms, over.until_ms)


def _related(posts: Posts, people: People, prefix: str, row: int) -> dict[str, int]:
    author = int(people.user_id[posts.author[row]])
    return {f"{prefix}_id": int(posts.post_id[row]), f"{prefix}_author_id": author}


def posts_made(people: People, posts: Posts) -> Iterator[bytes]:
    """Yields a `post` per post; reposts have no text and no topics of their own."""
    for row in range(len(posts)):
        kind = int(posts.kind[row])
        event: dict[str, Any] = {
            "type": "post",
            "at_ms": int(posts.at_ms[row]),
            "post_id": int(posts.post_id[row]),
            "author_id": int(people.user_id[posts.author[row]]),
        }
        target = int(posts.target[row])
        if kind == REPOST:
            event |= _related(posts, people, "repost_of", target)
            yield _encode(event)
            continue
        event["text"] = posts.text[row]
        event["language"] = LANGUAGES[posts.language[row]]
        event["topics"] = [TOPICS[topic].name for topic in posts.topics[row] if topic >= 0]
        if posts.media[row] == PHOTO:
            event["media_kind"] = "photo"
        elif posts.media[row] != NO_MEDIA:
            event["media_kind"] = "video"
            event["media_duration_ms"] = int(posts.duration_ms[row])
        if kind == REPLY:
            event |= _related(posts, people, "reply_to", target)
            event |= _related(posts, people, "root", int(posts.root[row]))
        elif kind == QUOTE:
            event |= _related(posts, people, "quote_of", target)
        yield _encode(event)


def posts_deleted(posts: Posts) -> Iterator[bytes]:
    """Yields a `delete` per deleted post."""
    for row in by_time(posts.deleted_at_ms).tolist():
        at = int(posts.deleted_at_ms[row])
        if at == NEVER_MS:
            return
        yield _encode({"type": "delete", "at_ms": at, "post_id": int(posts.post_id[row])})


def edits_made(posts: Posts, edits: list[Edit]) -> Iterator[bytes]:
    """Yields an `edit` per changed text."""
    for edit in edits:
        post_id = int(posts.post_id[edit.post])
        yield _encode({"type": "edit", "at_ms": edit.at_ms, "post_id": post_id, "text": edit.text})


def labels_put(posts: Posts, labels: list[Label]) -> Iterator[bytes]:
    """Yields a `label` per label."""
    for label in labels:
        yield _encode(
            {
                "type": "label",
                "at_ms": label.at_ms,
                "post_id": int(posts.post_id[label.post]),
                "label": label.label,
                "expires_at_ms": label.expires_at_ms,
            }
        )


def words_muted(people: People, words: list[MutedWord]) -> Iterator[bytes]:
    """Yields a `mute_word` per muted word."""
    for word in words:
        event: dict[str, Any] = {
            "type": "mute_word",
            "at_ms": word.at_ms,
            "user_id": int(people.user_id[word.person]),
            "word": word.word,
        }
        if word.expires_at_ms is not None:
            event["expires_at_ms"] = word.expires_at_ms
        yield _encode(event)


def impressions_seen(people: People, posts: Posts, shown: Impressions) -> Iterator[bytes]:
    """Yields an `impression` per impression."""
    rows = zip(
        shown.at_ms.tolist(),
        people.user_id[shown.viewer].tolist(),
        posts.post_id[shown.post].tolist(),
        shown.request_id.tolist(),
        shown.surface.tolist(),
        strict=True,
    )
    for at, viewer, post, request, surface in rows:
        yield _encode(
            {
                "type": "impression",
                "at_ms": at,
                "viewer_id": viewer,
                "post_id": post,
                "request_id": request,
                "surface": surface,
            }
        )


def actions_done(
    people: People, posts: Posts, shown: Impressions, actions: Actions
) -> Iterator[bytes]:
    """Yields an `action` per action."""
    post = shown.post[actions.impression]
    rows = zip(
        actions.at_ms.tolist(),
        people.user_id[shown.viewer[actions.impression]].tolist(),
        posts.post_id[post].tolist(),
        actions.action.tolist(),
        actions.seconds.tolist(),
        shown.request_id[actions.impression].tolist(),
        shown.surface[actions.impression].tolist(),
        people.user_id[posts.author[post]].tolist(),
        strict=True,
    )
    for at, viewer, post_id, action, seconds, request, surface, author in rows:
        name = ACTIONS[action].name
        event = {
            "type": "action",
            "at_ms": at,
            "viewer_id": viewer,
            "post_id": post_id,
            "action": name,
            "request_id": request,
            "surface": surface,
        }
        if name == "dwell_time":
            event["seconds"] = seconds
        elif name in ON_AUTHOR:
            event["author_id"] = author
        yield _encode(event)
