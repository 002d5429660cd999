"""Serving: every candidate alone, whatever stands beside it."""

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from xfeed.actions import ACTIONS, INDEX, N_DISCRETE
from xfeed.errors import ShapeError
from xfeed.phoenix import runtime
from xfeed.phoenix.batch import InteractionColumns, PostColumns
from xfeed.phoenix.bundle import read_bundle
from xfeed.phoenix.runtime import Phoenix

from tests.phoenix.worlds import HOUR_MS, START_MS, World, make_posts

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
    assert not out[:, INDEX["click_dwell_time"]].any()
    assert not out[:, INDEX["active_secs_5m_residual_norm"]].any()


def test_predictions_differ_between_posts_and_viewers(
    phoenix: Phoenix, world: World, candidates: PostColumns
) -> None:
    favorite = predict(phoenix, world, candidates)[:, INDEX["favorite"]]
    assert favorite.std() > 1e-3
    other = phoenix.predict(8, history_of(world, 8), world.posts, candidates, 1, NOW_MS)
    assert np.abs(other[:, INDEX["favorite"]] - favorite).max() > 1e-3


def test_a_score_does_not_depend_on_other_candidates(
    phoenix: Phoenix, world: World, candidates: PostColumns
) -> None:
    together = predict(phoenix, world, candidates)
    order = np.random.default_rng(1).permutation(40)
    np.testing.assert_allclose(
        predict(phoenix, world, candidates.take(order)), together[order], atol=1e-5
    )
    np.testing.assert_allclose(
        predict(phoenix, world, candidates.take(order[:3])), together[order[:3]], atol=1e-5
    )
    alone = np.concatenate(
        [predict(phoenix, world, candidates.take(order[i : i + 1])) for i in range(5)]
    )
    np.testing.assert_allclose(alone, together[order[:5]], atol=1e-5)


def test_chunks_give_the_same_scores_as_one_pass(
    phoenix: Phoenix, world: World, candidates: PostColumns, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = predict(phoenix, world, candidates)
    vectors = phoenix.post_vectors(candidates)
    monkeypatch.setattr(runtime, "CANDIDATE_CHUNK", 7)
    monkeypatch.setattr(runtime, "POST_CHUNK", 7)
    np.testing.assert_allclose(predict(phoenix, world, candidates), whole, atol=1e-5)
    np.testing.assert_allclose(phoenix.post_vectors(candidates), vectors, atol=1e-6)


def test_no_candidates_give_no_predictions(phoenix: Phoenix, world: World) -> None:
    assert predict(phoenix, world, PostColumns.zeros(0)).shape == (0, len(ACTIONS))
    assert phoenix.post_vectors(PostColumns.zeros(0)).shape == (0, phoenix.config.emb_size)


def test_an_empty_history_is_served(
    phoenix: Phoenix, world: World, candidates: PostColumns
) -> None:
    empty = InteractionColumns.zeros(0)
    out = phoenix.predict(999, empty, PostColumns.zeros(0), candidates, 1, NOW_MS)
    assert np.isfinite(out).all()
    unknown = phoenix.predict(0, empty, world.posts, candidates, 1, NOW_MS)
    assert np.isfinite(unknown).all()
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
    assert (
        np.abs(
            predict(phoenix, world, candidates, older) - predict(phoenix, world, candidates, newest)
        ).max()
        > 1e-4
    )


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


def test_threads_get_the_same_answers_as_one(
    phoenix: Phoenix, world: World, candidates: PostColumns
) -> None:
    expected = predict(phoenix, world, candidates)
    answers: list[npt.NDArray[np.float32]] = []

    def ask() -> None:
        answers.extend(predict(phoenix, world, candidates) for _ in range(10))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 40
    for answer in answers:
        np.testing.assert_allclose(answer, expected, atol=1e-6)


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
    assert np.isfinite(np.delete(out, INDEX["dwell_time"], axis=1)).all()
    assert phoenix.n_not_finite == 40
