"""Switches of the inputs that the models of August 2026 read, in groups."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from xfeed.errors import ConfigError

if TYPE_CHECKING:
    from xfeed.phoenix.config import PhoenixConfig

Category = Literal[
    "surface",
    "post_age",
    "timezone",
    "hour",
    "weekday",
    "author_followed",
    "author_follows",
    "stale",
]
"""A fact that is looked up in a small table; only candidates can be `stale`."""

SIZES: Final[dict[str, int]] = {
    "timezone": 32,
    "hour": 25,
    "weekday": 8,
    "author_followed": 2,
    "author_follows": 2,
    "stale": 2,
}
"""Rows of each category's table; those of surfaces and ages are settings of the model."""

N_COUNTS: Final = 5
"""Favorites, replies, reposts, quotes and views of a post."""


@dataclass(frozen=True, slots=True)
class MomentConfig:
    """What a token tells about the moment at which its post was shown.

    Attributes:
        categories: looked-up facts, in the order in which they are put together.
        widths: width of each category's vectors where inputs are concatenated; empty where they
            are summed and all have the width of the model.
        counts_hidden: hidden width of the network over engagement counts; 0 leaves counts out.
    """

    categories: tuple[Category, ...] = ("surface", "post_age", "timezone", "hour")
    widths: tuple[int, ...] = ()
    counts_hidden: int = 0

    def __post_init__(self) -> None:
        if self.widths and len(self.widths) != len(self.categories):
            raise ConfigError(
                f"`{len(self.categories)}` categories need as many `widths`, "
                f"got `{len(self.widths)}`",
                code="bad_widths",
            )


@dataclass(frozen=True, slots=True)
class SemanticIdConfig:
    """Codes of a post's content, coarse to fine, each with a vector of its own.

    Attributes:
        width: width of a code's vector (e).
        n_levels: codes of a post (L).
        codebook_size: codes of a level; code 0 means missing and comes on top.
        hash_level: adds a level whose code is a hash of the post's id.
        cross_attention: lets the levels attend to each other before they are summed.
    """

    width: int
    n_levels: int = 6
    codebook_size: int = 256
    hash_level: bool = True
    cross_attention: bool = False

    def __post_init__(self) -> None:
        if min(self.width, self.n_levels, self.codebook_size) < 1:
            raise ConfigError(
                f"`width` {self.width}, `n_levels` {self.n_levels} and `codebook_size` "
                f"{self.codebook_size} must be at least 1",
                code="out_of_bounds",
            )

    @property
    def n_tables(self) -> int:
        """Levels with the hash level."""
        return self.n_levels + self.hash_level


ViewerField = Literal["country", "language", "location", "apps", "gender", "age"]


@dataclass(frozen=True, slots=True)
class ViewerFeatures:
    """What is known about the viewer beyond their id; becomes a second token of the prefix.

    Attributes:
        fields: the facts that are read.
        n_countries: rows of the table of countries.
        n_languages: rows of the table of languages.
        n_apps: flags of installed apps.
        n_age_brackets: rows of the table of age brackets.
        n_frequencies: octaves of the location's sines and cosines.
        country_width: width of a country's vector; this and what follows matter only where
            inputs are concatenated.
        language_width: width of a language's vector.
        location_width: width of the location's hidden and output layers.
        apps_width: width of the vector of apps.
        gender_score_width: width of the score of an inferred gender.
        age_bracket_width: width of an age bracket's vector.
        age_hidden: hidden width of the age in years.
        age_width: width of the age in years.
        padded_width: zeros fill the concatenation up to this width; 0 adds none.
    """

    fields: tuple[ViewerField, ...] = ("country", "language", "location", "apps", "gender", "age")
    n_countries: int = 250
    n_languages: int = 200
    n_apps: int = 64
    n_age_brackets: int = 10
    n_frequencies: int = 8
    country_width: int = 128
    language_width: int = 64
    location_width: int = 64
    apps_width: int = 128
    gender_score_width: int = 16
    age_bracket_width: int = 8
    age_hidden: int = 8
    age_width: int = 16
    padded_width: int = 0


@dataclass(frozen=True, slots=True)
class DwellHead:
    """How one continuous head becomes seconds on some surfaces.

    Attributes:
        head: place among the continuous heads.
        activation: what the head's number passes through.
        scale_secs: seconds of the value 1.
        limit: soft bound after the activation, ``limit * tanh(x / limit)``; None for no bound.
        surfaces: surfaces that it is for; empty for all but `other_than`.
        other_than: surfaces that it is not for.
    """

    head: int
    activation: Literal["sigmoid", "softplus"]
    scale_secs: float
    limit: float | None = None
    surfaces: tuple[int, ...] = ()
    other_than: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.scale_secs <= 0 or (self.limit is not None and self.limit <= 0):
            raise ConfigError(
                f"`scale_secs` {self.scale_secs} and `limit` {self.limit} must be above 0",
                code="out_of_bounds",
            )


def check_inputs(config: "PhoenixConfig") -> None:
    """Refuses switches of the inputs that contradict each other.

    Raises:
        ConfigError: they do.
    """
    has_features = config.viewer_features is not None
    n_prefix = config.user_rows + has_features
    if config.prefix_len != n_prefix:
        raise ConfigError(
            f"`prefix_len` is `{config.prefix_len}`, but the viewer and their features make "
            f"`{n_prefix}`",
            code="bad_prefix",
        )
    august = has_features or config.semantic_ids is not None or config.moment is not None
    if config.inputs == "blocks" and (august or not (config.user_rows and config.item_rows)):
        raise ConfigError(
            '`inputs` "blocks" knows no semantic ids, moments, viewer features or missing rows',
            code="bad_inputs",
            hint='set `inputs` to "summed" or "concat"',
        )
    if config.inputs != "blocks" and (config.post_features or config.context_features):
        raise ConfigError(
            '`post_features` and `context_features` need `inputs` "blocks"', code="bad_inputs"
        )
    moment = config.moment
    if config.inputs == "concat" and moment and (not moment.widths or moment.counts_hidden):
        raise ConfigError(
            "concatenated inputs need `moment.widths` and cannot have `moment.counts_hidden`",
            code="bad_widths",
        )
    if config.action_slices and config.table_width % config.n_actions:
        raise ConfigError(
            f"`action_slices` needs a `table_width` that is a multiple of `n_actions` "
            f"{config.n_actions}, got `{config.table_width}`",
            code="bad_slices",
        )
    if any(not 0 <= one.head < config.n_continuous for one in config.dwell_heads):
        raise ConfigError(
            f"`dwell_heads` names a head outside [0, {config.n_continuous - 1}]",
            code="out_of_bounds",
        )
