"""Who may see what: every relation, in every part of a card, from every source.

The expectations are declared in two small tables and the cells are generated from them.
"""

from itertools import product
from pathlib import Path
from typing import Any, Final

import pytest
from xfeed import Feed

from tests.feed.worlds import NOW_MS, event, follow, open_with, post, shown

VIEWER: Final = "viewer"
TARGET: Final = "target"
FRIEND: Final = "friend"
"""Makes the cards that repost, quote and answer posts of the target."""

RELATIONS: Final[dict[str, list[dict[str, Any]]]] = {
    "nothing": [],
    "viewer blocks": [event("block", user_id=VIEWER, target_id=TARGET)],
    "viewer mutes": [event("mute", user_id=VIEWER, target_id=TARGET)],
    "author blocks viewer": [event("block", user_id=TARGET, target_id=VIEWER)],
    "deleted": [event("delete", post_id="theirs")],
    "post label active": [event("label", post_id="theirs", label="spam", expires_at_ms=None)],
    "author label active": [
        event("label", user_id=TARGET, label="abuse", expires_at_ms=NOW_MS + 1)
    ],
    "label expires now": [event("label", post_id="theirs", label="spam", expires_at_ms=NOW_MS)],
    "label taken back": [
        event("label", 2, post_id="theirs", label="spam", expires_at_ms=None),
        event("unlabel", 1, post_id="theirs", label="spam"),
    ],
    "harmless label": [event("label", post_id="theirs", label="satire", expires_at_ms=None)],
    "muted word": [event("mute_word", user_id=VIEWER, word="#Spoiler")],
    "word no longer muted": [
        event("mute_word", 2, user_id=VIEWER, word="spoiler"),
        event("unmute_word", 1, user_id=VIEWER, word="spoiler"),
    ],
    "block taken back": [
        event("block", 2, user_id=VIEWER, target_id=TARGET),
        event("unblock", 1, user_id=VIEWER, target_id=TARGET),
    ],
}

PARTS: Final[dict[str, dict[str, Any]]] = {
    "author": {},
    "reposted": {"repost_of_id": "theirs"},
    "quoted": {"quote_of_id": "theirs"},
    "ancestor": {"reply_to_id": "theirs"},
    "quoted in a repost": {"repost_of_id": "between"},
    "far ancestor": {"reply_to_id": "between"},
}

SOURCES: Final = ("in_network", "retrieval", "popular")

SHOWN: Final = ""
SHOWS_IT: Final = {"author", "reposted", "quoted", "quoted in a repost"}
"""Parts that a reader sees; an answered post is not on the card."""

EVERYWHERE: Final = {
    "viewer blocks": "author_blocked",
    "viewer mutes": "author_muted",
    "author blocks viewer": "blocked_by_author",
}
ON_THE_CARD: Final = {
    "post label active": "labelled",
    "author label active": "labelled",
    "muted word": "muted_word",
}


def expected(relation: str, part: str) -> str:
    """The reason for which the card must go; empty when it must be shown."""
    if relation in EVERYWHERE:
        return EVERYWHERE[relation]
    if relation == "deleted" and part in SHOWS_IT:
        return "deleted_post" if part == "author" else "related_deleted"
    return ON_THE_CARD.get(relation, SHOWN) if part in SHOWS_IT else SHOWN


def card(part: str) -> list[dict[str, Any]]:
    """The target's post and, around it, the card whose fate is asked for."""
    theirs = post("theirs", TARGET, 5, text="hardly a #spoiler")
    if part == "author":
        return [{**theirs, "post_id": "theirs"}]
    events = [theirs]
    if part == "quoted in a repost":
        events.append(post("between", "somebody", 4, quote_of_id="theirs"))
    if part == "far ancestor":
        events.append(post("between", "somebody", 4, reply_to_id="theirs"))
    return [*events, post("card", FRIEND, 3, text="look", **PARTS[part])]


def build(directory: Path, relation: str, part: str, source: str, limit_to: str) -> Feed:
    followed = TARGET if part == "author" else FRIEND
    people = [follow(VIEWER, followed)] if source == "in_network" else []
    pipeline = {"sources": [limit_to]}
    return open_with(directory, *people, *card(part), *RELATIONS[relation], pipeline=pipeline)


class Everything:
    """Finds every card at once, as a retrieval that knows no rule would."""

    name = "everything"

    def __init__(self, parts: Any) -> None:
        self._world = parts.world

    def find(self, query: Any) -> Any:  # noqa: ARG002
        return self._world.live_posts()["post_id"]


@pytest.fixture(scope="module", autouse=True)
def _registered() -> Any:
    from xfeed.mixer import register
    from xfeed.mixer.registry import SOURCES as TABLE

    register(Everything)
    yield
    del TABLE["everything"]


@pytest.mark.parametrize(
    ("relation", "part", "source"), list(product(RELATIONS, PARTS, SOURCES)), ids="/".join
)
def test_every_relation_holds_in_every_part_from_every_source(
    tmp_path: Path, relation: str, part: str, source: str
) -> None:
    # Retrieval needs a model; a source that finds everything stands for the worst of them.
    finder = "everything" if source == "retrieval" else source
    reason = expected(relation, part)
    asked = "theirs" if part == "author" else "card"
    with build(tmp_path, relation, part, source, finder) as feed:
        page = feed.for_you(VIEWER)
        place = page.where(asked)
        on_page = asked in [item.post_id for item in page]
        assert on_page is (place.outcome == "selected")
        found = place.outcome in {"selected", "removed"}
        if reason == SHOWN and found:
            assert on_page, place
        if reason != SHOWN:
            assert not on_page
            assert place.reason == reason or not found, place
        # Only what a source leaves out by its own rules may be missing from its candidates.
        if not found:
            assert place.outcome == "not_retrieved"
            assert (source, part) in LEFT_OUT or relation == "deleted", place


LEFT_OUT: Final = {
    # Popular offers originals and quotes only.
    ("popular", "reposted"),
    ("popular", "quoted in a repost"),
    ("popular", "ancestor"),
    ("popular", "far ancestor"),
    # In network a reply to a reply is shown below a known root only.
    ("in_network", "far ancestor"),
}
"""Cards that a source does not find, whatever the relation."""


@pytest.mark.parametrize("shift_ms", [-1, 0, 1])
def test_a_label_holds_up_to_the_millisecond_before_its_expiry(
    tmp_path: Path, shift_ms: int
) -> None:
    label = event("label", post_id="it", label="spam", expires_at_ms=NOW_MS + shift_ms)
    with open_with(tmp_path, follow(VIEWER, TARGET), post("it", TARGET), label) as feed:
        shown = [item.post_id for item in feed.for_you(VIEWER)]
        assert shown == ([] if shift_ms > 0 else ["it"])


def test_the_viewers_own_posts_are_never_shown(tmp_path: Path) -> None:
    events = [
        follow(VIEWER, FRIEND),
        post("own", VIEWER, 5),
        post("own repost", VIEWER, 4, repost_of_id="theirs"),
        post("theirs", TARGET, 6),
        post("repeats own", FRIEND, 3, repost_of_id="own"),
        post("answers own", FRIEND, 2, reply_to_id="own"),
        post("quotes own", FRIEND, 1, quote_of_id="own"),
    ]
    pipeline = {"sources": ["everything"]}
    with open_with(tmp_path, *events, pipeline=pipeline) as feed:
        page = feed.for_you(VIEWER)
        shown = {item.post_id for item in page}
        # Who answers or quotes the viewer did not make the viewer's post.
        assert not shown & {"own", "own repost", "repeats own"}
        for post_id in ("own", "own repost", "repeats own"):
            assert page.where(post_id).reason in {"own_post", "seen"}
        assert "quotes own" in shown


def test_posts_of_protected_accounts_are_for_their_followers_only(tmp_path: Path) -> None:
    events = [
        event("profile", 10, user_id=TARGET, protected=True),
        follow("follower", TARGET),
        post("it", TARGET),
    ]
    with open_with(tmp_path, *events) as feed:
        assert [item.post_id for item in feed.for_you("follower")] == ["it"]
        assert [item.post_id for item in feed.for_you("stranger")] == []


@pytest.mark.parametrize("field", ["handle", "name"])
@pytest.mark.parametrize("part", ["author", "reposted", "quoted"])
def test_a_muted_word_is_found_in_handles_and_names(tmp_path: Path, field: str, part: str) -> None:
    link = {"reposted": {"repost_of_id": "it"}, "quoted": {"quote_of_id": "it"}}.get(part)
    events = [
        event("profile", 0, user_id="bo", **{field: "Spoiler Bo"}),
        event("follow", user_id="ann", target_id="bo" if link is None else "cy"),
        post("it", "bo", 2),
    ]
    if link is not None:
        events.append(post("card", "cy", 1, **link))
    muted = event("mute_word", user_id="ann", word="spoiler")
    wanted = "it" if link is None else "card"
    with open_with(tmp_path / "free", *events) as feed:
        assert wanted in shown(feed, "ann")
    with open_with(tmp_path / "muted", *events, muted) as feed:
        page = feed.for_you("ann")
        assert page.where(wanted).reason == "muted_word"
