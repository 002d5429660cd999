"""One layer of the transformer, and the small functions that it is made of.

Shapes: B batch, T positions, D width, H query heads, G key/value heads, R = H / G query heads
per key/value head, K key size, F hidden width. Matrices are stored input x output and applied as
``x @ matrix``; there are no biases. In half precision norms, rotations, caps and softmaxes are
computed in float32 and rounded back, as the published models do.
"""

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from xfeed.phoenix.config import PhoenixConfig

NORM_EPS: Final = 1e-5

ROPE_BASE: Final = 10_000.0


def wide(dtype: torch.dtype) -> torch.dtype:
    """The dtype to be careful in: float32 for half precision, else the same."""
    return torch.float32 if dtype in {torch.bfloat16, torch.float16} else dtype


def rms_norm(x: Tensor, scale: Tensor) -> Tensor:
    """Root-mean-square norm over the last axis: ``scale * x / sqrt(mean(x^2) + eps)``."""
    y = x.to(wide(x.dtype))
    if x.is_cuda:  # one kernel there; on a CPU it is made of the same steps
        return functional.rms_norm(y, scale.shape, scale.to(y.dtype), NORM_EPS).to(x.dtype)
    return (scale * y * torch.rsqrt(y.square().mean(-1, keepdim=True) + NORM_EPS)).to(x.dtype)


def rotation(positions: Tensor, key_size: int) -> tuple[Tensor, Tensor]:
    """Cosines and sines of rotary positions.

    Args:
        positions: (..., T) positions, of the dtype to compute in; half precision cannot tell
            late positions apart.
        key_size: width of a head (K).

    Returns:
        Two tensors (..., T, K / 2); frequencies are ``10000^(-2i / K)``.
    """
    exponent = torch.arange(0, key_size, 2, dtype=positions.dtype, device=positions.device)
    angle = positions[..., None] * ROPE_BASE ** (-exponent / key_size)
    return angle.cos(), angle.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotates pairs of dimensions (i, i + K/2).

    Args:
        x: (..., T, K).
        cos: broadcastable to (..., T, K / 2).
        sin: like `cos`.
    """
    first, second = x.chunk(2, dim=-1)
    turned = torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)
    return turned.to(x.dtype)


class Layer(nn.Module):
    """Attention and a feed-forward part, each after a norm and, in a sandwich, before one too.

    Args:
        config: sizes and switches.
    """

    def __init__(self, config: PhoenixConfig) -> None:
        super().__init__()
        D, K, F = config.emb_size, config.key_size, config.ffn_size
        H, G = config.n_query_heads, config.n_kv_heads
        self.config = config
        self.attention_norm = nn.Parameter(torch.ones(D))
        self.ffn_norm = nn.Parameter(torch.ones(D))
        if config.norms == "sandwich":
            self.attention_out_norm = nn.Parameter(torch.ones(D))
            self.ffn_out_norm = nn.Parameter(torch.ones(D))
        if config.qk_norm:
            self.query_norm = nn.Parameter(torch.ones(H * K))
            self.key_norm = nn.Parameter(torch.ones(G * K))
        self.query = nn.Parameter(torch.empty(D, H * K))
        self.key = nn.Parameter(torch.empty(D, G * K))
        self.value = nn.Parameter(torch.empty(D, G * K))
        self.attention_out = nn.Parameter(torch.empty(H * K, D))
        if config.ffn == "gated":
            self.ffn_gate = nn.Parameter(torch.empty(D, F))
            self.ffn_value = nn.Parameter(torch.empty(D, F))
        else:
            self.ffn_up = nn.Parameter(torch.empty(D, F))
        self.ffn_down = nn.Parameter(torch.empty(F, D))
        self.fused_qkv: Tensor | None
        self.fused_gate_value: Tensor | None
        self.register_buffer("fused_qkv", None, persistent=False)
        self.register_buffer("fused_gate_value", None, persistent=False)

    def fuse(self) -> None:
        """Puts matrices that read the same input side by side; later changes go unnoticed."""
        with torch.no_grad():
            self.fused_qkv = torch.cat((self.query, self.key, self.value), dim=1)
            if self.config.ffn == "gated":
                self.fused_gate_value = torch.cat((self.ffn_gate, self.ffn_value), dim=1)

    def project(self, x: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries (B, G, R, T, K), keys and values (B, G, T, K) of normed inputs (B, T, D).

        Queries and keys are rotated; with `qk_norm` they are normalised before that, over all
        heads at once.
        """
        B, T, _ = x.shape
        H, G, K = self.config.n_query_heads, self.config.n_kv_heads, self.config.key_size
        if self.fused_qkv is None:
            q, k, v = x @ self.query, x @ self.key, x @ self.value
        else:
            widths = [H * K, G * K, G * K]
            q, k, v = torch.split(x @ self.fused_qkv, widths, dim=-1)
        if self.config.qk_norm:
            q, k = rms_norm(q, self.query_norm), rms_norm(k, self.key_norm)
        q = q.view(B, T, G, H // G, K).permute(0, 2, 3, 1, 4)  # (B, G, R, T, K)
        k = k.view(B, T, G, K).transpose(1, 2)  # (B, G, T, K)
        v = v.view(B, T, G, K).transpose(1, 2)
        return (
            rotate(q, cos[:, None, None], sin[:, None, None]),
            rotate(k, cos[:, None], sin[:, None]),
            v,
        )

    def cap(self, logits: Tensor) -> Tensor:
        """Scales query-key products and bounds them softly.

        Without gradients the products are changed in place: there are many, and fresh memory
        for each step costs more than the arithmetic.
        """
        scale, bound = self.config.attention_multiplier, self.config.attention_cap
        logits = logits.to(wide(logits.dtype))
        in_place = not torch.is_grad_enabled()
        if bound is None:
            return logits.mul_(scale) if in_place else logits * scale
        if self.config.attention_cap_kind == "soft_sign":
            logits = logits.mul_(scale) if in_place else logits * scale
            return logits / (1 + logits.abs() / bound)
        if in_place:
            return logits.mul_(scale / bound).tanh_().mul_(bound)
        return bound * torch.tanh(logits * (scale / bound))

    def finish(self, x: Tensor, attended: Tensor) -> Tensor:
        """Adds attention (B, G, R, T, K) and the feed-forward part to the stream (B, T, D)."""
        attended = attended.permute(0, 3, 1, 2, 4).flatten(2) @ self.attention_out
        if self.config.norms == "sandwich":
            attended = rms_norm(attended, self.attention_out_norm)
        x = x + attended
        y = self.feed_forward(rms_norm(x, self.ffn_norm))
        if self.config.norms == "sandwich":
            y = rms_norm(y, self.ffn_out_norm)
        return x + y

    def feed_forward(self, y: Tensor) -> Tensor:
        """(B, T, D) to (B, T, D) through the hidden width F."""
        if self.config.ffn == "plain":
            return functional.gelu(y @ self.ffn_up, approximate="tanh") @ self.ffn_down
        if self.fused_gate_value is None:
            gate, value = y @ self.ffn_gate, y @ self.ffn_value
        else:
            gate, value = (y @ self.fused_gate_value).chunk(2, dim=-1)
        return (functional.gelu(gate, approximate="tanh") * value) @ self.ffn_down
