"""The scorers of the engine against an independent float64 version, on random input."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xfeed import _core
from xfeed.actions import ACTIONS, INDEX
from xfeed.errors import ShapeError
from xfeed.presets import Preset, available, load_preset

from tests.golden import reference
from tests.golden.reference import Post

Floats = npt.NDArray[np.float64]

POSITIVE = [
    action.name for action in ACTIONS if action.sign == "positive" and action.kind == "discrete"
]
ANY_FLOAT = st.one_of(st.floats(0.0, 1.0), st.just(float("nan")), st.floats(width=64))
SHARES = st.floats(0.0, 1.0)


def random_posts(generator: np.random.Generator, n: int) -> list[Post]:
    lengths = (-1, 0, 9_999, 10_000, 10_001, 600_000)
    return [
        Post(
            in_network=int(generator.integers(-1, 2)),
            mutual_original=bool(generator.random() < 0.3),
            video_ms=int(generator.choice(lengths)),
            quoted_video_ms=int(generator.choice(lengths)),
        )
        for _ in range(n)
    ]


def random_predictions(generator: np.random.Generator, n: int) -> Floats:
    predictions = generator.random((n, len(ACTIONS))) ** 4
    predictions[:, INDEX["dwell_time"]] *= 60.0
    predictions[:, INDEX["click_dwell_time"]] *= 60.0
    # The negative weights are large: without this nearly every net would be negative.
    for action in ("report", "mute_author", "block_author", "not_interested"):
        predictions[:, INDEX[action]] *= generator.choice([0.0, 0.01, 1.0], n)
    predictions[generator.random(predictions.shape) < 0.2] = np.nan
    predictions[generator.random(predictions.shape) < 0.02] = np.inf
    return predictions


def score(
    preset: Preset, predictions: Floats, posts: list[Post], followers: int | None
) -> tuple[Floats, Floats, Floats, Floats]:
    scorer = preset.weighted_sum()
    return scorer.score(
        predictions,
        np.array([post.in_network for post in posts], dtype=np.int8),
        np.array([post.mutual_original for post in posts], dtype=np.bool_),
        np.array([post.video_ms for post in posts], dtype=np.int64),
        np.array([post.quoted_video_ms for post in posts], dtype=np.int64),
        followers,
    )


def one_score(preset: Preset, predictions: Floats) -> float:
    post = Post(in_network=1, mutual_original=False, video_ms=20_000, quoted_video_ms=20_000)
    return float(score(preset, predictions.reshape(1, -1), [post], 10)[0][0])


@pytest.mark.parametrize("name", available())
@pytest.mark.parametrize("followers", [None, 0, 9_999, 10_000])
@pytest.mark.parametrize("switches", [False, True])
def test_the_weighted_sum_is_that_of_numpy(
    name: str, followers: int | None, *, switches: bool
) -> None:
    changes = {
        "check_quoted_duration": switches,
        "low_favorite_penalty": switches,
        "mutual_dwell_boost": 0.7 if switches else 0.0,
    }
    preset = load_preset(name).model_copy(update=changes)
    generator = np.random.default_rng(20_260_821)
    posts = random_posts(generator, 400)
    predictions = random_predictions(generator, 400)
    scores, nets, products, weights = score(preset, predictions, posts, followers)
    expected_scores, expected_nets = reference.weighted_sum(preset, predictions, posts, followers)
    assert (nets < 0).any()
    assert (nets > 0).any()
    np.testing.assert_allclose(nets, expected_nets, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(scores, expected_scores, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(products.sum(axis=1), nets, rtol=1e-12, atol=1e-12)
    favorites = predictions[:, INDEX["favorite"]]
    finite = [row for row in range(len(posts)) if not np.isinf(favorites[row])]
    for row in finite:
        expected = reference.weights_of(preset, posts[row], followers, favorites[row])
        np.testing.assert_allclose(weights[row], expected, rtol=1e-12)


def test_disliked_posts_stay_below_all_others() -> None:
    preset = load_preset("x-2026-08-21")
    generator = np.random.default_rng(7)
    posts = random_posts(generator, 400)
    scores, nets, _, _ = score(preset, random_predictions(generator, 400), posts, 10)
    assert scores[nets < 0].max() < preset.offset <= scores[nets >= 0].min()
    assert scores.min() >= 0.0


@settings(deadline=None, derandomize=True)
@given(
    nets=st.lists(st.floats(-367.0, 1e6), min_size=2, max_size=20),
    name=st.sampled_from(available()),
)
def test_the_offset_step_keeps_the_order_and_can_be_inverted(nets: list[float], name: str) -> None:
    scorer = load_preset(name).weighted_sum()
    scores = [scorer.offset_score(net) for net in sorted(nets)]
    assert scores == sorted(scores)
    for net, value in zip(sorted(nets), scores, strict=True):
        assert scorer.net_of_score(value) == pytest.approx(net, rel=1e-9, abs=1e-9)


@settings(deadline=None, derandomize=True)
@given(
    action=st.sampled_from(POSITIVE),
    raised=st.floats(0.0, 50.0),
    small=SHARES,
    large=SHARES,
    seed=st.integers(0, 2**32 - 1),
)
def test_raising_a_positive_weight_never_favours_the_post_with_the_smaller_prediction(
    action: str, raised: float, small: float, large: float, seed: int
) -> None:
    small, large = sorted((small, large))
    preset = load_preset("x-2026-08-21")
    weights = {**preset.weights, action: preset.weights[action] + raised}
    heavier = preset.model_copy(update={"weights": weights})
    predictions = np.random.default_rng(seed).random(len(ACTIONS))
    predictions[[INDEX["report"], INDEX["mute_author"], INDEX["block_author"]]] = 0.0
    predictions[INDEX["not_interested"]] *= seed % 2
    less, more = predictions.copy(), predictions.copy()
    less[INDEX[action]], more[INDEX[action]] = small, large
    for weighing in (preset, heavier):
        assert one_score(weighing, more) >= one_score(weighing, less) - 1e-12


@settings(deadline=None, derandomize=True)
@given(data=st.data(), n=st.integers(0, 30))
def test_author_diversity_is_that_of_numpy(data: st.DataObject, n: int) -> None:
    scores = np.array(data.draw(st.lists(ANY_FLOAT, min_size=n, max_size=n)), dtype=np.float64)
    ids = st.lists(st.integers(0, 2**64 - 1), min_size=n, max_size=n, unique=True)
    posts = np.array(data.draw(ids), dtype=np.uint64)
    people = st.one_of(st.none(), st.integers(0, 3))
    authors = data.draw(st.lists(people, min_size=n, max_size=n))
    decay, floor = data.draw(SHARES), data.draw(SHARES)
    got = _core.author_diversity(
        scores,
        posts,
        np.array([author or 0 for author in authors], dtype=np.uint64),
        np.array([author is not None for author in authors], dtype=np.bool_),
        decay,
        floor,
    )
    expected = reference.author_diversity(scores, posts, authors, decay, floor)
    np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-300)
    assert ((got >= floor - 1e-12) & (got <= 1.0 + 1e-12)).all()


@settings(deadline=None, derandomize=True)
@given(data=st.data(), n=st.integers(0, 40), k=st.integers(0, 50))
def test_the_selector_orders_by_score_and_id_and_never_takes_the_unscored(
    data: st.DataObject, n: int, k: int
) -> None:
    values = st.one_of(st.sampled_from([0.0, 0.5, 1.0]), ANY_FLOAT)
    scores = np.array(data.draw(st.lists(values, min_size=n, max_size=n)), dtype=np.float64) + 0.0
    ids = st.lists(st.integers(0, 2**64 - 1), min_size=n, max_size=n, unique=True)
    posts = np.array(data.draw(ids), dtype=np.uint64)
    selected, rest = _core.top_k(scores, posts, k)
    order = reference.best_first(scores, posts)
    n_selected = min(k, int(np.isfinite(scores).sum()))
    assert selected == order[:n_selected]
    assert sorted(rest) == sorted(order[n_selected:])
    assert np.isfinite(scores[selected]).all()


def test_ties_are_broken_by_the_whole_id() -> None:
    posts = np.array([2**63, 2**63 + 1, 2**53 + 1, 2**53], dtype=np.uint64)
    assert _core.top_k(np.full(4, 0.5), posts, 4)[0] == [1, 0, 2, 3]


@settings(deadline=None, derandomize=True)
@given(
    rows=st.lists(st.tuples(st.sampled_from([-1, 0, 1]), st.booleans()), max_size=30),
    factor=SHARES,
    rescore=st.booleans(),
)
def test_only_what_is_known_to_be_outside_or_secondary_is_scaled(
    rows: list[tuple[int, bool]], factor: float, *, rescore: bool
) -> None:
    got = _core.out_of_network(
        np.array([network for network, _ in rows], dtype=np.int8),
        np.array([secondary for _, secondary in rows], dtype=np.bool_),
        factor,
        rescore,
    )
    expected = [
        factor if network == 0 or (network == 1 and secondary and rescore) else 1.0
        for network, secondary in rows
    ]
    assert got.tolist() == expected


def test_columns_of_different_lengths_are_refused() -> None:
    with pytest.raises(ShapeError, match="2 entries, 3 are needed"):
        _core.author_diversity(
            np.zeros(3),
            np.zeros(3, dtype=np.uint64),
            np.zeros(2, dtype=np.uint64),
            np.ones(3, dtype=np.bool_),
            0.5,
            0.25,
        )
    with pytest.raises(ShapeError):
        _core.top_k(np.zeros(3), np.zeros(2, dtype=np.uint64), 1)
