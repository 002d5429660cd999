"""How queries find their values: plain products, or torch's fused kernels where they fit.

The R query heads of a key/value head are rows of one matrix, so no key is copied per head. Fused
kernels never write the products to memory, which pays on a GPU; on a CPU they win nothing. They
know no cap, no own key of a candidate and, in their fast form, no mask. So they serve models
without a cap; the own key is merged in afterwards, by the logarithm of the softmax's sum that
the kernel also returns: with weights ``w`` over the context and logit ``s`` of the own key, the
own share is ``sigmoid(s - log(sum))``.

Shapes: B batch, G key/value heads, R query heads per key/value head, Q queries, T keys, K key
size.
"""

from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from xfeed.phoenix.model.layer import Layer

MASKED: Final = -1e30
"""Attention logit of a position that must not be seen."""


def within(layer: Layer, q: Tensor, k: Tensor, v: Tensor, seen: Tensor | None) -> Tensor:
    """Attention inside of the context.

    Args:
        layer: scale and cap.
        q: (B, G, R, T, K).
        k: (B, G, T, K).
        v: like `k`.
        seen: (B, 1, 1, T, T), or one row for all queries, whether a query sees a key; None if
            every query sees every key.

    Returns:
        (B, G, R, T, K).
    """
    logits = layer.cap(products(q, k))
    if seen is not None:
        logits = logits.masked_fill_(~seen, MASKED)
    return mix(logits.softmax(-1).to(v.dtype), v)


def within_fused(layer: Layer, q: Tensor, k: Tensor, v: Tensor, seen: Tensor | None) -> Tensor:
    """The same by a fused kernel, for layers without a cap."""
    if seen is not None:
        # a kernel may divide by zero in a row that sees nothing; such rows mean nothing anyway
        itself = torch.eye(k.shape[2], dtype=torch.bool, device=k.device)
        seen = (seen | itself)[:, 0]
    attended = functional.scaled_dot_product_attention(
        q.flatten(1, 2),
        k,
        v,
        attn_mask=seen,
        scale=layer.config.attention_multiplier,
        enable_gqa=q.shape[2] > 1,
    )
    return attended.view(q.shape)


def beside(
    layer: Layer, q: Tensor, own: tuple[Tensor, Tensor], context: tuple[Tensor, Tensor],
    seen: Tensor | None,
) -> Tensor:  # fmt: skip
    """Attention of candidates to the context and each to itself.

    Args:
        layer: scale and cap.
        q: (B, G, R, C, K).
        own: keys and values (B, G, C, K) of the candidates.
        context: keys and values (B, G, T, K) of the context.
        seen: (B, T) which context positions may be seen; None if all may.

    Returns:
        (B, G, R, C, K).
    """
    to_context = layer.cap(products(q, context[0]))  # (B, G, R, C, T)
    if seen is not None:
        to_context = to_context.masked_fill_(~seen[:, None, None, None], MASKED)
    to_itself = layer.cap((q * own[0][:, :, None]).sum(-1, keepdim=True))  # (B, G, R, C, 1)
    weights = torch.cat((to_context, to_itself), dim=-1).softmax(-1).to(q.dtype)
    return mix(weights[..., :-1], context[1]) + weights[..., -1:] * own[1][:, :, None]


def beside_fused(
    layer: Layer, q: Tensor, own: tuple[Tensor, Tensor], context: tuple[Tensor, Tensor]
) -> Tensor:
    """The same by a fused kernel, for layers without a cap, if all of the context may be seen.

    It has no gradient: the sum that the kernel returns does not carry one.
    """
    scale = layer.config.attention_multiplier
    rows = q.flatten(2, 3)  # (B, G, R * C, K)
    if q.is_cuda:
        kernel = torch.ops.aten._scaled_dot_product_flash_attention  # noqa: SLF001
    else:
        kernel = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu  # noqa: SLF001
    found = kernel(rows, *context, scale=scale)
    attended, total = found[0].view(q.shape), found[1].view(q.shape[:4])
    to_itself = layer.cap((q * own[0][:, :, None]).sum(-1))  # (B, G, R, C)
    share = torch.sigmoid(to_itself - total)[..., None].to(q.dtype)
    return torch.lerp(attended, own[1][:, :, None].expand(q.shape), share)


def all_seen(valid: Tensor) -> bool:
    """Whether no position needs a mask; asks the device once for every context and pass."""
    return not valid.is_meta and bool(valid.all())


def products(q: Tensor, k: Tensor) -> Tensor:
    """(B, G, R, Q, T) products of queries (B, G, R, Q, K) with keys (B, G, T, K)."""
    return (q.flatten(2, 3) @ k.mT).view(*q.shape[:4], k.shape[2])


def mix(weights: Tensor, v: Tensor) -> Tensor:
    """(B, G, R, Q, K) sums of values (B, G, T, K) under weights (B, G, R, Q, T)."""
    return (weights.flatten(2, 3) @ v).view(*weights.shape[:4], v.shape[-1])
