"""The index of the retrieval source stays in step with the world, and says what a new one says."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from xfeed import Feed, _core
from xfeed.columns import post_columns
from xfeed.mixer import Pipeline
from xfeed.mixer.sources.retrieval import PostIndex, Retrieval
from xfeed.mixer.stages import Model, Parts
from xfeed.phoenix.batch import PostColumns

from tests.conftest import THREADS

VIEWERS = (1, 2, 3)


class Watched:
    """The real model, and what it was asked."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self.n_embedded = 0
        self.spoiled: set[int] = set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def user_vector(self, *asked: Any) -> npt.NDArray[np.float32]:
        self.before_search()
        return self._model.user_vector(*asked)

    def before_search(self) -> None:
        """What happens in the middle of a request."""

    def post_vectors(self, posts: PostColumns) -> npt.NDArray[np.float32]:
        self.n_embedded += len(posts)
        vectors = self._model.post_vectors(posts)
        vectors[np.isin(posts.post_key, list(self.spoiled))] = np.nan
        return vectors


@pytest.fixture
def feed(fitted_dir: Path, tmp_path: Path) -> Iterator[Feed]:
    ignore = shutil.ignore_patterns("*-wal", "*-shm")
    directory = shutil.copytree(fitted_dir, tmp_path / "copy", ignore=ignore)
    with Feed.open(directory, config=THREADS) as feed:
        yield feed


def parts_of(feed: Feed) -> tuple[Parts, Watched]:
    feed.for_you(VIEWERS[0])
    pipeline = feed._pipeline
    assert isinstance(pipeline, Pipeline)
    assert pipeline.parts.model is not None
    model = Watched(pipeline.parts.model)
    return replace(pipeline.parts, model=model), model


def query(feed: Feed, viewer: int, following: tuple[int, ...] = ()) -> _core.Query:
    asked = _core.Query(viewer, feed.now_ms())
    asked.set_following(following)
    return asked


def tell(feed: Feed, event_type: str, **fields: Any) -> None:
    event = {"type": event_type, "at_ms": feed.now_ms() + 1, **fields}
    assert feed.ingest([event]).accepted == 1


def live_originals(parts: Parts) -> list[int]:
    columns = parts.world.live_posts()
    return [int(post) for post in columns["post_id"][columns["is_original"]]]


def index_of(parts: Parts) -> PostIndex:
    assert parts.model is not None
    return PostIndex(parts.world, parts.model, parts.config.retrieval)


NEW, REPLY, STRANGER = 10**9, 10**9 + 1, 77_777


def test_after_any_change_it_finds_what_a_new_one_finds(feed: Feed) -> None:
    parts, model = parts_of(feed)
    kept = Retrieval(parts)
    first = [int(post) for post in kept.find(query(feed, 1))[:2]]
    assert model.n_embedded == len(live_originals(parts))
    changes: list[tuple[str, dict[str, Any], int]] = [
        ("delete", {"post_id": first[0]}, 0),
        ("edit", {"post_id": first[1], "topics": ["birds", "sea"]}, 1),
        ("post", {"post_id": NEW, "author_id": STRANGER, "text": "new"}, 1),
        ("post", {"post_id": REPLY, "author_id": STRANGER, "reply_to_id": NEW}, 0),
        ("undelete", {"post_id": first[0]}, 1),
        ("edit", {"post_id": NEW, "language": "de"}, 1),
        ("delete", {"post_id": REPLY}, 0),
        ("follow", {"user_id": 1, "target_id": STRANGER}, 0),
    ]
    for event_type, fields, n_vectors in changes:
        tell(feed, event_type, **fields)
        model.n_embedded = 0
        kept.find(query(feed, 1))
        assert model.n_embedded == n_vectors, f"{event_type} {fields}"
        for viewer in VIEWERS:
            for following in ((), (STRANGER,)):
                asked = query(feed, viewer, following)
                found = kept.find(asked).tolist()
                assert found == Retrieval(parts).find(asked).tolist()
                assert len(found) == len(set(found)) > 100
                assert REPLY not in found
                if following:
                    assert NEW not in found


def test_a_post_is_found_by_the_next_request_and_a_deleted_one_is_not(feed: Feed) -> None:
    parts, _ = parts_of(feed)
    kept = Retrieval(parts)
    for _ in range(3):
        tell(feed, "post", post_id=NEW, author_id=STRANGER, text="new")
        assert NEW in kept.find(query(feed, 1))
        tell(feed, "delete", post_id=NEW)
        assert NEW not in kept.find(query(feed, 1))
        tell(feed, "undelete", post_id=NEW)
        assert NEW in kept.find(query(feed, 1))
        too_old = _core.Query(1, feed.now_ms() + 1 + parts.config.filters.age.max_age_secs * 1_000)
        assert NEW not in kept.find(too_old)
        assert NEW not in kept.find(_core.Query(1, feed.now_ms() - 10_000)), "not made yet"


def test_posts_that_made_way_for_others_are_not_found_and_leave_no_gap(
    fitted_dir: Path, tmp_path: Path
) -> None:
    ignore = shutil.ignore_patterns("*-wal", "*-shm", "snapshots")
    directory = shutil.copytree(fitted_dir, tmp_path / "copy", ignore=ignore)
    few = {**THREADS, "thunder": {"max_posts_per_timeline": 2}, "retrieval": {"max_results": 5}}
    with Feed.open(directory, config=few) as feed:
        parts, _ = parts_of(feed)
        kept = Retrieval(parts)
        for post in range(NEW, NEW + 40, 2):
            best = int(kept.find(query(feed, 1))[0])
            columns = parts.world.live_originals(np.array([best], dtype=np.uint64))
            for new in (post, post + 1):
                tell(feed, "post", post_id=new, author_id=int(columns["author_id"][0]), text="new")
            found = kept.find(query(feed, 1)).tolist()
            assert best not in found
            assert len(found) == 5
            assert found == Retrieval(parts).find(query(feed, 1)).tolist()


def test_a_post_deleted_in_the_middle_of_a_request_is_not_in_the_answer(feed: Feed) -> None:
    parts, model = parts_of(feed)
    kept = Retrieval(parts)
    before = kept.find(query(feed, 1)).tolist()

    def delete_the_best() -> None:
        del model.before_search
        tell(feed, "delete", post_id=before[0])

    asked = query(feed, 1)
    model.before_search = delete_the_best  # type: ignore[method-assign]
    generation = parts.world.generation
    assert kept.find(asked).tolist() == [post for post in before if post != before[0]]
    assert parts.world.generation == generation + 1, "the delete came after the index was refreshed"
    assert kept.find(asked).tolist() == [post for post in before if post != before[0]]


def test_a_vector_that_is_not_finite_stays_out_and_is_counted(feed: Feed) -> None:
    parts, model = parts_of(feed)
    kept, posts = Retrieval(parts), index_of(parts)
    victim = int(kept.find(query(feed, 1))[0])
    n_posts = len(posts.refreshed())
    model.spoiled = {_core.model_key(victim)}
    tell(feed, "edit", post_id=victim, text="edited")
    assert victim not in kept.find(query(feed, 1))
    assert len(posts.refreshed()) == n_posts - 1
    assert posts.n_not_finite == 1
    model.spoiled = set()
    tell(feed, "edit", post_id=victim, text="edited again")
    assert victim in kept.find(query(feed, 1))
    assert len(posts.refreshed()) == n_posts
    assert posts.n_not_finite == 0


def test_another_model_gives_every_post_another_vector(feed: Feed) -> None:
    parts, model = parts_of(feed)
    posts = index_of(parts)
    before = posts.refreshed()
    assert posts.refreshed() is before
    assert model.n_embedded == len(before)
    model.bundle_id = "another"  # type: ignore[attr-defined]
    assert posts.refreshed() is not before
    assert model.n_embedded == 2 * len(before)


def test_the_vector_of_a_post_does_not_depend_on_the_posts_beside_it(feed: Feed) -> None:
    parts, _ = parts_of(feed)
    assert parts.model is not None
    columns = post_columns(parts.world.live_posts())
    together = parts.model.post_vectors(columns)
    for rows in (np.array([0]), np.arange(5, 8), np.arange(0, len(columns), 3)):
        alone = parts.model.post_vectors(columns.take(rows))
        np.testing.assert_array_equal(alone, together[rows])


def test_the_world_tells_which_posts_changed() -> None:
    world = _core.World(retention_ms=10**9, max_history_len=10)
    assert world.changed_since(5) == (0, None)

    def apply(*events: dict[str, Any]) -> None:
        world.apply(_core.decode_events([json.dumps(event).encode() for event in events]))

    apply(
        {"type": "post", "at_ms": 1, "post_id": 5, "author_id": 2},
        {"type": "post", "at_ms": 1, "post_id": 3, "author_id": 2},
        {"type": "post", "at_ms": 1, "post_id": 4, "author_id": 2, "reply_to_id": 3},
    )
    generation, changed = world.changed_since(0)
    assert changed is not None
    assert changed.tolist() == [3, 4, 5]
    assert world.live_originals(np.array([5, 4, 9, 3], dtype=np.uint64))["post_id"].tolist() == [
        5,
        3,
    ]
    apply(
        {"type": "delete", "at_ms": 2, "post_id": 5},
        {"type": "edit", "at_ms": 2, "post_id": 3, "text": "x"},
    )
    apply({"type": "follow", "at_ms": 3, "user_id": 1, "target_id": 2})
    generation, changed = world.changed_since(generation)
    assert (generation, None if changed is None else changed.tolist()) == (5, [3, 5])
    assert world.live_originals(np.array([5, 3], dtype=np.uint64))["post_id"].tolist() == [3]
    apply({"type": "post", "at_ms": 3 * 10**9, "post_id": 6, "author_id": 2})
    _, changed = world.changed_since(generation)
    assert changed is not None
    assert changed.tolist() == [3, 4, 5, 6], "those that were forgotten changed, too"


@pytest.mark.parametrize("settings", [{"dtype": "float32"}, {"index": "ann"}])
def test_the_other_indexes_find_the_same_posts(feed: Feed, settings: dict[str, str]) -> None:
    if settings.get("index") == "ann":
        pytest.importorskip("usearch", reason="the extra `ann` is not installed")
    parts, _ = parts_of(feed)
    retrieval = parts.config.retrieval.model_copy(update=settings)
    config = parts.config.model_copy(update={"retrieval": retrieval})
    kept, other = Retrieval(parts), Retrieval(replace(parts, config=config))
    for change in (None, "post", "delete"):
        if change:
            tell(feed, change, post_id=NEW, **({"author_id": STRANGER} if change == "post" else {}))
        asked = query(feed, 1)
        found, expected = other.find(asked), kept.find(asked)
        assert (NEW in found) == (change == "post")
        if "dtype" in settings:
            assert found.tolist() == expected.tolist()
        else:
            assert len(np.intersect1d(found, expected)) >= 0.95 * len(expected)
