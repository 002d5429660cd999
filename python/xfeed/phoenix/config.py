"""Every size and switch of the models and of their training.

One description serves two kinds of model. The *published* profile is the mid-2026 release
(causal history, positions by slot, no biases); it exists so that released weights and golden
vectors can be checked. The *demo* profile is the one that xfeed trains: bidirectional history,
right-anchored positions, per-head biases and more facts about posts. The switches default to
the published behaviour; the profile functions below set the rest.
"""

from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, Self

from xfeed.actions import ACTIONS, N_DISCRETE
from xfeed.errors import ConfigError
from xfeed.phoenix.config_json import config_from_json
from xfeed.phoenix.hashes import (
    HashConfig,
    author_hash,
    item_hash,
    language_hash,
    topic_hash,
    user_hash,
)

POST_AGE_LIMIT_MINS: Final = 4_800
"""Minutes after which a post is simply old; the last age bucket starts here."""

DURATION_BUCKETS: Final = 16
"""Log-spaced buckets of a video's length; bucket 0 means unknown."""

MEDIA_KINDS: Final = 5
"""None, photo, video, animation, audio."""

HOURS: Final = 25
"""Hours of the day (UTC) plus one for an unknown time."""


@dataclass(frozen=True, slots=True)
class PhoenixConfig:
    """Shape of both models.

    Attributes:
        emb_size: width of the transformer (D).
        table_width: width of an embedding row (W); the published models have W = D.
        n_layers: transformer layers.
        n_query_heads: query heads (H).
        n_kv_heads: key and value heads (G), a divisor of `n_query_heads`.
        key_size: width of a head (K), even.
        widening_factor: hidden width of the feed-forward part over D, before the 2/3 of gating.
        history_len: history positions (S); older interactions are left out.
        n_actions: discrete heads (A).
        n_continuous: continuous heads.
        user: hash of viewers.
        item: hash of posts.
        author: hash of authors.
        address: hash of network addresses; None leaves that input out.
        language: hash of languages, used with `post_features`.
        topic: hash of topics, used with `post_features`.
        history_attention: whether a history position sees later ones.
        positions: by slot, or anchored at the newest history position so that neither padding
            nor a candidate's place in the batch matters.
        attention_multiplier: factor on query-key products.
        attention_cap: soft bound of the products; None for no bound.
        attention_cap_kind: ``cap * tanh(x / cap)`` or ``x / (1 + |x| / cap)``.
        qk_norm: normalises queries and keys, each over all heads at once, before they are rotated.
        norms: a norm before each part of a layer, or one before and one after it.
        ffn: gated with two thirds of the hidden width, or plain.
        prefix_len: positions before the history: the viewer, and a second one for the viewer's
            features.
        n_surfaces: product surfaces; an index outside gives a zero vector.
        post_age_granularity_mins: width of a post-age bucket.
        post_age_input: whether candidates carry their age.
        dwell_input: whether history positions carry the seconds spent.
        dwell_hidden: hidden width of the dwell input.
        dwell_scale_secs: seconds at which the dwell input and the dwell head saturate.
        dwell_log: whether the dwell input is logarithmic.
        candidate_tower: retrieval's candidate side, two layers or a plain mean.
        post_features: adds media kind, duration, language and topics to posts.
        context_features: adds the hour of the day to candidates.
        affinity_input: tells candidates how the viewer treated their post, author and topics.
        history_pool: adds the vectors of liked posts to the viewer's vector in retrieval.
        head_bias: gives each head a bias.
    """

    emb_size: int
    table_width: int
    n_layers: int
    n_query_heads: int
    n_kv_heads: int
    key_size: int
    history_len: int
    user: HashConfig
    item: HashConfig
    author: HashConfig
    widening_factor: float = 2.0
    n_actions: int = N_DISCRETE
    n_continuous: int = len(ACTIONS) - N_DISCRETE
    address: HashConfig | None = None
    language: HashConfig | None = None
    topic: HashConfig | None = None
    history_attention: Literal["causal", "bidirectional"] = "causal"
    positions: Literal["slot", "right_anchored"] = "slot"
    attention_multiplier: float = 0.125
    attention_cap: float | None = 30.0
    attention_cap_kind: Literal["tanh", "soft_sign"] = "tanh"
    qk_norm: bool = False
    norms: Literal["sandwich", "pre"] = "sandwich"
    ffn: Literal["gated", "plain"] = "gated"
    prefix_len: int = 1
    n_surfaces: int = 16
    post_age_granularity_mins: int = 60
    post_age_input: bool = True
    dwell_input: bool = True
    dwell_hidden: int = 64
    dwell_scale_secs: float = 30.0
    dwell_log: bool = False
    candidate_tower: Literal["mlp", "mean"] = "mlp"
    post_features: bool = False
    context_features: bool = False
    affinity_input: bool = False
    history_pool: bool = False
    head_bias: bool = False

    def __post_init__(self) -> None:
        _at_least(
            self,
            1,
            "emb_size table_width n_layers n_query_heads n_kv_heads key_size history_len "
            "n_actions n_surfaces post_age_granularity_mins dwell_hidden",
        )
        _at_least(self, 0, "n_continuous")
        if self.n_query_heads % self.n_kv_heads or self.key_size % 2:
            raise ConfigError(
                f"`n_query_heads` {self.n_query_heads} must be a multiple of `n_kv_heads` "
                f"{self.n_kv_heads}, and `key_size` {self.key_size} even",
                code="bad_heads",
            )
        if self.post_features and (self.language is None or self.topic is None):
            raise ConfigError(
                "`post_features` needs the hashes `language` and `topic`", code="missing_hash"
            )

    @property
    def ffn_size(self) -> int:
        """Hidden width of the feed-forward part: two thirds, rounded up to a multiple of 8."""
        return ffn_size(self.emb_size, self.widening_factor)

    @property
    def n_post_ages(self) -> int:
        """Rows of the post-age table."""
        return POST_AGE_LIMIT_MINS // self.post_age_granularity_mins + 2

    @property
    def hashes(self) -> dict[str, HashConfig]:
        """Hashes by the name of their table, in the order of the tables."""
        found = {"user": self.user, "item": self.item, "author": self.author}
        if self.address is not None:
            found["address"] = self.address
        if self.post_features:
            assert self.language is not None
            assert self.topic is not None
            found |= {"language": self.language, "topic": self.topic}
        return found

    @classmethod
    def demo(cls) -> Self:
        """The profile that xfeed trains by default."""
        return cls(
            emb_size=48,
            table_width=32,
            n_layers=2,
            n_query_heads=4,
            n_kv_heads=4,
            key_size=16,
            history_len=32,
            user=user_hash(32_768),
            item=item_hash(65_536),
            author=author_hash(32_768),
            language=language_hash(1_024),
            topic=topic_hash(8_192),
            history_attention="bidirectional",
            positions="right_anchored",
            attention_multiplier=0.25,
            attention_cap=None,
            dwell_log=True,
            post_features=True,
            context_features=True,
            affinity_input=True,
            history_pool=True,
            head_bias=True,
        )

    @classmethod
    def published_mini(cls) -> Self:
        """The released mini model of mid-2026."""
        return cls(
            emb_size=128,
            table_width=128,
            n_layers=4,
            n_query_heads=4,
            n_kv_heads=4,
            key_size=32,
            history_len=127,
            n_actions=19,
            n_continuous=8,
            user=user_hash(1_000_000),
            item=item_hash(1_000_000),
            author=author_hash(1_000_000),
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values that `from_json` reads back."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """Reads `to_json` back.

        Raises:
            ConfigError: a key is unknown or missing, or a value is of the wrong kind.
        """
        return config_from_json(cls, values)


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """How the models are trained.

    Attributes:
        seed: seed of every random choice.
        ranker_epochs: passes over the training impressions.
        retrieval_epochs: passes over the positive impressions.
        batch_size: samples of a ranker step.
        retrieval_batch_size: positives of a retrieval step.
        candidates_per_sample: impressions that share one history while training (C).
        dense_lr: AdamW step size.
        table_lr: row-wise AdaGrad step size.
        weight_decay: AdamW decay of matrices.
        warmup_fraction: share of the steps over which the step sizes rise.
        table_init_std: spread of fresh embedding rows; small, so that an unknown id says little.
        gradient_clip: bound of the global gradient norm of the dense parameters.
        id_dropout: share of viewers and posts whose id rows are blanked in a ranker step, which
            keeps the model useful for ids it has never met.
        dwell_weight: weight of the dwell-seconds loss.
        held_out_fraction: share of the newest impressions kept for evaluation.
        max_evaluation_impressions: evaluates on at most so many of them, evenly spaced.
        retrieval_id_dropout: share of posts whose id rows are blanked in a retrieval step.
        retrieval_temperature: divisor of cosine scores in the retrieval loss.
        retrieval_negatives: posts drawn evenly as extra negatives of a retrieval step.
    """

    seed: int = 0
    ranker_epochs: int = 2
    retrieval_epochs: int = 1
    batch_size: int = 128
    retrieval_batch_size: int = 128
    candidates_per_sample: int = 6
    dense_lr: float = 4e-3
    table_lr: float = 0.05
    weight_decay: float = 1e-3
    warmup_fraction: float = 0.05
    table_init_std: float = 0.18
    gradient_clip: float = 1.0
    id_dropout: float = 0.5
    dwell_weight: float = 0.1
    held_out_fraction: float = 0.1
    max_evaluation_impressions: int = 50_000
    retrieval_id_dropout: float = 0.8
    retrieval_temperature: float = 0.2
    retrieval_negatives: int = 256

    def __post_init__(self) -> None:
        _at_least(
            self,
            1,
            "batch_size retrieval_batch_size candidates_per_sample max_evaluation_impressions",
        )
        _at_least(self, 0, "seed ranker_epochs retrieval_epochs retrieval_negatives")
        for name in ("held_out_fraction", "id_dropout", "retrieval_id_dropout", "warmup_fraction"):
            value = getattr(self, name)
            if not 0 <= value < 1:
                raise ConfigError(
                    f"`{name}` must lie in [0, 1), got `{value}`", code="out_of_bounds"
                )

    def to_json(self) -> dict[str, Any]:
        """Plain values that `from_json` reads back."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """Reads `to_json` back.

        Raises:
            ConfigError: a key is unknown or missing, or a value is of the wrong kind.
        """
        return config_from_json(cls, values)


def ffn_size(emb_size: int, widening_factor: float) -> int:
    """Hidden width of a gated feed-forward part (two thirds, rounded up to a multiple of 8)."""
    wide = int(widening_factor * emb_size) * 2 // 3
    return (wide + 7) // 8 * 8


def _at_least(config: object, bound: int, names: str) -> None:
    """Refuses fields below a bound."""
    for name in names.split():
        value = getattr(config, name)
        if value < bound:
            raise ConfigError(
                f"`{name}` must be at least {bound}, got `{value}`", code="out_of_bounds"
            )
