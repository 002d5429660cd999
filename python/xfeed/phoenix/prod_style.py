"""The profile of August 2026, *prod-style*, for any sizes.

Bidirectional history, positions anchored at its newest entry, plain layers, scaled logits, and
a prefix of two tokens. What was not published, the width e of semantic ids, is that of the
tables; heads together are as wide as the model.
"""

from typing import Final

from xfeed.phoenix.config import PhoenixConfig
from xfeed.phoenix.hashes import address_hash, author_hash, item_hash, user_hash
from xfeed.phoenix.input_config import (
    Category,
    DwellHead,
    MomentConfig,
    SemanticIdConfig,
    ViewerFeatures,
)

N_PUBLISHED_ACTIONS: Final = 64
"""Discrete heads of the home ranker of August 2026."""

N_PUBLISHED_CONTINUOUS: Final = 8

GALLERY: Final = 10
"""Product surface of the full-screen gallery."""

PUBLISHED_DWELL: Final = 1
"""Place of the dwell seconds among the published continuous heads."""

CATEGORIES: Final[tuple[Category, ...]] = (
    "surface",
    "post_age",
    "timezone",
    "hour",
    "author_followed",
    "author_follows",
    "stale",
)
"""What the flagship ranker knows about the moment."""


COUNTRY_AND_LANGUAGE: Final = ViewerFeatures(("country", "language"), padded_width=2_048)
"""What the flagship towers know about the viewer."""


def dwell_heads(head: int) -> tuple[DwellHead, ...]:
    """Dwell as in August 2026: up to 300 s in the gallery, a share of 30 s elsewhere."""
    return (
        DwellHead(head, "softplus", 300.0, limit=300.0, surfaces=(GALLERY,)),
        DwellHead(head, "sigmoid", 30.0, other_than=(GALLERY,)),
    )


def prod_style(
    *,
    emb_size: int,
    table_width: int,
    n_layers: int,
    n_query_heads: int,
    n_kv_heads: int,
    history_len: int,
    n_rows: tuple[int, int, int, int],
    n_actions: int = N_PUBLISHED_ACTIONS,
) -> PhoenixConfig:
    """A ranker with the profile of August 2026: summed inputs, normed queries, plain layers.

    Args:
        emb_size: width of the transformer.
        table_width: width of the tables.
        n_layers: layers.
        n_query_heads: query heads.
        n_kv_heads: key and value heads.
        history_len: history positions.
        n_rows: rows of the tables of viewers, posts, authors and addresses.
        n_actions: discrete heads.
    """
    key_size = emb_size // n_query_heads
    users, items, authors, addresses = n_rows
    return PhoenixConfig(
        emb_size=emb_size,
        table_width=table_width,
        n_layers=n_layers,
        n_query_heads=n_query_heads,
        n_kv_heads=n_kv_heads,
        key_size=key_size,
        history_len=history_len,
        user=user_hash(users),
        item=item_hash(items),
        author=author_hash(authors),
        address=address_hash(addresses),
        n_actions=n_actions,
        n_continuous=N_PUBLISHED_CONTINUOUS,
        history_attention="bidirectional",
        positions="right_anchored",
        attention_multiplier=128**0.5 / key_size,
        attention_cap=None,
        qk_norm=True,
        norms="pre",
        ffn="plain",
        prefix_len=2,
        inputs="summed",
        semantic_ids=SemanticIdConfig(table_width),
        moment=MomentConfig(CATEGORIES, counts_hidden=64),
        viewer_features=ViewerFeatures(),
        logit_scale=2 * (512 / emb_size) ** 0.5,
        dwell_heads=dwell_heads(PUBLISHED_DWELL),
    )


def prod_style_retrieval(
    *,
    emb_size: int,
    n_layers: int,
    n_query_heads: int,
    n_kv_heads: int,
    history_len: int,
    n_rows: tuple[int, int],
    n_actions: int = N_PUBLISHED_ACTIONS,
    legacy_attention: bool = True,
) -> PhoenixConfig:
    """Two towers with the profile of August 2026: neither viewers nor posts have rows.

    A history is authors, semantic ids, actions and hours; a post only the first two.

    Args:
        emb_size: width of the transformer and of the tables.
        n_layers: layers.
        n_query_heads: query heads.
        n_kv_heads: key and value heads.
        history_len: history positions.
        n_rows: range of the hashes of posts, and rows of the table of authors.
        n_actions: discrete actions of the history.
        legacy_attention: soft-sign cap at 80 and the viewer's country and language, as the
            flagship; without, normed queries and no token of the viewer, as nano.
    """
    key_size = emb_size // n_query_heads
    return PhoenixConfig(
        emb_size=emb_size,
        table_width=emb_size,
        n_layers=n_layers,
        n_query_heads=n_query_heads,
        n_kv_heads=n_kv_heads,
        key_size=key_size,
        history_len=history_len,
        user=user_hash(2),
        item=item_hash(n_rows[0]),
        author=author_hash(n_rows[1]),
        n_actions=n_actions,
        n_continuous=0,
        history_attention="bidirectional",
        positions="right_anchored",
        attention_multiplier=128**0.5 / key_size,
        attention_cap=80.0 if legacy_attention else None,
        attention_cap_kind="soft_sign",
        qk_norm=not legacy_attention,
        norms="sandwich",
        ffn="plain",
        prefix_len=int(legacy_attention),
        inputs="concat",
        user_rows=False,
        item_rows=False,
        semantic_ids=SemanticIdConfig(emb_size, cross_attention=True),
        moment=MomentConfig(("timezone", "hour", "weekday"), (16, 16, 8)),
        viewer_features=COUNTRY_AND_LANGUAGE if legacy_attention else None,
        action_slices=emb_size % n_actions == 0,
        dwell_input=False,
        user_out_norm=True,
        learned_temperature=True,
    )
