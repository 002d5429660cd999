"""`xfeed.PostStore` alone: what goes in, what comes out, and what is refused."""

import doctest
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from xfeed import ConfigError, PostStore, RateLimitError, ShapeError, StoreError
from xfeed import store as store_module
from xfeed.store_columns import InsertReport

NOW = 1_700_000_000_000
LARGEST = 2**64 - 1


def store_of(*posts: tuple[int, int, int], **settings: Any) -> PostStore:
    """A store with posts of `(id, author, created)`."""
    store = PostStore(**settings)
    report = add(store, *posts)
    assert report.reason == []
    return store


def add(store: PostStore, *posts: tuple[int, int, int], **columns: Any) -> InsertReport:
    ids, authors, times = (list(column) for column in zip(*posts, strict=True))
    return store.insert_many(ids, authors, times, **columns)


def masked(*ids: int | None) -> Any:
    return np.ma.MaskedArray(
        np.array([id_ or 0 for id_ in ids], dtype=np.uint64), mask=[id_ is None for id_ in ids]
    )


def newest(store: PostStore, following: list[int], **asked: Any) -> list[int]:
    found: list[int] = store.newest(following, **({"now_ms": NOW} | asked)).post_id.tolist()
    return found


def test_every_id_is_ordinary() -> None:
    store = store_of((0, 0, NOW - 2), (LARGEST, LARGEST, NOW - 1))
    assert newest(store, [0, LARGEST]) == [LARGEST, 0]
    add(store, (5, 0, NOW), repost_of_id=[0], repost_of_author_id=[0])
    assert newest(store, [0], viewer=7) == [5, 0]
    assert newest(store, [0], viewer=0) == [0]
    store.delete_many([0], [NOW])
    assert newest(store, [0, LARGEST], viewer=7) == [LARGEST]


def test_the_answer_is_columns_newest_first_and_ties_by_id() -> None:
    store = PostStore()
    add(
        store,
        (1, 7, NOW - 2),
        (2, 8, NOW - 2),
        (3, 7, NOW - 1),
        media_kind=[2, 0, 2],
        media_duration_ms=[5_000, 0, 4_999],
    )
    found = store.newest([8, 7, 7], now_ms=NOW)
    assert found.post_id.tolist() == [3, 2, 1]
    assert found.author_id.tolist() == [7, 8, 7]
    assert found.created_ms.tolist() == [NOW - 1, NOW - 2, NOW - 2]
    assert found.kind.tolist() == [0, 0, 0]
    assert found.has_video.tolist() == [False, False, True]
    assert (found.authors, found.authors_scanned, found.partial) == (2, 2, False)
    assert newest(store, [7, 8], videos_only=True) == [1]
    assert newest(store, [7, 8], excluded=[3, 1]) == [2]
    assert newest(store, [7], max_originals_per_author=1) == [3]
    assert newest(store, [7, 8], now_ms=NOW - 2) == [2, 1]


def test_a_bad_row_costs_exactly_that_row() -> None:
    n = 600  # more than one batch
    for bad in (0, 255, 256, n - 1):
        store = PostStore()
        times = np.full(n, NOW - 5, dtype=np.int64)
        times[bad] = -1
        ids = np.arange(n, dtype=np.uint64)
        report = store.insert_many(ids, ids, times, now_ms=NOW)
        assert report.counts == {"added": n - 1, "too_old": 1}
        assert (report.position.tolist(), report.reason) == ([bad], ["too_old"])
        assert "retention" in report.message[0]
        assert len(store) == n - 1


def test_every_reason_for_refusing_a_row() -> None:
    store = PostStore(retention_ms=1_000, max_future_ms=10)
    kinds = np.array([0, 0, 0, 4, 0, 0, 0, 0, 2, 1], dtype=np.uint8)
    report = store.insert_many(
        list(range(10)),
        [1] * 10,
        [NOW - 1_000, NOW - 1_001, NOW + 11, NOW, NOW, NOW, NOW, NOW, NOW, NOW],
        kinds,
        media_kind=[0, 0, 0, 0, 5, 0, 0, 0, 0, 0],
        media_duration_ms=[0, 0, 0, 0, 0, 7, 0, 0, 0, 0],
        now_ms=NOW,
        reply_to_id=masked(None, None, None, None, None, None, None, None, None, 9),
        repost_of_author_id=masked(None, None, None, None, None, None, 3, None, None, None),
        root_id=masked(None, None, None, None, None, None, None, 3, None, None),
    )
    refused = dict(zip(report.position.tolist(), report.reason, strict=True))
    assert refused == {
        1: "too_old",
        2: "in_the_future",
        3: "bad_kind",
        4: "bad_media",
        5: "bad_media",
        6: "contradiction",
        7: "contradiction",
        8: "bad_kind",
        9: "points_at_itself",
    }
    assert store.post_ids().tolist() == [0]
    assert store.insert_many([0], [2], [NOW]).reason == ["conflict"]
    assert store.insert_many([0], [1], [NOW - 1_000]).counts == {"known": 1}
    assert store.insert_many([11], [1], [2**48]).reason == ["bad_time"]
    assert store.insert_many([], [], []).counts == {}


def test_without_a_clock_the_newest_post_is_the_present() -> None:
    store = PostStore(retention_ms=1_000)
    assert add(store, (1, 1, 5_000), (2, 1, 3_999), (3, 1, 4_000)).reason == ["too_old"]
    assert newest(store, [1], now_ms=5_000) == [1, 3]
    add(store, (4, 1, 6_000))
    assert store.post_ids().tolist() == [1, 4], "what is too old by now is forgotten"


def test_a_reply_without_its_post_and_one_without_anything_are_replies() -> None:
    store = PostStore()
    add(store, (1, 7, NOW - 2), reply_to_author_id=[9])
    add(store, (2, 7, NOW - 1), kind=np.array([1], dtype=np.uint8))
    found = store.newest([7], now_ms=NOW)
    assert (found.post_id.tolist(), found.kind.tolist()) == ([2, 1], [1, 1])


def test_deletes_and_undeletes_hold_in_any_order_of_arrival() -> None:
    store = PostStore()
    store.delete_many([1, 2], [NOW - 1, NOW - 1])
    assert add(store, (1, 7, NOW - 5), (2, 7, NOW - 5)).counts == {"added_deleted": 2}
    store.undelete_many([1, 2], [NOW - 1, NOW])
    assert newest(store, [7]) == [2]
    assert store.was_deleted(1)
    assert store.get(1) is None
    with pytest.raises(ShapeError, match="at_ms"):
        store.delete_many([1, 2], [NOW])


def test_equal_posts_and_deletes_in_any_order_give_equal_hashes() -> None:
    posts = [(i, i % 3, NOW - i // 2) for i in range(50)]
    one, other = PostStore(), PostStore()
    add(one, *posts)
    one.delete_many([3, 4], [NOW, NOW])
    other.delete_many([4, 3], [NOW, NOW])
    for post in reversed(posts):
        add(other, post)
        add(other, post)
    assert one.digest() == other.digest()
    assert one.digest() != store_of(*posts).digest()
    one.clear()
    assert one.digest() == PostStore().digest()


def test_hidden_accounts_are_shown_to_nobody() -> None:
    store = store_of((1, 7, NOW), (2, 8, NOW), hidden_authors=[7])
    assert newest(store, [7, 8]) == [2]


def test_a_deadline_gives_a_part_and_says_so() -> None:
    n = 5_000
    ids = np.arange(n, dtype=np.uint64)
    store = PostStore()
    store.insert_many(ids, ids, np.full(n, NOW, dtype=np.int64))
    found = store.newest(ids, now_ms=NOW, deadline_ms=0)
    assert found.partial
    assert found.authors_scanned < found.authors == n
    assert not store.newest(ids, now_ms=NOW, deadline_ms=600_000).partial


def test_a_client_that_asks_too_often_is_told_when_to_come_back() -> None:
    store = store_of((1, 7, NOW), qps_limit=1)
    newest(store, [7], client="noisy")
    with pytest.raises(RateLimitError, match="`noisy`") as refused:
        newest(store, [7], client="noisy")
    assert 0 < refused.value.retry_after_secs <= 1
    assert refused.value.code == "rate_limited"
    assert newest(store, [7], client="quiet") == [1]


@pytest.mark.parametrize(
    ("following", "why"),
    [
        (np.array([1.0]), "float64"),
        (np.array([1]), "int64"),
        (np.array([[1]], dtype=np.uint64), "one dimension"),
        (np.arange(4, dtype=np.uint64)[::2], "contiguous"),
        ([-1], "integers of uint64"),
        ([1.5], "integers of uint64"),
        ([2**64], "integers of uint64"),
        ([True], "integers of uint64"),
        (masked(1), "masked"),
    ],
)
def test_arrays_that_do_not_fit_are_refused_by_name(following: Any, why: str) -> None:
    with pytest.raises(ShapeError, match=why) as refused:
        PostStore().newest(following, now_ms=NOW)
    assert "following" in str(refused.value)


def test_columns_of_other_lengths_or_names_are_refused() -> None:
    store = PostStore()
    with pytest.raises(ShapeError, match="`created_ms` has 1 entries, `post_id` has 2"):
        store.insert_many([1, 2], [1, 1], [NOW])
    with pytest.raises(ShapeError, match="reply_to_id"):
        store.insert_many([1, 2], [1, 1], [NOW, NOW], reply_to_id=[3])
    with pytest.raises(TypeError, match="reply_id"):
        store.insert_many([1], [1], [NOW], reply_id=[3])
    assert len(store) == 0


def test_settings_are_those_of_the_config_and_checked_like_them() -> None:
    store = PostStore()
    assert store.retention_ms == 172_800_000
    assert (store.config.max_results, store.config.max_videos) == (1_200, 600)
    with pytest.raises(ConfigError, match="max_result"):
        PostStore(max_result=5)
    with pytest.raises(ConfigError, match="max_posts_per_timeline"):
        PostStore(max_posts_per_timeline=0)
    with pytest.raises(ConfigError, match="retention_ms"):
        PostStore(retention_ms=0)


def test_the_document_lists_every_setting_and_every_outcome() -> None:
    from xfeed.config import StoreConfig

    text = (Path(__file__).parents[2] / "docs" / "store.md").read_text("utf-8")
    for name, field in StoreConfig.model_fields.items():
        if name != "retention_secs":
            shown = field.default if field.default not in (None, ()) else "none"
            assert f"| `{name}` | {shown} | {field.description} |" in text, name
    rust = Path(__file__).parents[2] / "rust" / "xfeed-core" / "src" / "thunder" / "intake.rs"
    table = rust.read_text("utf-8").split("outcomes! {")[1].split("\n}")[0]
    outcomes = [line.split('"')[1] for line in table.splitlines() if '"' in line and "    " in line]
    missing = [name for name in outcomes if name.isidentifier() and f"`{name}`" not in text]
    assert len(outcomes) > 15
    assert missing == []


def test_the_examples_run() -> None:
    text = (Path(__file__).parents[2] / "docs" / "store.md").read_text("utf-8")
    names: dict[str, Any] = {}
    exec(text.split("```python\n")[1].split("```")[0], names)  # noqa: S102 - our own document
    assert names["found"].post_id.tolist() == [3, 2, 1]
    result = doctest.testmod(store_module)
    assert (result.failed, result.attempted > 0) == (0, True)


def test_a_saved_store_comes_back_the_same(tmp_path: Path) -> None:
    path = tmp_path / "a.store"
    store = store_of((1, 7, NOW - 2), (2, 7, NOW - 1), retention_ms=10**9, hidden_authors=[9])
    store.delete_many([2, 3], [NOW, NOW])
    store.save(path, {"posts/0": LARGEST})
    loaded = PostStore.load(path)
    assert loaded.digest() == store.digest()
    assert (loaded.retention_ms, newest(loaded, [7])) == (10**9, [1])
    assert PostStore.offsets_of(path) == {"posts/0": LARGEST}
    assert loaded.insert_many([4], [7], [NOW - 2 * 10**9]).reason == ["too_old"]
    store.save(path)
    assert [file.name for file in tmp_path.iterdir()] == ["a.store"]
    with pytest.raises(StoreError, match="retention_ms"):
        PostStore.load(path, retention_ms=5)


def test_a_damaged_file_is_refused_and_a_failed_save_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "a.store"
    store = store_of((1, 7, NOW))
    store.save(path)
    good = path.read_bytes()
    for at in range(0, len(good), 7):
        path.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
        with pytest.raises(StoreError):
            PostStore.load(path)
    path.write_bytes(good)
    with pytest.raises(StoreError):
        store.save(tmp_path / "no such folder" / "a.store")
    with pytest.raises(StoreError):
        PostStore.load(tmp_path / "nothing")
    assert newest(PostStore.load(path), [7]) == [1]


def test_readers_see_whole_posts_while_a_writer_works() -> None:
    n = 40_000
    ids = np.arange(n, dtype=np.uint64)
    authors = ids % np.uint64(100)
    store = PostStore()
    stop = threading.Event()
    wrong: list[str] = []
    reads = 0

    def read() -> None:
        nonlocal reads
        people = np.arange(100, dtype=np.uint64)
        while not stop.is_set():
            found = store.newest(people, now_ms=NOW)
            if not (found.author_id == found.post_id % np.uint64(100)).all():
                wrong.append("a post of another author")
            if (np.diff(found.created_ms) > 0).any():
                wrong.append("not newest first")
            reads += 1

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    store.insert_many(ids, authors, (NOW - n + ids.astype(np.int64)))
    while reads < 3:
        time.sleep(0.01)
    stop.set()
    for reader in readers:
        reader.join()
    assert wrong == []
    assert len(store) == n


def test_the_store_loads_nothing_of_the_feed() -> None:
    code = (
        "import sys, xfeed; store = xfeed.PostStore(); store.insert_many([1], [2], [3])\n"
        "print([m for m in ('torch', 'xfeed.feed', 'xfeed.mixer', 'sqlite3') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.strip() == "[]"


def test_columns_of_different_lengths_take_nothing_in() -> None:
    n = 40_000
    ids = np.arange(n, dtype=np.uint64)
    store = PostStore()
    with pytest.raises(ShapeError, match="`author_id` has 20000 entries, `post_id` has 40000"):
        store.insert_many(ids, ids[: n // 2], np.full(n, NOW))
    assert len(store) == 0


def test_events_may_come_from_a_generator() -> None:
    line = b'{"type":"post","at_ms":1000,"post_id":1,"author_id":7}'
    store = PostStore()
    assert store.insert_json(line for _ in range(1)).counts == {"added": 1}  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["viewer", "max_results", "deadline_ms", "seed"])
def test_arguments_of_a_read_are_named_when_they_are_wrong(name: str) -> None:
    wrong: dict[str, Any] = {name: -1}
    with pytest.raises(ConfigError, match=f"`{name}` is `-1`"):
        PostStore().newest([7], now_ms=NOW, **wrong)


def test_one_retention_is_enough() -> None:
    with pytest.raises(ConfigError, match="both given"):
        PostStore(retention_ms=1000, retention_secs=1)


def test_threads_that_save_to_one_path_leave_a_good_file(tmp_path: Path) -> None:
    store = PostStore()
    store.insert_many([1], [7], [NOW])
    path = tmp_path / "store"
    savers = [threading.Thread(target=store.save, args=(path,)) for _ in range(4)]
    for saver in savers:
        saver.start()
    for saver in savers:
        saver.join()
    assert PostStore.load(path).digest() == store.digest()
    assert list(tmp_path.iterdir()) == [path]


def test_a_post_that_is_too_old_for_what_was_seen_is_refused() -> None:
    store = PostStore(retention_ms=1000)
    store.trim(NOW)
    assert store.insert_many([1], [7], [NOW - 1001]).counts == {"too_old": 1}


def test_a_store_is_read_under_a_lower_limit(tmp_path: Path) -> None:
    store = PostStore()
    ids = np.arange(60_000, dtype=np.uint64)
    store.insert_many(ids, ids % 500, NOW - 60_000 + ids.astype(np.int64))
    store.save(tmp_path / "store")
    smaller = PostStore.load(tmp_path / "store", max_bytes=2**21)
    assert smaller.used_bytes <= 2**21
    kept = smaller.post_ids()
    assert 0 < len(kept) < 60_000
    assert kept.tolist() == list(range(60_000 - len(kept), 60_000))
