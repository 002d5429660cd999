"""What is kept between requests: within its budget, and only for the state it belongs to."""

import gc
from dataclasses import fields, is_dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from xfeed.phoenix.batch import InteractionColumns, PostColumns
from xfeed.phoenix.model.transformer import Context
from xfeed.phoenix.options import RuntimeOptions
from xfeed.phoenix.runtime import Phoenix
from xfeed.phoenix.runtime.contexts import ByteCache, nbytes_of, owned
from xfeed.phoenix.runtime.scores import ScoreCache

from tests.phoenix.worlds import HOUR_MS, START_MS, World, make_posts

pytestmark = pytest.mark.usefixtures("one_thread")

NOW_MS = START_MS + 200 * HOUR_MS
VIEWER = 7


@pytest.fixture
def served(bundle_dir: Path) -> Phoenix:
    return Phoenix.load(bundle_dir)


@pytest.fixture(scope="module")
def candidates() -> PostColumns:
    return make_posts(60, np.random.default_rng(5))


def history_of(world: World, viewer: int = VIEWER) -> InteractionColumns:
    return world.interactions.take(world.interactions.viewer_key == viewer)


def test_the_oldest_go_when_the_budget_is_used_up() -> None:
    cache: ByteCache[bytes] = ByteCache(10, len)
    for key in (b"a", b"b", b"c"):
        cache.put(key, key * 4)
    assert [cache.get(key) for key in (b"a", b"b", b"c")] == [None, b"bbbb", b"cccc"]
    cache.get(b"b")
    cache.put(b"d", b"dddd")
    assert cache.get(b"c") is None
    assert cache.get(b"b") == b"bbbb"
    cache.put(b"b", b"longer")
    assert cache.stats.nbytes == 10
    cache.put(b"e", b"far too large")
    assert cache.get(b"e") is None
    assert (cache.stats.entries, cache.stats.evictions) == (2, 2)
    cache.clear()
    assert (cache.stats.entries, cache.stats.nbytes) == (0, 0)


def test_a_budget_of_nothing_keeps_nothing() -> None:
    cache: ByteCache[bytes] = ByteCache(0, len)
    cache.put(b"a", b"x")
    assert cache.get(b"a") is None
    scores = ScoreCache(0)
    scores.put(b"a", np.ones((1, 2), dtype=np.uint64), np.ones((1, 3), dtype=np.float32))
    out = np.zeros((1, 3), dtype=np.float32)
    assert len(scores.fill(b"a", np.ones((1, 2), dtype=np.uint64), out)) == 1


def test_bytes_are_those_of_the_tensors_inside() -> None:
    rows = torch.zeros(3, 5)
    assert nbytes_of(rows) == 60
    assert nbytes_of((rows, [rows, None])) == 120
    assert nbytes_of(np.zeros(4, dtype=np.float32)) == 16
    # a part keeps the whole
    assert nbytes_of(rows[:1]) == 60
    assert nbytes_of(owned(rows[:1])) == 20
    assert owned(rows) is rows


def storages(value: object) -> dict[int, int]:
    """Bytes of every storage below a value, by address."""
    if isinstance(value, torch.Tensor):
        storage = value.untyped_storage()
        return {storage.data_ptr(): storage.nbytes()}
    if isinstance(value, tuple):
        parts = list(value)
    elif is_dataclass(value):
        parts = [getattr(value, field.name) for field in fields(value)]
    else:
        return {}
    return {at: size for part in parts for at, size in storages(part).items()}


def test_the_budget_of_contexts_counts_the_memory_that_they_hold(
    bundle_dir: Path, world: World, candidates: PostColumns
) -> None:
    served = Phoenix.load(bundle_dir, RuntimeOptions(engine="torch"))
    served.predict(VIEWER, history_of(world), world.posts, candidates, 1, NOW_MS)
    ((context, size),) = served._contexts._kept.values()
    assert not isinstance(context, np.ndarray)
    trunk = context.attention
    assert isinstance(trunk, Context)
    assert sum(storages(context).values()) == size
    for kept in (*trunk.keys, *trunk.values):
        assert kept.untyped_storage().nbytes() == kept.nbytes


def test_the_parameters_are_not_kept_twice(bundle_dir: Path) -> None:
    for engine, kept in (("native", False), ("torch", True)):
        served = Phoenix.load(bundle_dir, RuntimeOptions(engine=engine))  # type: ignore[arg-type]
        for model in (served._ranker._model, served._retrieval._model):
            assert any(True for _ in model.transformer.parameters()) == kept


def test_torch_scores_are_kept_only_while_fresh_ones_have_the_same_bits(
    bundle_dir: Path, world: World, candidates: PostColumns
) -> None:
    served = Phoenix.load(bundle_dir, RuntimeOptions(engine="torch"))

    def ask() -> tuple[int, int]:
        served.predict(VIEWER, history_of(world), world.posts, candidates, 1, NOW_MS)
        return served.stats.scores.hits, served.stats.scores.entries

    torch.set_num_threads(2)
    assert ask() == ask() == (0, 0)
    torch.set_num_threads(1)
    assert ask() == (0, 60)
    # the context of two threads is another one, which would spoil what is kept for one
    assert served.stats.contexts.misses == 2
    assert ask() == (60, 60)
    torch.set_num_threads(2)
    assert ask() == (60, 60)


Step = tuple[int, list[tuple[int, int]]]


@given(
    st.lists(
        st.tuples(
            st.integers(0, 2),
            st.lists(st.tuples(st.integers(0, 6), st.integers(0, 1)), min_size=1, max_size=8),
        ),
        max_size=12,
    ),
    st.integers(1, 12),
)
def test_scores_are_found_exactly_for_what_was_put(steps: list[Step], max_entries: int) -> None:
    """Against a plain dictionary: whatever is found is right, and the bound holds."""
    cache = ScoreCache(max_entries)
    known: dict[tuple[int, int], tuple[int, float]] = {}
    for n, (context, rows) in enumerate(steps):
        key = bytes([context])
        facts = np.array(rows, dtype=np.uint64)
        out = np.full((len(rows), 1), -1, dtype=np.float32)
        missed = set(cache.fill(key, facts, out).tolist())
        for i, (post, fact) in enumerate(rows):
            if i in missed:
                assert out[i, 0] == -1
            else:
                assert known[context, post] == (fact, out[i, 0])
        values = np.full((len(rows), 1), n, dtype=np.float32)
        cache.put(key, facts, values)
        # of a request with more rows than the bound only the last ones are kept
        known |= {(context, post): (fact, float(n)) for post, fact in rows[-max_entries:]}
        assert cache.stats.entries <= max_entries
        last = rows[-1]
        found = np.zeros((1, 1), dtype=np.float32)
        assert not len(cache.fill(key, np.array([last], dtype=np.uint64), found))
        assert found[0, 0] == n


def test_a_warm_context_is_not_encoded_again(
    served: Phoenix, world: World, candidates: PostColumns
) -> None:
    def ask(now_ms: int = NOW_MS, viewer: int = VIEWER) -> None:
        history = history_of(world, viewer)
        served.predict(viewer, history, world.posts, candidates, 1, now_ms)

    ask()
    ask()
    ask(NOW_MS + 1)
    # the second request finds all its scores, so it needs no context at all
    assert served.stats.contexts.misses == 1
    assert served.stats.scores.hits >= 60
    ask(viewer=8)
    assert served.stats.contexts.misses == 2
    assert served.stats.contexts.entries == 2
    assert 0 < served.stats.contexts.nbytes < 2**20


def test_whatever_the_model_reads_of_a_history_is_part_of_its_key(
    bundle_dir: Path, served: Phoenix, world: World, candidates: PostColumns
) -> None:
    history = history_of(world).take(slice(0, 5))
    posts = world.posts
    row = int(history.post_row[2])

    def changed(name: str, to: int) -> PostColumns:
        column = getattr(posts, name).copy()
        column[row] = to
        return replace(posts, **{name: column})

    def history_with(name: str, to: int) -> InteractionColumns:
        column = getattr(history, name).copy()
        column[2] = to
        return replace(history, **{name: column})

    states = [
        (history, posts),
        (history_with("actions", 1 << 20), posts),
        (history_with("dwell_secs", 29), posts),
        (history_with("surface", 9), posts),
        (history.take(slice(0, 4)), posts),
        (history.take(slice(1, 5)), posts),
        *((history, changed(name, 3)) for name in ("author_key", "language_key", "post_key")),
        (history, changed("media_kind", 1 + int(posts.media_kind[row]) % 4)),
        (history, changed("duration_ms", 70_000)),
        (history, changed("topic_keys", 9)),
    ]
    fresh = Phoenix.load(bundle_dir, RuntimeOptions(context_cache_bytes=0, score_cache_entries=0))
    answers = []
    for rows, table in states:
        out = served.predict(VIEWER, rows, table, candidates, 1, NOW_MS)
        alone = fresh.predict(VIEWER, rows, table, candidates, 1, NOW_MS)
        np.testing.assert_array_equal(out, alone)
        answers.append(out.tobytes())
    assert served.stats.contexts.misses == len(states)
    assert len(set(answers)) == len(states)


def test_whatever_the_model_reads_of_a_candidate_is_compared(
    bundle_dir: Path, served: Phoenix, world: World
) -> None:
    one = make_posts(1, np.random.default_rng(5))
    changes: list[dict[str, int]] = [
        {}, {"author_key": 77}, {"language_key": 77}, {"topic_keys": 77}, {"duration_ms": 70_000},
        {"media_kind": 1 + int(one.media_kind[0]) % 4}, {"created_ms": NOW_MS - 3 * HOUR_MS},
    ]  # fmt: skip
    history = history_of(world)
    fresh = Phoenix.load(bundle_dir, RuntimeOptions(context_cache_bytes=0, score_cache_entries=0))
    requests = [
        (replace(one, **{n: np.full_like(getattr(one, n), v) for n, v in change.items()}), 1, 0)
        for change in changes
    ]
    requests += [(one, 2, 0), (one, 1, 5 * HOUR_MS)]
    for _ in range(2):
        for posts, surface, later_ms in requests:
            asked = (VIEWER, history, world.posts, posts, surface, NOW_MS + later_ms)
            np.testing.assert_array_equal(served.predict(*asked), fresh.predict(*asked))
    assert served.stats.scores.misses >= len(requests)


def test_vectors_of_viewers_are_kept_and_cannot_be_spoilt(served: Phoenix, world: World) -> None:
    asked = (VIEWER, history_of(world), world.posts, NOW_MS)
    first = served.user_vector(*asked)
    first[:] = 0
    again = served.user_vector(*asked)
    assert np.linalg.norm(again) == pytest.approx(1, abs=1e-5)
    assert served.stats.contexts.hits == 1


def test_budgets_hold_and_memory_stays_flat_over_many_requests(
    bundle_dir: Path, world: World, candidates: PostColumns
) -> None:
    options = RuntimeOptions(context_cache_bytes=20_000, score_cache_entries=500)
    served = Phoenix.load(bundle_dir, options)
    empty = InteractionColumns.zeros(0)

    def ask_many(first: int) -> None:
        for viewer in range(first, first + 400):
            served.predict(viewer, empty, world.posts, candidates, 1, NOW_MS)
            stats = served.stats
            assert stats.contexts.nbytes <= 20_000
            assert stats.scores.entries <= 500

    ask_many(1_000)
    gc.collect()
    before = resident_bytes()
    ask_many(2_000)
    gc.collect()
    assert resident_bytes() - before < 4 * 2**20
    assert served.stats.contexts.evictions > 300


def resident_bytes() -> int:
    """Memory of this process that is in use."""
    status = Path("/proc/self/status")
    if not status.exists():
        pytest.skip("the system does not tell how much memory a process uses")
    (line,) = [row for row in status.read_text().splitlines() if row.startswith("VmRSS:")]
    return int(line.split()[1]) * 1_024
