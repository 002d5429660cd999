"""Every profile is served, with drawn weights: what holds for the trained one holds for all."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from xfeed import _core
from xfeed.actions import ACTIONS, INDEX, N_DISCRETE
from xfeed.phoenix.batch import InteractionColumns, PostColumns
from xfeed.phoenix.bundles.layout import parameter_shapes, table_shapes
from xfeed.phoenix.bundles.read import Bundle
from xfeed.phoenix.config import PhoenixConfig
from xfeed.phoenix.options import RuntimeOptions
from xfeed.phoenix.profiles import Preset, for_training, preset
from xfeed.phoenix.runtime import Phoenix

from tests.phoenix.worlds import HOUR_MS, START_MS, World, make_posts, small_config

pytestmark = pytest.mark.usefixtures("one_thread")

NOW_MS = START_MS + 200 * HOUR_MS
VIEWER = 7
ALONE = RuntimeOptions(context_cache_bytes=0, score_cache_entries=0, max_batch_viewers=1)

SHAPES: dict[str, Preset] = {
    "demo": Preset(small_config(), small_config()),
    "tiny": preset("tiny"),
    "tiny-trained": for_training("tiny"),
    "tiny-prod": preset("tiny-prod"),
    "tiny-prod-trained": for_training("tiny-prod"),
}


def drawn(kind: Any, config: PhoenixConfig) -> dict[str, npt.NDArray[np.float32]]:
    """Parameters of the usual size; norms and rates around one."""
    draw = np.random.default_rng(3)

    def values(shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
        if len(shape) > 1:
            return draw.normal(0, shape[0] ** -0.5, shape)
        return draw.uniform(0.2, 1, shape)

    shapes = parameter_shapes(kind, config)
    return {name: values(shape).astype(np.float32) for name, shape in shapes.items()}


def tables(config: PhoenixConfig) -> dict[str, _core.EmbeddingTable]:
    draw = np.random.default_rng(4)
    return {
        name.removeprefix("table."): _core.EmbeddingTable.from_array(
            draw.normal(0, 1, shape).astype(np.float32)
        )
        for name, shape in table_shapes(config).items()
    }


def made(shapes: Preset, *, imported: bool) -> Bundle:
    """A bundle of these shapes, as `read_bundle` would give it."""
    ranker, retrieval = shapes
    ours = tuple(action.name for action in ACTIONS[:N_DISCRETE])
    theirs = ("0", "favorite", *(str(number) for number in range(2, 64)))
    return Bundle(
        id="drawn",
        directory=Path(),
        config=ranker,
        retrieval_config=retrieval,
        ranker=drawn("ranker", ranker),
        retrieval=drawn("retrieval", retrieval),
        ranker_tables=tables(ranker),
        retrieval_tables=tables(retrieval),
        actions=theirs[: ranker.n_actions] if imported else ours,
        origin="published-import" if imported else "fit",
        log_offset=0,
        metrics={},
        files=(),
        notes={},
    )


@pytest.fixture(scope="module", params=[*SHAPES])
def bundle(request: pytest.FixtureRequest) -> Bundle:
    imported = request.param in {"tiny", "tiny-prod"}
    return made(SHAPES[request.param], imported=imported)


@pytest.fixture(scope="module")
def candidates() -> PostColumns:
    return make_posts(70, np.random.default_rng(5))


def history_of(world: World) -> InteractionColumns:
    return world.interactions.take(world.interactions.viewer_key == VIEWER)


def ask(phoenix: Phoenix, world: World, posts: PostColumns) -> npt.NDArray[np.float32]:
    return phoenix.predict(VIEWER, history_of(world), world.posts, posts, 1, NOW_MS)


@pytest.mark.parametrize("engine", ["native", "torch"])
def test_candidates_are_alone_in_every_profile(
    bundle: Bundle, world: World, candidates: PostColumns, engine: Any
) -> None:
    phoenix = Phoenix(bundle, replace(ALONE, engine=engine))
    whole = ask(phoenix, world, candidates)
    filled = phoenix.heads.filled
    assert np.isfinite(whole[:, filled]).all()
    assert np.isnan(whole[:, ~filled]).all()
    assert whole[:, INDEX["favorite"]].std() > 0
    assert filled[INDEX["dwell_time"]]
    order = np.random.default_rng(1).permutation(70)
    np.testing.assert_array_equal(ask(phoenix, world, candidates.take(order)), whole[order])
    np.testing.assert_array_equal(ask(phoenix, world, candidates.take(order[:9])), whole[order[:9]])


def test_both_engines_agree_in_every_profile(
    bundle: Bundle, world: World, candidates: PostColumns
) -> None:
    native, torch = (Phoenix(bundle, replace(ALONE, engine=e)) for e in ("native", "torch"))
    one, other = ask(native, world, candidates), ask(torch, world, candidates)
    np.testing.assert_allclose(one, other, atol=2e-5, rtol=1e-5)
    asked = (VIEWER, history_of(world), world.posts, NOW_MS)
    np.testing.assert_allclose(native.user_vector(*asked), torch.user_vector(*asked), atol=2e-6)


def test_kept_answers_equal_fresh_ones_in_every_profile(
    bundle: Bundle, world: World, candidates: PostColumns
) -> None:
    fresh, keeping = Phoenix(bundle, ALONE), Phoenix(bundle)
    for later_ms in (0, 0, 1, HOUR_MS, 30 * HOUR_MS, 30 * HOUR_MS):
        asked = (
            VIEWER, history_of(world), world.posts, candidates, 1, NOW_MS + later_ms,
        )  # fmt: skip
        np.testing.assert_array_equal(keeping.predict(*asked), fresh.predict(*asked))
    assert keeping.stats.scores.hits >= 140
    assert keeping.stats.contexts.misses == 1


@pytest.mark.parametrize("viewer", [0, 1, 2**64 - 1])
def test_empty_and_over_long_histories_are_served(
    bundle: Bundle, world: World, candidates: PostColumns, viewer: int
) -> None:
    phoenix = Phoenix(bundle)
    filled = phoenix.heads.filled
    long = InteractionColumns.zeros(2_000)
    long.viewer_key[:] = viewer
    long.at_ms[:] = START_MS + np.arange(2_000)
    long.post_row[:] = np.arange(2_000) % len(world.posts)
    for history in (InteractionColumns.zeros(0), long.take(slice(0, 1)), long):
        out = phoenix.predict(viewer, history, world.posts, candidates, 1, NOW_MS)
        assert np.isfinite(out[:, filled]).all()
        vector = phoenix.user_vector(viewer, history, world.posts, NOW_MS)
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)
    newest = long.take(slice(2_000 - phoenix.config.history_len, None))
    same = phoenix.predict(viewer, newest, world.posts, candidates, 1, NOW_MS)
    np.testing.assert_array_equal(out, same)


def test_strange_surfaces_and_times_are_served(
    bundle: Bundle, world: World, candidates: PostColumns
) -> None:
    phoenix = Phoenix(bundle)
    for surface, now_ms in ((0, 0), (255, NOW_MS), (10, START_MS), (99_999, 253_402_300_799_999)):
        out = phoenix.predict(VIEWER, history_of(world), world.posts, candidates, surface, now_ms)
        assert np.isfinite(out[:, phoenix.heads.filled]).all()


def test_vectors_of_posts_do_not_depend_on_each_other(
    bundle: Bundle, candidates: PostColumns
) -> None:
    phoenix = Phoenix(bundle)
    whole = phoenix.post_vectors(candidates)
    assert whole.shape == (70, bundle.retrieval_config.emb_size)
    np.testing.assert_allclose(np.linalg.norm(whole, axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(phoenix.post_vectors(candidates.take(np.arange(3))), whole[:3])


def test_a_made_up_request_warms_up_and_leaves_no_trace(bundle: Bundle) -> None:
    phoenix = Phoenix(bundle, RuntimeOptions(warm_up=True))
    assert phoenix.stats.contexts.entries == phoenix.stats.scores.entries == 0
    assert phoenix.n_not_finite == 0
