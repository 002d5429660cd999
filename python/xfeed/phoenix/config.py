"""Every size and switch of the models.

One description serves three profiles. That of *May 2026* (causal history, positions by slot,
concatenated inputs) and that of *August 2026* (bidirectional history, anchored positions, summed
or concatenated inputs, a prefix of two tokens) exist so that published weights and numbers can be
checked and published sizes be trained. The *demo* profile is the one that xfeed trains by default:
small, with biases and more facts about posts. The switches default to May; `profiles.py` names
the sizes, `input_config.py` groups the switches of August's inputs.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, Self

from xfeed.actions import ACTIONS, N_DISCRETE
from xfeed.errors import ConfigError
from xfeed.phoenix.config_json import at_least, config_from_json
from xfeed.phoenix.hashes import (
    HashConfig,
    author_hash,
    item_hash,
    language_hash,
    topic_hash,
    user_hash,
)
from xfeed.phoenix.input_config import (
    DwellHead,
    MomentConfig,
    SemanticIdConfig,
    ViewerFeatures,
    check_inputs,
)
from xfeed.phoenix.train_config import TrainConfig

__all__ = ["PhoenixConfig", "TrainConfig"]

MAX_HISTORY_LEN: Final = 65_536
"""History positions of a model at most; the largest published one has 1,023."""

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
        prefix_len: positions before the history: the viewer, and one for the viewer's features.
        inputs: how facts become a token: concatenated blocks of the model's width (May 2026),
            sums of projections, or concatenations of width W (both August 2026).
        user_rows: whether viewers have rows of their own; without, they have no token.
        item_rows: whether posts have rows of their own.
        semantic_ids: codes of the posts' content.
        moment: facts about when and where posts were shown.
        viewer_features: facts about the viewer.
        action_slices: in concatenated inputs, gives every action a slice of one vector of width
            W, which must be a multiple of `n_actions`, instead of a vector of its own.
        logit_scale: factor of the logits.
        dwell_heads: how continuous heads become seconds; empty for sigmoids on every surface.
        user_out_norm: whether retrieval's user tower ends with a norm.
        n_towers: retrieval's candidate towers, one per kind of candidate.
        learned_temperature: whether the divisor of retrieval's scores is a parameter.
        n_surfaces: product surfaces; an index outside gives a zero vector.
        post_age_granularity_mins: width of a post-age bucket.
        post_age_input: whether candidates carry their age.
        dwell_input: whether history positions carry the seconds spent.
        dwell_hidden: hidden width of the dwell input.
        dwell_scale_secs: seconds at which the dwell input and the dwell head saturate.
        dwell_log: whether the dwell input is logarithmic.
        candidate_tower: retrieval's candidate side: two layers, a plain mean, or a sum of
            projections.
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
    inputs: Literal["blocks", "summed", "concat"] = "blocks"
    user_rows: bool = True
    item_rows: bool = True
    semantic_ids: SemanticIdConfig | None = None
    moment: MomentConfig | None = None
    viewer_features: ViewerFeatures | None = None
    action_slices: bool = False
    logit_scale: float = 1.0
    dwell_heads: tuple[DwellHead, ...] = ()
    user_out_norm: bool = False
    n_towers: int = 1
    learned_temperature: bool = False
    n_surfaces: int = 16
    post_age_granularity_mins: int = 60
    post_age_input: bool = True
    dwell_input: bool = True
    dwell_hidden: int = 64
    dwell_scale_secs: float = 30.0
    dwell_log: bool = False
    candidate_tower: Literal["mlp", "mean", "summed"] = "mlp"
    post_features: bool = False
    context_features: bool = False
    affinity_input: bool = False
    history_pool: bool = False
    head_bias: bool = False

    def __post_init__(self) -> None:
        at_least(
            self,
            1,
            "emb_size table_width n_layers n_query_heads n_kv_heads key_size history_len "
            "n_actions n_surfaces post_age_granularity_mins dwell_hidden n_towers",
        )
        at_least(self, 0, "n_continuous")
        check_inputs(self)
        self._check_numbers()
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

    def _check_numbers(self) -> None:
        """Refuses what would make every prediction NaN, or a table of positions without end."""
        cap = 1.0 if self.attention_cap is None else self.attention_cap
        for name, value in (("attention_cap", cap), ("dwell_scale_secs", self.dwell_scale_secs)):
            if not (math.isfinite(value) and value > 0):
                raise ConfigError(
                    f"`{name}` must be a positive number, got `{value}`", code="out_of_bounds"
                )
        if self.history_len > MAX_HISTORY_LEN:
            raise ConfigError(
                f"`history_len` must be at most {MAX_HISTORY_LEN}, got `{self.history_len}`",
                code="out_of_bounds",
            )

    @property
    def ffn_size(self) -> int:
        """Hidden width of the feed-forward part.

        With a gate two thirds of ``widening_factor * D``, rounded up to a multiple of 8; without
        one all of it, rounded up to a multiple of 32.
        """
        if self.ffn == "plain":
            return (int(self.widening_factor * self.emb_size) + 31) // 32 * 32
        return ffn_size(self.emb_size, self.widening_factor)

    @property
    def n_post_ages(self) -> int:
        """Rows of the post-age table."""
        return POST_AGE_LIMIT_MINS // self.post_age_granularity_mins + 2

    @property
    def hashes(self) -> dict[str, HashConfig]:
        """Hashes by the name of their table, in the order of the tables."""
        found = {"user": self.user} if self.user_rows else {}
        found |= {"item": self.item} if self.item_rows else {}
        found["author"] = self.author
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


def ffn_size(emb_size: int, widening_factor: float) -> int:
    """Hidden width of a gated feed-forward part (two thirds, rounded up to a multiple of 8)."""
    wide = int(widening_factor * emb_size) * 2 // 3
    return (wide + 7) // 8 * 8
