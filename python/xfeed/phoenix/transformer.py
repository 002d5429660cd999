"""The transformer, split where candidates begin.

A candidate attends to the viewer, to the history and to itself, never to another candidate. So
the viewer and the history are encoded once into keys and values (`encode`), and any number of
candidates, in any chunks, is pushed through against them (`attend`). Cost is linear in the
number of candidates and a score cannot depend on its neighbours. Numbers equal those of the
published dense form, which puts everything into one sequence under a mask.

Shapes: B batch, T context positions (1 viewer + S history), C candidates, D width, H query
heads, G key/value heads, R = H / G query heads per key/value head, K key size.
"""

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from xfeed.phoenix.config import PhoenixConfig

PREFIX: Final = 1
"""Positions before the history: the viewer."""

MASKED: Final = -1e30
"""Attention logit of a position that must not be seen."""

NORM_EPS: Final = 1e-5

ROPE_BASE: Final = 10_000.0


@dataclass(frozen=True, slots=True)
class Context:
    """A viewer and their history, encoded once for all candidates.

    Attributes:
        keys: per layer (B, G, T, K), rotated.
        values: per layer (B, G, T, K).
        valid: (B, T) whether a position may be seen.
        hidden: (B, T, D) output of the last layer, before the final norm; None if nobody asked.
        next_position: position of the first candidate.
    """

    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]
    valid: Tensor
    hidden: Tensor | None
    next_position: int


def rms_norm(x: Tensor, scale: Tensor) -> Tensor:
    """Root-mean-square norm over the last axis: ``scale * x / sqrt(mean(x^2) + eps)``."""
    return scale * x * torch.rsqrt(x.square().mean(-1, keepdim=True) + NORM_EPS)


def rotation(positions: Tensor, key_size: int) -> tuple[Tensor, Tensor]:
    """Cosines and sines of rotary positions.

    Args:
        positions: (..., T) positions, of the dtype to compute in.
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
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)


def right_anchored_positions(history_valid: Tensor, history_len: int) -> Tensor:
    """Positions at which the newest valid history entry always stands last.

    Args:
        history_valid: (B, S) valid entries first, padding after.
        history_len: S of the configuration; the tensor may be cut shorter.

    Returns:
        (B, S) positions; the newest valid entry gets ``PREFIX + history_len - 1``, padding 0.
    """
    slots = torch.arange(history_valid.shape[1], device=history_valid.device)
    n_valid = history_valid.sum(1, keepdim=True)
    positions = PREFIX + history_len - n_valid + slots
    return torch.where(history_valid, positions, torch.zeros_like(positions))


class Layer(nn.Module):
    """One layer: attention and a gated feed-forward part, each between two norms.

    Matrices are stored input x output and applied as ``x @ matrix``; there are no biases.
    """

    def __init__(self, config: PhoenixConfig) -> None:
        super().__init__()
        D, K, F = config.emb_size, config.key_size, config.ffn_size
        self.config = config
        self.attention_norm = nn.Parameter(torch.ones(D))
        self.attention_out_norm = nn.Parameter(torch.ones(D))
        self.ffn_norm = nn.Parameter(torch.ones(D))
        self.ffn_out_norm = nn.Parameter(torch.ones(D))
        self.query = nn.Parameter(torch.empty(D, config.n_query_heads * K))
        self.key = nn.Parameter(torch.empty(D, config.n_kv_heads * K))
        self.value = nn.Parameter(torch.empty(D, config.n_kv_heads * K))
        self.attention_out = nn.Parameter(torch.empty(config.n_query_heads * K, D))
        self.ffn_gate = nn.Parameter(torch.empty(D, F))
        self.ffn_value = nn.Parameter(torch.empty(D, F))
        self.ffn_down = nn.Parameter(torch.empty(F, D))

    def project(self, x: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries (B, G, R, T, K), keys and values (B, G, T, K) of normed inputs (B, T, D)."""
        B, T, _ = x.shape
        G, K = self.config.n_kv_heads, self.config.key_size
        q = (x @ self.query).view(B, T, G, -1, K).permute(0, 2, 3, 1, 4)  # (B, G, R, T, K)
        k = (x @ self.key).view(B, T, G, K).transpose(1, 2)  # (B, G, T, K)
        v = (x @ self.value).view(B, T, G, K).transpose(1, 2)
        return (
            rotate(q, cos[:, None, None], sin[:, None, None]),
            rotate(k, cos[:, None], sin[:, None]),
            v,
        )

    def cap(self, logits: Tensor) -> Tensor:
        """Scales query-key products and bounds them softly."""
        logits = logits * self.config.attention_multiplier
        bound = self.config.attention_cap
        return logits if bound is None else bound * torch.tanh(logits / bound)

    def finish(self, x: Tensor, attended: Tensor) -> Tensor:
        """Adds attention (B, G, R, T, K) and the feed-forward part to the stream (B, T, D)."""
        B, T, _ = x.shape
        attended = attended.permute(0, 3, 1, 2, 4).reshape(B, T, -1) @ self.attention_out
        x = x + rms_norm(attended, self.attention_out_norm)
        y = rms_norm(x, self.ffn_norm)
        gate = functional.gelu(y @ self.ffn_gate, approximate="tanh")
        return x + rms_norm((gate * (y @ self.ffn_value)) @ self.ffn_down, self.ffn_out_norm)


class Transformer(nn.Module):
    """A stack of layers over the context, and the same stack over candidates.

    Args:
        config: sizes and switches.
    """

    def __init__(self, config: PhoenixConfig) -> None:
        super().__init__()
        self.config = config
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.n_layers))

    def positions(self, valid: Tensor) -> Tensor:
        """Positions (B, T) of the context."""
        if self.config.positions == "slot":
            return torch.arange(valid.shape[1], device=valid.device).expand(valid.shape)
        history = right_anchored_positions(valid[:, PREFIX:], self.config.history_len)
        return functional.pad(history, (PREFIX, 0))

    def visible(self, valid: Tensor) -> Tensor:
        """(B, 1, 1, T, T) whether a query position sees a key position."""
        seen = valid[:, None, None, None, :]
        if self.config.history_attention == "causal":
            T = valid.shape[1]
            seen = seen & torch.ones(T, T, dtype=torch.bool, device=valid.device).tril()
        return seen

    def encode(self, tokens: Tensor, valid: Tensor, *, keep_hidden: bool) -> Context:
        """Runs viewer and history through the layers and keeps keys and values.

        Candidates only need keys and values, so the last layer ends with these unless its
        output is asked for.

        Args:
            tokens: (B, T, D) viewer first, then the history, oldest first, padding last.
            valid: (B, T).
            keep_hidden: whether the output of the last layer is needed.
        """
        x = tokens
        cos, sin = rotation(self.positions(valid).to(x.dtype), self.config.key_size)
        visible = self.visible(valid)
        keys, values = [], []
        for depth, layer in enumerate(self.layers, start=1):
            assert isinstance(layer, Layer)
            q, k, v = layer.project(rms_norm(x, layer.attention_norm), cos, sin)
            keys.append(k)
            values.append(v)
            if depth == len(self.layers) and not keep_hidden:
                break
            logits = layer.cap(q @ k.mT[:, :, None])  # (B, G, R, T, T)
            weights = logits.masked_fill(~visible, MASKED).softmax(-1)
            x = layer.finish(x, weights @ v[:, :, None])
        next_position = PREFIX + self.config.history_len
        hidden = x if keep_hidden else None
        return Context(tuple(keys), tuple(values), valid, hidden, next_position)

    def attend(self, context: Context, tokens: Tensor, first_slot: int = 0) -> Tensor:
        """Runs candidates through the layers, each alone against the context.

        Args:
            context: from `encode`.
            tokens: (B, C, D).
            first_slot: place of the first token among all candidates; matters only where
                positions follow slots.

        Returns:
            (B, C, D) output of the last layer, before the final norm.
        """
        x = tokens
        C = x.shape[1]
        position = torch.full((1, C), context.next_position, dtype=x.dtype, device=x.device)
        if self.config.positions == "slot":
            position = position + torch.arange(first_slot, first_slot + C, device=x.device)
        cos, sin = rotation(position, self.config.key_size)
        hidden = ~context.valid[:, None, None, None, :]
        for layer, k_context, v_context in zip(
            self.layers, context.keys, context.values, strict=True
        ):
            assert isinstance(layer, Layer)
            q, k, v = layer.project(rms_norm(x, layer.attention_norm), cos, sin)
            to_context = layer.cap(q @ k_context.mT[:, :, None])  # (B, G, R, C, T)
            to_itself = layer.cap((q * k[:, :, None]).sum(-1, keepdim=True))  # (B, G, R, C, 1)
            logits = torch.cat((to_context.masked_fill(hidden, MASKED), to_itself), dim=-1)
            weights = logits.softmax(-1)
            attended = weights[..., :-1] @ v_context[:, :, None] + weights[..., -1:] * v[:, :, None]
            x = layer.finish(x, attended)
        return x
