"""Named sizes of the two models.

A profile is a way of reading inputs and running layers, a preset is a profile with sizes. `mini`
and `tiny` have the profile of May 2026, `nano`, `prod` and `tiny-prod` that of August 2026,
`demo` is xfeed's own. Sizes of mini, nano and prod are the published ones. A preset is nothing
but a `PhoenixConfig` per model; `dataclasses.replace` makes another.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Final, NamedTuple

from xfeed.actions import ACTIONS, INDEX, N_DISCRETE
from xfeed.errors import ConfigError
from xfeed.phoenix.config import PhoenixConfig
from xfeed.phoenix.hashes import author_hash, item_hash, user_hash
from xfeed.phoenix.prod_style import dwell_heads, prod_style, prod_style_retrieval

DWELL: Final = INDEX["dwell_time"] - N_DISCRETE
"""Place of the dwell seconds among our continuous heads."""


class Preset(NamedTuple):
    """The shapes of both models.

    Attributes:
        ranker: of the ranker.
        retrieval: of the two towers.
    """

    ranker: PhoenixConfig
    retrieval: PhoenixConfig


def demo() -> Preset:
    """What xfeed trains by default."""
    return Preset(PhoenixConfig.demo(), PhoenixConfig.demo())


def mini() -> Preset:
    """The released models of May 2026."""
    return Preset(PhoenixConfig.published_mini(), PhoenixConfig.published_mini())


def tiny() -> Preset:
    """The profile of May 2026, small enough for tests."""
    config = replace(
        PhoenixConfig.published_mini(),
        emb_size=32,
        table_width=32,
        n_layers=2,
        n_kv_heads=2,
        key_size=8,
        history_len=12,
        user=user_hash(257),
        item=item_hash(509),
        author=author_hash(127),
    )
    return Preset(config, config)


def tiny_prod() -> Preset:
    """The profile of August 2026, small enough for tests."""
    ranker = prod_style(
        emb_size=64,
        table_width=32,
        n_layers=2,
        n_query_heads=4,
        n_kv_heads=2,
        history_len=12,
        n_rows=(257, 509, 127, 61),
    )
    retrieval = prod_style_retrieval(
        emb_size=64,
        n_layers=2,
        n_query_heads=4,
        n_kv_heads=2,
        history_len=12,
        n_rows=(509, 127),
    )
    return Preset(ranker, retrieval)


def nano() -> Preset:
    """The published small sizes of August 2026, with the geometry of `prod`."""
    ranker = prod_style(
        emb_size=512,
        table_width=128,
        n_layers=4,
        n_query_heads=4,
        n_kv_heads=2,
        history_len=1_022,
        n_rows=(100_000, 100_000, 30_000, 10_000),
    )
    retrieval = prod_style_retrieval(
        emb_size=512,
        n_layers=4,
        n_query_heads=4,
        n_kv_heads=2,
        history_len=1_023,
        n_rows=(100_000, 30_000),
        legacy_attention=False,
    )
    return Preset(ranker, retrieval)


def prod() -> Preset:
    """The published flagship sizes of August 2026; the tables alone take 490 GB in bfloat16."""
    ranker = prod_style(
        emb_size=2_560,
        table_width=1_024,
        n_layers=8,
        n_query_heads=20,
        n_kv_heads=4,
        history_len=1_022,
        n_rows=(100_000_000, 100_000_000, 30_000_000, 10_000_000),
    )
    retrieval = prod_style_retrieval(
        emb_size=1_024,
        n_layers=8,
        n_query_heads=16,
        n_kv_heads=4,
        history_len=1_023,
        n_rows=(100_000_000, 30_000_000),
    )
    return Preset(ranker, retrieval)


PRESETS: Final[dict[str, Callable[[], Preset]]] = {
    "demo": demo,
    "tiny": tiny,
    "tiny-prod": tiny_prod,
    "mini": mini,
    "nano": nano,
    "prod": prod,
}
"""Every preset by its name."""


def preset(name: str) -> Preset:
    """Finds a preset.

    Raises:
        ConfigError: there is none of that name.
    """
    if name not in PRESETS:
        raise ConfigError(
            f"there is no preset `{name}`",
            code="unknown_preset",
            hint=f"choose one of {', '.join(f'`{one}`' for one in PRESETS)}",
        )
    return PRESETS[name]()


def for_training(name: str) -> Preset:
    """A preset as far as xfeed's own events can feed it.

    It has the heads of our actions instead of the published numbers, and no network addresses.
    Positions are anchored at the newest entry of the history and the history sees itself both ways,
    also in `mini`: positions that follow slots would tie a score to a candidate's place.
    Our posts have no semantic ids yet, so they have rows of their own in retrieval too; without
    either, all posts of an author would be one.

    Raises:
        ConfigError: there is none of that name.
    """
    found = preset(name)
    return Preset(_for_our_events(found.ranker), _for_our_events(found.retrieval))


def _for_our_events(config: PhoenixConfig) -> PhoenixConfig:
    """One of the models; the width of its tables need not be a multiple of our actions."""
    return replace(
        config,
        n_actions=N_DISCRETE,
        n_continuous=len(ACTIONS) - N_DISCRETE,
        dwell_heads=dwell_heads(DWELL) if config.dwell_heads else (),
        action_slices=False,
        address=None,
        semantic_ids=None,
        item_rows=True,
        positions="right_anchored",
        history_attention="bidirectional",
    )
