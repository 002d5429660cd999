"""The synthetic community is deterministic, consistent and calibrated."""

import hashlib
import os
import subprocess
import sys
from collections import Counter
from typing import Any

import msgspec
import numpy as np
import pytest
from xfeed.actions import ACTIONS, INDEX
from xfeed.data import Community, CommunityConfig, community
from xfeed.data.behaviour import CLICK_PER_1000, LIKE_PER_1000, LONG_VIEW_PER_1000
from xfeed.data.config import HOUR_SHARE, NEVER_MS
from xfeed.data.people import local_hour
from xfeed.data.posts import BURST, KINDS, VIDEO
from xfeed.data.relations import reciprocal_share
from xfeed.data.words import TOPICS
from xfeed.errors import ConfigError

SMALL = CommunityConfig(seed=3, n_people=300, n_posts=1_500, n_impressions=8_000, hours=24)

Event = dict[str, Any]


@pytest.fixture(scope="module")
def events(whole: Community) -> list[Event]:
    return [msgspec.json.decode(line) for line in whole.events()]


def digest(config: CommunityConfig) -> str:
    result = hashlib.sha256()
    for line in community(config).events():
        result.update(line + b"\n")
    return result.hexdigest()


def rate_per_1000(whole: Community, name: str) -> float:
    done = int((whole.actions.action == INDEX[name]).sum())
    return 1_000 * done / len(whole.shown)


def test_the_same_seed_gives_the_same_bytes_in_another_process() -> None:
    program = (
        "import sys; sys.path[:0] = sys.argv[1].split('|'); import test_community as t;"
        "print(t.digest(t.SMALL))"
    )
    folders = f"{os.path.dirname(__file__)}|{os.getcwd()}"  # noqa: PTH109, PTH120
    # Other hashes of strings and older vector instructions must not matter.
    env = {
        **os.environ,
        "PYTHONHASHSEED": "77",
        "NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL AVX512_SPR",
    }
    answer = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, folders],
        env=env,
        check=True,
        capture_output=True,
        text=True,
    )
    assert answer.stdout.strip() == digest(SMALL)


def test_events_can_be_written_twice() -> None:
    small = community(SMALL)
    assert list(small.events()) == list(small.events())


def test_another_seed_gives_other_bytes() -> None:
    other = CommunityConfig(seed=4, n_people=300, n_posts=1_500, n_impressions=8_000, hours=24)
    assert digest(other) != digest(SMALL)


def test_the_smallest_community_can_be_made() -> None:
    tiny = community(CommunityConfig(n_people=50, n_posts=200, n_impressions=1, hours=12))
    assert len(tiny.shown) <= 1
    assert sum(1 for _ in tiny.events()) > 250


@pytest.mark.parametrize(
    ("name", "value"), [("n_people", 49), ("n_posts", 0), ("hours", 721), ("seed", -1)]
)
def test_settings_out_of_bounds_are_refused(name: str, value: int) -> None:
    with pytest.raises(ConfigError, match=f"`{name}` is `{value}`") as caught:
        CommunityConfig(**{name: value})
    assert caught.value.code == "out_of_bounds"


def test_events_come_in_order_of_time_and_none_after_the_end(
    whole: Community, events: list[Event]
) -> None:
    times = [event["at_ms"] for event in events]
    assert times == sorted(times)
    assert times[-1] < whole.config.end_ms


def test_figures_count_what_the_events_say(whole: Community, events: list[Event]) -> None:
    count = Counter(event["type"] for event in events)
    figures = whole.figures
    assert count["profile"] == figures["people"] == 3_000
    assert count["follow"] == figures["follows"]
    assert count["post"] == figures["posts"] == 12_000
    assert count["impression"] == figures["impressions"]
    assert count["action"] == figures["actions"]
    assert count["delete"] == figures["deleted"]
    assert count["label"] == figures["labels"]
    assert figures["replies"] == sum("reply_to_id" in event for event in events)
    clicks = sum(event.get("action") == "click" for event in events)
    assert figures["action.click"] == clicks


def test_nearly_all_the_wanted_impressions_are_made(whole: Community) -> None:
    wanted = whole.config.n_impressions
    assert 0.995 * wanted <= len(whole.shown) <= wanted


def test_post_ids_are_unique_exact_and_beyond_doubles(events: list[Event]) -> None:
    ids = [event["post_id"] for event in events if event["type"] == "post"]
    assert len(set(ids)) == len(ids)
    assert 2**53 < min(ids) <= max(ids) < 2**63
    # A reader that went through doubles would change most of them.
    assert sum(int(float(number)) != number for number in ids) > len(ids) / 2


def test_everything_refers_to_people_and_posts_that_came_before(events: list[Event]) -> None:
    people: set[int] = set()
    authors: dict[int, int] = {}
    for event in events:
        if event["type"] == "profile":
            people.add(event["user_id"])
        elif event["type"] == "post":
            authors[event["post_id"]] = event["author_id"]
            for key in ("reply_to", "repost_of", "quote_of", "root"):
                if f"{key}_id" in event:
                    assert authors[event[f"{key}_id"]] == event[f"{key}_author_id"]
        elif "post_id" in event:
            assert event["post_id"] in authors
        for key in ("user_id", "target_id", "viewer_id", "author_id"):
            assert key not in event or event[key] in people


def test_nobody_relates_to_themselves(events: list[Event]) -> None:
    ties = [event for event in events if "target_id" in event]
    assert len(ties) > 10_000
    assert all(event["user_id"] != event["target_id"] for event in ties)


def test_nothing_is_seen_or_done_after_a_delete_a_block_or_a_mute(events: list[Event]) -> None:
    author = {event["post_id"]: event["author_id"] for event in events if event["type"] == "post"}
    gone: set[int] = set()
    apart: set[tuple[int, int]] = set()
    checked = 0
    for event in events:
        kind = event["type"]
        if kind == "delete":
            gone.add(event["post_id"])
        elif kind in {"block", "mute"}:
            apart.add((event["user_id"], event["target_id"]))
        elif kind in {"impression", "action"}:
            pair = event["viewer_id"], author[event["post_id"]]
            assert pair[0] != pair[1]
            assert event["post_id"] not in gone
            assert pair not in apart
            checked += 1
            if event.get("action") in {"block_author", "mute_author"}:
                apart.add(pair)
    assert len(gone) > 50
    assert len(apart) > 300
    assert checked > 250_000


def test_every_action_follows_its_impression(events: list[Event]) -> None:
    seen: dict[tuple[int, int, int], int] = {}
    for event in events:
        if event["type"] == "impression":
            key = event["viewer_id"], event["post_id"], event["request_id"]
            assert key not in seen
            seen[key] = event["surface"]
        elif event["type"] == "action":
            assert (
                seen[event["viewer_id"], event["post_id"], event["request_id"]] == event["surface"]
            )


def test_actions_carry_exactly_the_fields_they_need(events: list[Event]) -> None:
    sent = {spec.name for spec in ACTIONS if spec.origin != "derived"}
    author = {event["post_id"]: event["author_id"] for event in events if event["type"] == "post"}
    for event in events:
        if event["type"] != "action":
            continue
        name = event["action"]
        assert name in sent
        assert ("seconds" in event) == (name == "dwell_time")
        assert 0 < event.get("seconds", 1) <= 86_400
        if name in {"follow_author", "mute_author", "block_author"}:
            assert event["author_id"] == author[event["post_id"]]
        else:
            assert "author_id" not in event


def test_nobody_sees_protected_posts_without_following(whole: Community) -> None:
    author = whole.posts.author[whole.shown.post]
    hidden = whole.people.protected[author]
    follows = whole.relations.follows.holds(whole.shown.viewer, author, whole.shown.at_ms)
    assert whole.people.protected.sum() > 10
    assert follows[hidden].all()


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("click", CLICK_PER_1000),
        ("favorite", LIKE_PER_1000),
        ("profile_click", 18.9),
        ("reply", 2.58),
        ("follow_author", 1.30),
        ("share", 0.87),
        ("not_interested", 0.84),
    ],
)
@pytest.mark.parametrize("seed", [None, 1])
def test_action_rates_are_within_a_quarter_of_the_measured_ones(
    whole: Community, name: str, wanted: float, seed: int | None
) -> None:
    made = whole if seed is None else _another_seed()
    assert rate_per_1000(made, name) == pytest.approx(wanted, rel=0.25)


_MADE: list[Community] = []


def _another_seed() -> Community:
    if not _MADE:
        _MADE.append(community(CommunityConfig(seed=1)))
    return _MADE[0]


def test_long_views_are_as_frequent_as_measured(whole: Community) -> None:
    actions, on_video = whole.actions, whole.posts.media[whole.shown.post] == VIDEO
    watched = actions.action == INDEX["video_quality_view"]
    long = (actions.seconds >= 10.0) & ~on_video[actions.impression]
    assert on_video[actions.impression[watched]].all()
    per_1000 = 1_000 * (watched.sum() + long.sum()) / len(whole.shown)
    assert per_1000 == pytest.approx(LONG_VIEW_PER_1000, rel=0.25)


def test_dwell_times_have_the_measured_percentiles(whole: Community) -> None:
    seconds = np.zeros(len(whole.shown))
    np.maximum.at(seconds, whole.actions.impression, whole.actions.seconds)
    found = np.percentile(seconds, [10, 25, 50, 75, 90, 99])
    assert found == pytest.approx([0, 1.552, 4.802, 22.424, 63.517, 210.445], rel=0.1, abs=0.05)


def test_clicks_differ_between_surfaces_as_measured(whole: Community) -> None:
    clicked = np.zeros(len(whole.shown), np.bool_)
    clicked[whole.actions.impression[whole.actions.action == INDEX["click"]]] = True
    for surface, rate in ((0, 0.086), (1, 0.494), (4, 0.596)):
        assert clicked[whole.shown.surface == surface].mean() == pytest.approx(rate, rel=0.1)


def test_impressions_follow_the_measured_day(whole: Community) -> None:
    shown = whole.shown
    busy = (shown.at_ms >= whole.config.burst_start_ms) & (shown.at_ms < whole.config.burst_end_ms)
    hour = local_hour(whole.people, shown.viewer, shown.at_ms)[~busy]
    share = np.bincount(hour, minlength=24) / hour.size
    assert np.corrcoef(share, HOUR_SHARE)[0, 1] > 0.95


def test_follows_have_heavy_tails_and_the_measured_reciprocity(whole: Community) -> None:
    follows = whole.relations.follows
    out = np.bincount(follows.source, minlength=3_000)
    into = np.bincount(follows.target, minlength=3_000)
    half, most, top = np.percentile(out, [50, 90, 99])
    assert 3.0 < most / half < 8.0
    assert 10.0 < top / half < 40.0
    assert into.max() > 20 * np.median(into)
    assert 0.15 <= reciprocal_share(follows) <= 0.27


def test_posts_come_in_measured_shares(whole: Community) -> None:
    shares = np.bincount(whole.posts.kind, minlength=len(KINDS)) / len(whole.posts)
    assert shares == pytest.approx([0.46, 0.27, 0.21, 0.06], abs=0.03)


def test_the_announcement_multiplies_its_topic_for_two_hours(whole: Community) -> None:
    hours = (whole.posts.at_ms - whole.config.start_ms) // 3_600_000
    on_topic = np.bincount(hours[whole.posts.topics[:, 0] == BURST], minlength=72)
    start = (whole.config.burst_start_ms - whole.config.start_ms) // 3_600_000
    assert on_topic[start : start + 2].mean() > 5 * np.delete(on_topic, [start, start + 1]).mean()


def test_some_labels_are_over_at_the_end_and_some_hold(whole: Community) -> None:
    ends = [label.expires_at_ms for label in whole.labels]
    assert {label.label for label in whole.labels} == {"spam", "graphic"}
    assert None in ends
    assert any(end is not None and end <= whole.config.end_ms for end in ends)
    assert any(end is not None and end > whole.config.end_ms for end in ends)
    for label in whole.labels:
        assert label.expires_at_ms is None or label.expires_at_ms > label.at_ms


def test_texts_are_readable_and_about_their_topic(events: list[Event]) -> None:
    names = {topic.name for topic in TOPICS}
    made = [event for event in events if event["type"] == "post" and "repost_of_id" not in event]
    for event in made:
        assert 1 <= len(event["topics"]) <= 2
        assert names.issuperset(event["topics"])
        assert 3 < len(event["text"]) < 280
        assert "{" not in event["text"]
    assert {event["language"] for event in made} == {"en", "es", "de", "fr", "ja"}


def test_deleted_posts_existed_first(whole: Community) -> None:
    gone = whole.posts.deleted_at_ms < NEVER_MS
    assert (whole.posts.deleted_at_ms[gone] > whole.posts.at_ms[gone]).all()
