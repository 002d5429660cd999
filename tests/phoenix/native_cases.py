"""Random transformers for the tests of the Rust trunk, by all switches."""

from dataclasses import replace
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor
from xfeed.phoenix.config import PhoenixConfig
from xfeed.phoenix.input_config import ViewerFeatures
from xfeed.phoenix.model.transformer import Transformer


@st.composite
def configs(draw: st.DrawFn) -> PhoenixConfig:
    """Configurations of the trunk; sizes that are no multiples of anything included."""
    groups = draw(st.integers(1, 3))
    changes: dict[str, Any] = {
        "emb_size": draw(st.sampled_from([4, 16, 24, 33, 48])),
        "n_layers": draw(st.integers(1, 3)),
        "n_kv_heads": groups,
        "n_query_heads": groups * draw(st.integers(1, 3)),
        "key_size": draw(st.sampled_from([2, 8, 16, 20, 32])),
        "widening_factor": draw(st.sampled_from([1.0, 2.0])),
        "history_len": draw(st.integers(1, 40)),
        "history_attention": draw(st.sampled_from(["causal", "bidirectional"])),
        "positions": draw(st.sampled_from(["slot", "right_anchored"])),
        "attention_multiplier": draw(st.sampled_from([0.125, 0.5])),
        "attention_cap": draw(st.sampled_from([None, 5.0, 30.0])),
        "attention_cap_kind": draw(st.sampled_from(["tanh", "soft_sign"])),
        "qk_norm": draw(st.booleans()),
        "norms": draw(st.sampled_from(["sandwich", "pre"])),
        "ffn": draw(st.sampled_from(["gated", "plain"])),
    }
    if draw(st.booleans()):
        changes |= {"prefix_len": 2, "inputs": "summed", "viewer_features": ViewerFeatures()}
    return replace(PhoenixConfig.published_mini(), **changes)


def transformer(config: PhoenixConfig, seed: int = 0) -> Transformer:
    """Random parameters; norms are not all ones."""
    generator = torch.Generator().manual_seed(seed)
    model = Transformer(config).requires_grad_(False)
    for parameter in model.parameters():
        if parameter.ndim == 1:
            parameter.normal_(1, 0.3, generator=generator)
        else:
            parameter.normal_(0, parameter.shape[0] ** -0.5, generator=generator)
    return model


def viewers(config: PhoenixConfig, lengths: list[int], seed: int = 1) -> tuple[Tensor, Tensor]:
    """Tokens (B, T, D) and validity (B, T) of viewers with so many valid history positions."""
    T = config.prefix_len + config.history_len
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randn(len(lengths), T, config.emb_size, generator=generator)
    slots = torch.arange(T)
    return tokens, slots < config.prefix_len + torch.tensor(lengths)[:, None]


def candidates(config: PhoenixConfig, n_viewers: int, n: int, seed: int = 2) -> Tensor:
    """(B, C, D) tokens."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n_viewers, n, config.emb_size, generator=generator)
