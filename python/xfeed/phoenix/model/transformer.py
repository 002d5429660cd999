"""The transformer, split where candidates begin.

A candidate attends to the viewer, to the history and to itself, never to another candidate. So
the viewer and the history are encoded once into keys and values (`encode`), and any number of
candidates, in any chunks, is pushed through against them (`attend`). Cost is linear in the
number of candidates and a score cannot depend on its neighbours. Numbers equal those of the
published dense form, which puts everything into one sequence under a mask.

Shapes: B batch, T context positions (P prefix + S history), C candidates, D width, H query
heads, G key/value heads, R = H / G query heads per key/value head, K key size.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from xfeed.phoenix.config import PhoenixConfig
from xfeed.phoenix.model.attention import all_seen, beside, beside_fused, within, within_fused
from xfeed.phoenix.model.layer import Layer, rms_norm, rotation, wide


class Encoded(Protocol):
    """What every trunk's `encode` gives back: opaque but for the last layer's output."""

    @property
    def hidden(self) -> Tensor | None:
        """(B, T, D) output of the last layer, before the final norm; None if nobody asked."""


class Trunk(Protocol):
    """The calls that models make; `Transformer` answers them in torch.

    A context goes only into the trunk that made it.
    """

    def encode(self, tokens: Tensor, valid: Tensor, *, keep_hidden: bool) -> Encoded:
        """Runs prefix and history (B, T, D), valid (B, T), through the layers."""

    def attend(self, context: Any, tokens: Tensor, first_slot: int | None = 0) -> Tensor:
        """Runs candidates (B, C, D) through the layers, each alone against the context."""

    def project(self, parts: Sequence[Tensor], matrix: Tensor) -> Tensor:
        """Rows (n, D), whose parts (n, width) stand side by side, times a parameter."""

    def read_out(self, hidden: Tensor, norm: Tensor, heads: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Normalises (B, C, D) and multiplies it with each of the heads (D, width)."""


@dataclass(frozen=True, slots=True)
class Context:
    """A viewer and their history, encoded once for all candidates.

    Attributes:
        keys: per layer (B, G, T, K), rotated.
        values: per layer (B, G, T, K).
        valid: (B, T) whether a position may be seen.
        hidden: (B, T, D) output of the last layer, before the final norm; None if nobody asked.
            Rows of positions that are not valid mean nothing.
        next_position: position of the first candidate.
    """

    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]
    valid: Tensor
    hidden: Tensor | None
    next_position: int


def right_anchored_positions(history_valid: Tensor, history_len: int, prefix_len: int) -> Tensor:
    """Positions at which the newest valid history entry always stands last.

    Args:
        history_valid: (B, S) valid entries first, padding after.
        history_len: S of the configuration; the tensor may be cut shorter.
        prefix_len: positions before the history (P).

    Returns:
        (B, S) positions; the newest valid entry gets ``P + history_len - 1``, padding 0.
    """
    slots = torch.arange(history_valid.shape[1], device=history_valid.device)
    n_valid = history_valid.sum(1, keepdim=True)
    positions = prefix_len + history_len - n_valid + slots
    return torch.where(history_valid, positions, torch.zeros_like(positions))


class Transformer(nn.Module):
    """A stack of layers over the context, and the same stack over candidates.

    Tokens are cast to the dtype of the parameters; the output keeps that dtype.

    Args:
        config: sizes and switches.

    Attributes:
        fused_attention: whether torch's fused attention kernels run where they can: without a
            cap and, over candidates, without gradients and padding. None leaves them to GPUs.
    """

    def __init__(self, config: PhoenixConfig) -> None:
        super().__init__()
        self.config = config
        self.fused_attention: bool | None = None
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.n_layers))
        self.register_load_state_dict_post_hook(_unfuse)  # type: ignore[no-untyped-call]

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of the parameters, in which the stream is kept."""
        return next(self.parameters()).dtype

    def fuse(self) -> None:
        """Prepares parameters that will not change any more for faster products.

        Call it when training is over; loading other parameters undoes it.
        """
        for layer in self.layers:
            assert isinstance(layer, Layer)
            layer.fuse()

    def positions(self, valid: Tensor) -> Tensor:
        """Positions (B, T) of the context."""
        slots = torch.arange(valid.shape[1], device=valid.device).expand(valid.shape)
        if self.config.positions == "slot":
            return slots
        P = self.config.prefix_len
        history = right_anchored_positions(valid[:, P:], self.config.history_len, P)
        return torch.cat((slots[:, :P], history), dim=1)

    def visible(self, valid: Tensor) -> Tensor:
        """(B, 1, 1, T, T), or one row for all queries, whether a query sees a key."""
        seen = valid[:, None, None, None, :]
        if self.config.history_attention == "causal":
            T = valid.shape[1]
            seen = seen & torch.ones(T, T, dtype=torch.bool, device=valid.device).tril()
        return seen

    def encode(self, tokens: Tensor, valid: Tensor, *, keep_hidden: bool) -> Context:
        """Runs prefix and history through the layers and keeps keys and values.

        Candidates only need keys and values, so the last layer ends with these unless its
        output is asked for.

        Args:
            tokens: (B, T, D) viewer first, then the history, oldest first, padding last.
            valid: (B, T).
            keep_hidden: whether the output of the last layer is needed.
        """
        x = tokens.to(self.dtype)
        cos, sin = rotation(self.positions(valid).to(wide(x.dtype)), self.config.key_size)
        fused = self._fuses_attention(x)
        unmasked = self.config.history_attention == "bidirectional" and all_seen(valid)
        seen = None if unmasked else self.visible(valid)
        keys, values = [], []
        for depth, layer in enumerate(self.layers, start=1):
            assert isinstance(layer, Layer)
            q, k, v = layer.project(rms_norm(x, layer.attention_norm), cos, sin)
            keys.append(k)
            values.append(v)
            if depth == len(self.layers) and not keep_hidden:
                break
            attended = (within_fused if fused else within)(layer, q, k, v, seen)
            x = layer.finish(x, attended)
        next_position = self.config.prefix_len + self.config.history_len
        last = x if keep_hidden else None
        return Context(tuple(keys), tuple(values), valid, last, next_position)

    def _fuses_attention(self, x: Tensor) -> bool:
        """Whether fused attention kernels are wanted and know what the layers do."""
        wanted = x.is_cuda if self.fused_attention is None else self.fused_attention
        return wanted and self.config.attention_cap is None

    def attend(self, context: Context, tokens: Tensor, first_slot: int | None = 0) -> Tensor:
        """Runs candidates through the layers, each alone against the context.

        Args:
            context: from `encode`.
            tokens: (B, C, D).
            first_slot: place of the first token among all candidates, or None to put every
                candidate into the first place; matters only where positions follow slots.

        Returns:
            (B, C, D) output of the last layer, before the final norm.
        """
        x = tokens.to(self.dtype)
        C = x.shape[1]
        first = context.next_position
        position = torch.full((1, C), first, dtype=wide(x.dtype), device=x.device)
        if self.config.positions == "slot" and first_slot is not None:
            position = position + torch.arange(first_slot, first_slot + C, device=x.device)
        cos, sin = rotation(position, self.config.key_size)
        seen = None if all_seen(context.valid) else context.valid
        # the kernel over candidates has no mask and no gradient
        fused = self._fuses_attention(x) and seen is None and not torch.is_grad_enabled()
        for layer, *kept in zip(self.layers, context.keys, context.values, strict=True):
            assert isinstance(layer, Layer)
            q, k, v = layer.project(rms_norm(x, layer.attention_norm), cos, sin)
            own, known = (k, v), (kept[0], kept[1])
            if fused:
                attended = beside_fused(layer, q, own, known)
            else:
                attended = beside(layer, q, own, known, seen)
            x = layer.finish(x, attended)
        return x

    def project(self, parts: Sequence[Tensor], matrix: Tensor) -> Tensor:
        """Rows (n, D), whose parts (n, width) stand side by side, times a parameter."""
        return torch.cat(tuple(parts), dim=-1) @ matrix

    def read_out(self, hidden: Tensor, norm: Tensor, heads: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Normalises (B, C, D) and multiplies it with each of the heads (D, width)."""
        normed = rms_norm(hidden.to(norm.dtype), norm)
        return tuple(normed @ head for head in heads)


class WithTrunk(nn.Module):
    """A model around a transformer, whose layers something faster may run instead.

    Args:
        config: sizes and switches.
    """

    def __init__(self, config: PhoenixConfig) -> None:
        super().__init__()
        self.config = config
        self.transformer = Transformer(config)
        self._trunk: Trunk | None = None

    @property
    def trunk(self) -> Trunk:
        """Runs the layers: the torch transformer, unless another trunk has been set."""
        return self.transformer if self._trunk is None else self._trunk

    @trunk.setter
    def trunk(self, trunk: Trunk | None) -> None:
        # past nn.Module, which would take a compiled trunk for a further part of the model
        object.__setattr__(self, "_trunk", trunk)

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "trunk":
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)


def _unfuse(module: nn.Module, _: Any) -> None:
    """Forgets fused matrices whose parts have been replaced."""
    for layer in module.modules():
        if isinstance(layer, Layer):
            layer.fused_qkv = layer.fused_gate_value = None
