"""How much arithmetic a pass takes: the matrix products of the models, one by one.

A product of (m, k) and (k, n) counts `2 m k n` operations. Norms, rotations, softmax and the
candidate's own key are left out: they are not matrix products, and a machine's matrix rate says
nothing about them. The counts are checked against `torch.utils.flop_counter`.

The mini shape, per candidate and layer, D = 128, four heads of 32, FFN 176, T = 128 positions:
2 x 128 x 384 for queries, keys and values, 2 x 128 x 128 for the way out, 2 x 3 x 128 x 176 for the
feed-forward part, 2 x 2 x 128 x 128 for attention: 332 k. Four layers of 1,500 candidates: 2.0 G.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from xfeed.phoenix.config import PhoenixConfig


@dataclass(frozen=True)
class Product:
    """`batch` independent products of (m, k) and (k, n)."""

    name: str
    batch: int
    m: int
    k: int
    n: int

    @property
    def flops(self) -> int:
        return 2 * self.batch * self.m * self.k * self.n


def total(products: Iterable[Product]) -> int:
    """Operations of all products together."""
    return sum(product.flops for product in products)


def candidate_pass(
    config: PhoenixConfig, n_candidates: int, *, n_viewers: int = 1, n_layers: int | None = None
) -> list[Product]:
    """The trunk over candidates, against the keys and values of a full context.

    Args:
        config: sizes and switches.
        n_candidates: C of each viewer.
        n_viewers: B.
        n_layers: counts so many layers; None for all.
    """
    C, T = n_candidates, context_len(config)
    H, G, K = config.n_query_heads, config.n_kv_heads, config.key_size
    layer = [
        *_projections(config, n_viewers * C),
        Product("scores", n_viewers * G, H // G * C, K, T),
        Product("weighted values", n_viewers * G, H // G * C, T, K),
    ]
    return layer * (config.n_layers if n_layers is None else n_layers)


def context_pass(
    config: PhoenixConfig, *, n_viewers: int = 1, keep_hidden: bool = False
) -> list[Product]:
    """The trunk over the viewer and a full history.

    Args:
        config: sizes and switches.
        n_viewers: B.
        keep_hidden: whether the last layer's output is needed; candidates need only its keys
            and values.
    """
    T = context_len(config)
    H, G, K = config.n_query_heads, config.n_kv_heads, config.key_size
    layer = [
        *_projections(config, n_viewers * T),
        Product("scores", n_viewers * G, H // G * T, K, T),
        Product("weighted values", n_viewers * G, H // G * T, T, K),
    ]
    if keep_hidden:
        return layer * config.n_layers
    last = Product("keys, values", 1, n_viewers * T, config.emb_size, 2 * G * K)
    return [*layer * (config.n_layers - 1), last]


def dense_pass(config: PhoenixConfig, n_candidates: int, *, n_viewers: int = 1) -> list[Product]:
    """The trunk of the dense form: one sequence under a mask, all pairs multiplied."""
    T = context_len(config) + n_candidates
    H, K = config.n_query_heads, config.key_size
    layer = [
        *_projections(config, n_viewers * T),
        Product("scores", n_viewers * H, T, K, T),
        Product("weighted values", n_viewers * H, T, T, K),
    ]
    return layer * config.n_layers


def tokens_and_heads(config: PhoenixConfig, n_candidates: int) -> list[Product]:
    """What stands before and after the trunk of the published ranker."""
    D, C, S = config.emb_size, n_candidates, config.history_len
    post_width = (config.item.n_functions + config.author.n_functions) * config.table_width
    return [
        Product("candidate tokens", 1, C, post_width, D),
        Product("history tokens", 1, S, post_width, D),
        Product("actions", 1, S, config.n_actions, D),
        Product("dwell", 1, S, config.dwell_hidden, D),
        Product("viewer", 1, 1, config.user.n_functions * config.table_width, D),
        Product("heads", 1, C, D, config.n_actions + config.n_continuous),
    ]


def context_len(config: PhoenixConfig) -> int:
    """Positions of a full context (T)."""
    return config.prefix_len + config.history_len


def _projections(config: PhoenixConfig, rows: int) -> Sequence[Product]:
    """The products of one layer that go row by row; those of the same input are one."""
    D, F = config.emb_size, config.ffn_size
    H, G, K = config.n_query_heads, config.n_kv_heads, config.key_size
    up = 2 * F if config.ffn == "gated" else F
    return (
        Product("queries, keys, values", 1, rows, D, (H + 2 * G) * K),
        Product("attention out", 1, rows, H * K, D),
        Product("feed-forward in", 1, rows, D, up),
        Product("feed-forward out", 1, rows, F, D),
    )
