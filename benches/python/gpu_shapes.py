"""The sizes that the GPU benches run."""

from dataclasses import dataclass
from typing import Any, Final

from xfeed.phoenix.config import PhoenixConfig
from xfeed.phoenix.profiles import PRESETS


@dataclass(frozen=True)
class Shape:
    """A model and a batch for it.

    Attributes:
        config: sizes and switches.
        n_viewers: B.
        n_candidates: C of each viewer.
    """

    config: PhoenixConfig
    n_viewers: int
    n_candidates: int

    def facts(self) -> dict[str, Any]:
        """The numbers that matter, for the file of results."""
        config = self.config
        return {
            "n_viewers": self.n_viewers,
            "n_candidates": self.n_candidates,
            "emb_size": config.emb_size,
            "n_layers": config.n_layers,
            "heads": [config.n_query_heads, config.n_kv_heads, config.key_size],
            "ffn": [config.ffn, config.ffn_size],
            "history_len": config.history_len,
        }


def shape(preset: str, n_viewers: int | None = None) -> Shape:
    """A preset's ranker and the batch that its release serves.

    Args:
        preset: one of `BATCHES`.
        n_viewers: B, instead of the usual one.
    """
    usual, n_candidates = BATCHES[preset]
    return Shape(PRESETS[preset]().ranker, n_viewers or usual, n_candidates)


BATCHES: Final = {
    "tiny": (1, 8),
    "tiny-prod": (2, 8),
    "mini": (8, 1_500),
    "nano": (8, 1_400),
    "prod": (1, 1_400),
}
"""Viewers and candidates of each preset."""
