"""Cases of the scorers: the weighted sum, author diversity, out of network, and their order."""

from collections.abc import Sequence
from typing import Final, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from xfeed import _core
from xfeed.conformance.selectors import falling_ids
from xfeed.conformance.shape import Input, NotCovered, Results, Shape
from xfeed.conformance.weights import by_action, predictions_of, preset_of
from xfeed.presets import Preset, load_preset

Floats = npt.NDArray[np.float64]

FACTORS_OF: Final = "x-2026-08-21"
"""The preset whose factors a case means when it names none."""

MAX_PLACE: Final = 1_000
"""Beyond this place the share 0.5^k is too close to 0 to be read back."""


class Sums(Input):
    """A published parameter set, by name."""

    weights: str


class Options(Input):
    """Switches of the weighted sum."""

    lowfav: bool = False
    quoted_check: bool = False


class Viewer(Input):
    """What the weighted sum knows about the viewer."""

    follower_count: int | None = None


class ScoredPost(Input):
    """What the weighted sum knows about the post."""

    in_network: bool | None = None
    is_mutual_follow_author: bool | None = None
    in_reply_to_tweet_id: int | None = None
    retweeted_tweet_id: int | None = None
    min_video_duration_ms: int | None = None
    quoted_video_duration_ms: int | None = None


class WeightedPost(Input):
    """One post with its predictions by head."""

    weights: str
    scores: dict[str, float | None]
    candidate: ScoredPost
    query: Viewer = msgspec.field(default_factory=Viewer)
    weight_overrides: dict[str, float | None] = msgspec.field(default_factory=dict)
    option_overrides: Options = msgspec.field(default_factory=Options)


class OffsetStep(Input):
    """A net, and the sums of the weights."""

    formula: Literal["offset"]
    net: float
    positive_sum: float
    negative_sum: float


class OffsetInverse(Input):
    """Scores whose nets are asked for."""

    weights: str
    weighted_scores: list[float]


class Diversity(Input):
    """Scores and authors."""

    decay: float
    floor: float
    scores: list[float | None]
    author_ids: list[int | None]


class DiversityTable(Input):
    """Places whose multipliers are asked for."""

    decay: float
    floor: float
    k: list[int]


class NetworkPost(Input):
    """What the factor depends on."""

    in_network: bool | None = None
    in_reply_to_tweet_id: int | None = None
    retweeted_tweet_id: int | None = None


class NoTopics(Input):
    """A query without topics; with topics another factor holds, which xfeed does not have."""

    topic_ids: tuple[()] = ()


class OutOfNetwork(Input):
    """Scores of posts inside and outside the network."""

    scores: list[float]
    candidates: list[NetworkPost]
    rescore_in_network_replies_retweets: bool
    query: NoTopics = msgspec.field(default_factory=NoTopics)


class DiversityThenNetwork(Input):
    """Scores, authors and networks of originals."""

    scores: list[float]
    author_ids: list[int | None]
    in_network: list[bool | None]
    decay: float
    floor: float
    oon: float


def sums(given: Sums) -> Results:
    """Sums of the weights of a published parameter set."""
    positive, negative, total = preset_of(given.weights).weighted_sum().sums()
    return {"positive_sum": positive, "negative_sum": negative, "total_sum": total}


def weighted(given: WeightedPost) -> Results:
    """The weighted sum of one post."""
    preset = preset_of(given.weights)
    options = {
        "low_favorite_penalty": given.option_overrides.lowfav,
        "check_quoted_duration": given.option_overrides.quoted_check,
    }
    changed = {name: True for name, on in options.items() if on}
    scorer = preset.model_copy(update=changed).weighted_sum(by_action(given.weight_overrides))
    post = given.candidate
    secondary = post.in_reply_to_tweet_id is not None or post.retweeted_tweet_id is not None
    scores, nets, products, _ = scorer.score(
        predictions_of([given.scores]),
        np.array([_tri_state(post.in_network)], dtype=np.int8),
        np.array([bool(post.is_mutual_follow_author) and not secondary]),
        np.array([_duration(post.min_video_duration_ms)], dtype=np.int64),
        np.array([_duration(post.quoted_video_duration_ms)], dtype=np.int64),
        given.query.follower_count,
    )
    return {
        "pos": float(products[products > 0.0].sum()),
        "neg": float(-products[products < 0.0].sum()),
        "net": float(nets[0]),
        "weighted_score": float(scores[0]),
    }


def offset_step(given: OffsetStep) -> Results:
    """The offset step, for weights that have the given sums."""
    preset = load_preset(FACTORS_OF)
    weights = dict.fromkeys(preset.weights, 0.0)
    weights["favorite"] = given.positive_sum
    weights["report"] = -given.negative_sum
    return {"weighted_score": preset.weighted_sum(weights).offset_score(given.net)}


def offset_inverse(given: OffsetInverse) -> Results:
    """The nets of given scores."""
    scorer = preset_of(given.weights).weighted_sum()
    return {"net": [scorer.net_of_score(score) for score in given.weighted_scores]}


def diversity(given: Diversity) -> Results:
    """Author diversity: places, new scores and the order they give."""
    scores = _floats(given.scores)
    multipliers = _diversity(scores, given.author_ids, given.decay, given.floor)
    new_scores = scores * multipliers
    return {
        "k": _places(scores, given.author_ids),
        "multipliers": multipliers.tolist(),
        "scores": _nullable(new_scores),
        "order": _order(new_scores),
    }


def diversity_table(given: DiversityTable) -> Results:
    """Multipliers of the k-th further posts of one author."""
    n = max(given.k, default=0) + 1
    if min(given.k, default=0) < 0 or n > MAX_PLACE:
        raise NotCovered(f"the places {given.k} are not all in 0 ..= {MAX_PLACE - 1}")
    falling = np.arange(n, 0, -1, dtype=np.float64)
    multipliers = _diversity(falling, [1] * n, given.decay, given.floor)
    return {"multipliers": [float(multipliers[k]) for k in given.k]}


def network(given: OutOfNetwork) -> Results:
    """Scores after the factor for posts from outside the network."""
    secondary = [
        post.in_reply_to_tweet_id is not None or post.retweeted_tweet_id is not None
        for post in given.candidates
    ]
    factors = _core.out_of_network(
        np.array([_tri_state(post.in_network) for post in given.candidates], dtype=np.int8),
        np.array(secondary, dtype=np.bool_),
        _factors().out_of_network_factor,
        given.rescore_in_network_replies_retweets,
    )
    return {"scores": (np.array(given.scores, dtype=np.float64) * factors).tolist()}


def diversity_then_network(given: DiversityThenNetwork) -> Results:
    """Both multipliers, one after the other."""
    scores = _floats(given.scores)
    multipliers = _diversity(scores, given.author_ids, given.decay, given.floor)
    factors = _core.out_of_network(
        np.array([_tri_state(value) for value in given.in_network], dtype=np.int8),
        np.zeros(len(scores), dtype=np.bool_),
        given.oon,
        _factors().rescore_secondary,
    )
    final = scores * multipliers * factors
    return {
        "after_diversity": (scores * multipliers).tolist(),
        "final": final.tolist(),
        "order": _order(final),
        "k": _places(scores, given.author_ids),
    }


WEIGHTED: Final = (
    Shape(WeightedPost, weighted),
    Shape(OffsetStep, offset_step),
    Shape(OffsetInverse, offset_inverse),
    Shape(Sums, sums),
)
DIVERSITY: Final = (Shape(Diversity, diversity), Shape(DiversityTable, diversity_table))
OUT_OF_NETWORK: Final = (Shape(OutOfNetwork, network),)
ORDER: Final = (Shape(DiversityThenNetwork, diversity_then_network),)


def _factors() -> Preset:
    return load_preset(FACTORS_OF)


def _tri_state(value: bool | None) -> int:
    return -1 if value is None else int(value)


def _duration(value: int | None) -> int:
    return -1 if value is None else value


def _floats(values: Sequence[float | None]) -> Floats:
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def _nullable(values: Floats) -> list[float | None]:
    return [None if np.isnan(value) else float(value) for value in values]


def _order(scores: Floats) -> list[int]:
    selected, rest = _core.top_k(scores, falling_ids(len(scores)), len(scores))
    return [*selected, *rest]


def _diversity(scores: Floats, authors: Sequence[int | None], decay: float, floor: float) -> Floats:
    multipliers: Floats = _core.author_diversity(
        scores,
        falling_ids(len(scores)),
        np.array([author or 0 for author in authors], dtype=np.uint64),
        np.array([author is not None for author in authors], dtype=np.bool_),
        decay,
        floor,
    )
    return multipliers


def _places(scores: Floats, authors: Sequence[int | None]) -> list[int]:
    """How many better posts each author has: with decay 0.5 and floor 0 the engine says 0.5^k."""
    if len(scores) > MAX_PLACE:
        raise NotCovered(f"{len(scores)} posts; places are read back of {MAX_PLACE} at most")
    shares = _diversity(scores, authors, 0.5, 0.0)
    return [int(place) for place in -np.log2(shares)]
