"""The state is a function of what happened, not of the order in which it was told."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from xfeed import World, _core

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
START_MS = 1_700_000_000_000
PEOPLE = 4
POSTS = 6

Events = list[dict[str, Any]]

people = st.integers(1, PEOPLE)
posts = st.integers(1, POSTS)
words = st.sampled_from(["rust", "#rust", "two words"])


def moments(hours: int) -> st.SearchStrategy[int]:
    """Few enough to meet often, so that ties are tried."""
    return st.integers(0, hours * 4).map(lambda quarter: START_MS + quarter * HOUR_MS // 4)


def made(post_id: int, hours: int) -> dict[str, Any]:
    """A post is made once, always by the same author at the same time."""
    fields: dict[str, Any] = {"type": "post", "post_id": post_id, "author_id": post_id % PEOPLE + 1}
    fields |= {"at_ms": START_MS + post_id * hours * HOUR_MS // 8, "text": f"post {post_id}"}
    return fields


def events(hours: int) -> st.SearchStrategy[dict[str, Any]]:
    """Everything that needs no order of its own, within so many hours."""
    at = moments(hours)
    pairs = st.tuples(people, people).filter(lambda pair: pair[0] != pair[1])
    edges = st.sampled_from(["follow", "unfollow", "block", "unblock", "mute", "unmute"])
    expiry = st.none() | st.just(START_MS + 1_000 * HOUR_MS)

    def after(post_id: int, at: int) -> int:
        """What is said about a post is said after it was made."""
        return max(at, int(made(post_id, hours)["at_ms"]))

    return st.one_of(
        posts.map(lambda post_id: made(post_id, hours)),
        st.builds(
            lambda kind, pair, at: {
                "type": kind, "at_ms": at, "user_id": pair[0], "target_id": pair[1],
            },
            edges, pairs, at,
        ),
        st.builds(
            lambda post_id, at, text: {
                "type": "edit", "at_ms": at, "post_id": post_id, "text": text, "topics": [text],
            },
            posts, at, st.sampled_from(["x", "y"]),
        ),
        st.builds(
            lambda kind, post_id, at: {
                "type": kind, "at_ms": after(post_id, at), "post_id": post_id,
            },
            st.sampled_from(["delete", "undelete"]), posts, at,
        ),
        st.builds(
            lambda post_id, at, expires: {
                "type": "label", "at_ms": after(post_id, at), "post_id": post_id, "label": "spam",
                "expires_at_ms": expires,
            },
            posts, at, expiry,
        ),
        st.builds(
            lambda user, at: {"type": "unlabel", "at_ms": at, "user_id": user, "label": "spam"},
            people, at,
        ),
        st.builds(
            lambda user, at, word, on: {
                "type": "mute_word" if on else "unmute_word", "at_ms": at, "user_id": user,
                "word": word,
            },
            people, at, words, st.booleans(),
        ),
        st.builds(
            lambda user, at, handle: {
                "type": "profile", "at_ms": at, "user_id": user, "handle": handle,
            },
            people, at, st.sampled_from(["a", "b"]),
        ),
    )  # fmt: skip


def doings(hours: int) -> st.SearchStrategy[Events]:
    """What one viewer saw and did, in order of time."""
    one = st.builds(
        lambda viewer, post_id, at, kind: {
            "at_ms": at, "viewer_id": viewer, "post_id": post_id,
            **({"type": "impression"} if kind is None else {"type": "action", "action": kind}),
        },
        st.integers(101, 103), posts, moments(hours),
        st.sampled_from([None, "favorite", "click", "share"]),
    )  # fmt: skip
    return st.lists(one, max_size=12, unique_by=lambda event: (event["viewer_id"], event["at_ms"]))


def fold(told: Events, *, hours: int, max_history_len: int = 1_024) -> str:
    world = World(retention_ms=2 * DAY_MS, max_history_len=max_history_len)
    for event in told:
        batch = _core.decode_events([json.dumps(event).encode()])
        assert not batch.rejects()
        world.apply(batch)
    assert world.last_ms <= START_MS + hours * HOUR_MS
    return world.digest()


def interleave(draw: st.DataObject, others: Events, done: Events) -> Events:
    """Any order of all events in which each viewer's own stay in order of time."""
    order = draw.draw(st.permutations([*others, *done]))
    queues: dict[int, Events] = {}
    for event in sorted(done, key=lambda event: event["at_ms"]):
        queues.setdefault(event["viewer_id"], []).append(event)
    return [queues[e["viewer_id"]].pop(0) if "viewer_id" in e else e for e in order]


common = settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=True,
    database=None,
)


@common
@given(st.lists(events(24), max_size=25), doings(24), st.data())
def test_any_order_within_the_retention_gives_the_same_state(
    others: Events, done: Events, draw: st.DataObject
) -> None:
    one, other = interleave(draw, others, done), interleave(draw, others, done)
    assert fold(one, hours=24) == fold(other, hours=24)


@common
@given(st.lists(events(120), max_size=25), doings(120), st.data())
def test_any_order_across_the_retention_gives_the_same_state(
    others: Events, done: Events, draw: st.DataObject
) -> None:
    one, other = interleave(draw, others, done), interleave(draw, others, done)
    assert fold(one, hours=120) == fold(other, hours=120)


@common
@given(st.lists(events(24), max_size=25), doings(24), st.data())
def test_telling_it_twice_changes_nothing(
    others: Events, done: Events, draw: st.DataObject
) -> None:
    told = interleave(draw, others, done)
    again = told + [event for event in told if draw.draw(st.booleans())]
    assert fold(told, hours=24) == fold(again, hours=24)


def at(hours: float, **fields: Any) -> dict[str, Any]:
    return {"at_ms": START_MS + round(hours * HOUR_MS), **fields}


FIRST_POST = made(1, 24)
LATE = at(200, type="profile", user_id=9)

CLASHES: dict[str, tuple[Events, Events]] = {
    "two profiles of one millisecond": (
        [
            at(1, type="profile", user_id=1, handle="a"),
            at(1, type="profile", user_id=1, handle="b"),
        ],
        [
            at(1, type="profile", user_id=1, handle="b"),
            at(1, type="profile", user_id=1, handle="a"),
        ],
    ),
    "a label of a post that is gone": (
        [FIRST_POST, at(4, type="label", post_id=1, label="x", expires_at_ms=None), LATE],
        [FIRST_POST, LATE, at(4, type="label", post_id=1, label="x", expires_at_ms=None)],
    ),
    "an impression of a post that is gone": (
        [FIRST_POST, at(4, type="impression", viewer_id=7, post_id=1), LATE],
        [FIRST_POST, LATE, at(4, type="impression", viewer_id=7, post_id=1)],
    ),
}


@pytest.mark.parametrize("clash", CLASHES)
def test_the_order_of_arrival_does_not_decide(clash: str) -> None:
    one, other = CLASHES[clash]
    assert fold(one, hours=200) == fold(other, hours=200)


def test_of_two_creates_of_one_id_the_first_in_the_log_stands() -> None:
    """The one thing that arrival decides, as docs/events.md says: a change of a post is an edit."""
    first, second = FIRST_POST, {**FIRST_POST, "text": "another", "author_id": 77}
    assert fold([first, second], hours=24) == fold([first], hours=24)
    assert fold([second, first], hours=24) == fold([second], hours=24)


def test_an_old_event_told_again_counts_no_viewer_twice() -> None:
    """Also when the history is too short to remember that it happened."""
    world = World(retention_ms=2 * DAY_MS, max_history_len=2)
    seen = [at(i, type="impression", viewer_id=7, post_id=i) for i in range(1, 6)]
    liked = at(1.5, type="action", viewer_id=7, post_id=1, action="favorite")
    for event in [*seen[:1], liked, *seen[1:], seen[0], liked]:
        world.apply(_core.decode_events([json.dumps(event).encode()]))
    assert world.post_counts(1) == {"impressions": 1, "favorite": 1}


def test_different_events_give_different_states() -> None:
    hashes = {fold([made(i, 24)], hours=24) for i in range(1, POSTS)}
    assert len(hashes) == POSTS - 1
    assert fold([], hours=24) not in hashes
