"""Serving: what a request reads, what it answers, what it refuses."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pytest
from xfeed.actions import ACTIONS, INDEX, N_DISCRETE
from xfeed.errors import ShapeError
from xfeed.phoenix.batch import InteractionColumns, PostColumns
from xfeed.phoenix.bundles.read import read_bundle
from xfeed.phoenix.runtime import Phoenix

from tests.phoenix.worlds import HOUR_MS, START_MS, World, make_posts

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.usefixtures("one_thread")

NOW_MS = START_MS + 200 * HOUR_MS
VIEWER = 7


def history_of(world: World, viewer: int = VIEWER) -> InteractionColumns:
    return world.interactions.take(world.interactions.viewer_key == viewer)


def predict(
    phoenix: Phoenix,
    world: World,
    candidates: PostColumns,
    history: InteractionColumns | None = None,
    now_ms: int = NOW_MS,
) -> npt.NDArray[np.float32]:
    history = history_of(world) if history is None else history
    return phoenix.predict(VIEWER, history, world.posts, candidates, 1, now_ms)


@pytest.fixture(scope="module")
def candidates() -> PostColumns:
    return make_posts(40, np.random.default_rng(5))


def test_predictions_are_probabilities_then_seconds(
    phoenix: Phoenix, world: World, candidates: PostColumns
) -> None:
    out = predict(phoenix, world, candidates)
    assert out.shape == (40, len(ACTIONS))
    assert out.dtype == np.float32
    assert ((out[:, :N_DISCRETE] > 0) & (out[:, :N_DISCRETE] < 1)).all()
    assert (out[:, INDEX["dwell_time"]] > 0).all()
    assert (out[:, INDEX["dwell_time"]] <= phoenix.config.dwell_scale_secs).all()


def test_columns_without_a_trained_head_are_not_predicted(
    phoenix: Phoenix, world: World, candidates: PostColumns
) -> None:
    out = predict(phoenix, world, candidates)
    assert np.isnan(out[:, ~phoenix.heads.filled]).all()
    assert np.isfinite(out[:, phoenix.heads.filled]).all()
    missing = [action.name for action, filled in zip(ACTIONS, phoenix.heads.filled, strict=True)
               if not filled]  # fmt: skip
    assert missing == ["click_dwell_time", "active_secs_5m_residual_norm"]
    assert phoenix.n_not_finite == 0


def test_predictions_differ_between_posts_and_viewers(
    phoenix: Phoenix, world: World, candidates: PostColumns
) -> None:
    favorite = predict(phoenix, world, candidates)[:, INDEX["favorite"]]
    assert favorite.std() > 1e-3
    other = phoenix.predict(8, history_of(world, 8), world.posts, candidates, 1, NOW_MS)
    assert np.abs(other[:, INDEX["favorite"]] - favorite).max() > 1e-3


def test_no_candidates_give_no_predictions(phoenix: Phoenix, world: World) -> None:
    assert predict(phoenix, world, PostColumns.zeros(0)).shape == (0, len(ACTIONS))
    assert phoenix.post_vectors(PostColumns.zeros(0)).shape == (0, phoenix.config.emb_size)


def test_an_empty_history_is_served(
    phoenix: Phoenix, world: World, candidates: PostColumns
) -> None:
    empty = InteractionColumns.zeros(0)
    out = phoenix.predict(999, empty, PostColumns.zeros(0), candidates, 1, NOW_MS)
    assert np.isfinite(out[:, phoenix.heads.filled]).all()
    unknown = phoenix.predict(0, empty, world.posts, candidates, 1, NOW_MS)
    assert np.isfinite(unknown[:, phoenix.heads.filled]).all()
    vector = phoenix.user_vector(999, empty, world.posts, NOW_MS)
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)


def test_only_the_newest_history_is_read(
    phoenix: Phoenix, world: World, candidates: PostColumns
) -> None:
    history = history_of(world)
    newest = history.take(slice(len(history) - phoenix.config.history_len, None))
    assert len(history) > len(newest)
    np.testing.assert_array_equal(
        predict(phoenix, world, candidates, history), predict(phoenix, world, candidates, newest)
    )
    older = history.take(slice(0, phoenix.config.history_len))
    before, now = (predict(phoenix, world, candidates, h)[:, 0] for h in (older, newest))
    assert np.abs(before - now).max() > 1e-4


def test_rows_of_now_or_later_and_of_unknown_posts_are_not_read(
    phoenix: Phoenix, world: World, candidates: PostColumns
) -> None:
    history = history_of(world)
    past = history.take(slice(0, 4))
    now_ms = int(history.at_ms[4])
    np.testing.assert_array_equal(
        predict(phoenix, world, candidates, history, now_ms),
        predict(phoenix, world, candidates, past, now_ms),
    )
    unknown = replace(history, post_row=np.full(len(history), -1, dtype=np.int32))
    np.testing.assert_array_equal(
        predict(phoenix, world, candidates, unknown),
        predict(phoenix, world, candidates, InteractionColumns.zeros(0)),
    )


def test_a_history_of_another_viewer_is_refused(
    phoenix: Phoenix, world: World, candidates: PostColumns
) -> None:
    with pytest.raises(ShapeError, match="other viewers"):
        phoenix.predict(8, history_of(world, 7), world.posts, candidates, 1, NOW_MS)


def test_vectors_have_unit_length(phoenix: Phoenix, world: World, candidates: PostColumns) -> None:
    posts = phoenix.post_vectors(candidates)
    np.testing.assert_allclose(np.linalg.norm(posts, axis=1), 1, atol=1e-5)
    viewer = phoenix.user_vector(VIEWER, history_of(world), world.posts, NOW_MS)
    assert viewer.shape == (phoenix.config.emb_size,)
    assert np.linalg.norm(viewer) == pytest.approx(1, abs=1e-5)


def test_a_value_that_is_not_finite_becomes_nan_and_is_counted(
    bundle_dir: Path, world: World, candidates: PostColumns
) -> None:
    bundle = read_bundle(bundle_dir)
    bias = bundle.ranker["model.continuous_bias"].copy()
    bias[0] = np.inf
    heads = bundle.ranker["model.continuous_heads"].copy()
    heads[:, 0] = -np.inf
    broken = bundle.ranker | {"model.continuous_bias": bias, "model.continuous_heads": heads}
    phoenix = Phoenix(replace(bundle, ranker=broken))
    out = predict(phoenix, world, candidates)
    assert np.isnan(out[:, INDEX["dwell_time"]]).all()
    others = phoenix.heads.filled & (np.arange(len(ACTIONS)) != INDEX["dwell_time"])
    assert np.isfinite(out[:, others]).all()
    assert phoenix.n_not_finite == 40
    # what is kept is not counted again
    np.testing.assert_array_equal(predict(phoenix, world, candidates), out)
    assert phoenix.n_not_finite == 40


def test_whole_numbers_of_numpy_are_taken(
    phoenix: Phoenix, world: World, candidates: PostColumns
) -> None:
    history = history_of(world)
    viewer: Any = np.uint64(VIEWER)
    surface: Any = np.int64(1)
    now_ms: Any = np.int64(NOW_MS)
    out = phoenix.predict(viewer, history, world.posts, candidates, surface, now_ms)
    np.testing.assert_array_equal(out, predict(phoenix, world, candidates))
    vector = phoenix.user_vector(viewer, history, world.posts, now_ms)
    np.testing.assert_array_equal(vector, phoenix.user_vector(VIEWER, history, world.posts, NOW_MS))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("viewer_key", -1), ("viewer_key", 2**64), ("viewer_key", 1.5), ("viewer_key", None),
        ("surface", 2**63), ("surface", "1"), ("now_ms", 2**63), ("now_ms", -(2**63) - 1),
        ("now_ms", np.float64(3)),
    ],
)  # fmt: skip
def test_numbers_out_of_range_are_refused(
    phoenix: Phoenix, candidates: PostColumns, name: str, value: object
) -> None:
    empty, nothing = InteractionColumns.zeros(0), PostColumns.zeros(0)
    asked: dict[str, Any] = {"viewer_key": VIEWER, "surface": 1, "now_ms": NOW_MS, name: value}
    calls: list[Callable[[], object]] = [
        lambda: phoenix.predict(
            asked["viewer_key"], empty, nothing, candidates, asked["surface"], asked["now_ms"]
        )
    ]
    if name != "surface":
        calls.append(
            lambda: phoenix.user_vector(asked["viewer_key"], empty, nothing, asked["now_ms"])
        )
    for call in calls:
        with pytest.raises(ShapeError, match=name) as caught:
            call()
        assert repr(value) in str(caught.value)
        assert caught.value.code == "bad_number"
        assert caught.value.hint
