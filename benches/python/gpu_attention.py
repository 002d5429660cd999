"""Ways to let candidates attend to a context and to themselves.

The context is the same for all candidates of a viewer, so the query heads of a key/value head and
the candidates are rows of one matrix: no key is copied. Fused kernels know nothing of the
candidate's own key; they also return the logarithm of their softmax's sum, and the own key is
merged with it afterwards. Shapes as in `xfeed.phoenix.model.transformer`.
"""

from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.attention.flex_attention import AuxRequest, flex_attention
from xfeed.phoenix.config import PhoenixConfig
from xfeed.phoenix.model.layer import Layer, rms_norm, rotation, wide
from xfeed.phoenix.model.transformer import Context, Transformer

Attend = Callable[[Layer, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
"""From a layer, queries (B, G, N, K), keys and values (B, G, T, K) to attended values (B, G, N, K)
and the logarithm of the softmax's sum (B, G, N)."""


def eager(layer: Layer, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Plain products; logits in float32, as the model has them."""
    logits = layer.cap(q @ k.mT)
    total = logits.logsumexp(-1)
    weights = (logits - total[..., None]).exp().to(v.dtype)
    return weights @ v, total


def flash(layer: Layer, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """torch's flash kernel; it has no cap."""
    scale = layer.config.attention_multiplier
    if q.is_cuda:
        found = torch.ops.aten._scaled_dot_product_flash_attention(q, k, v, scale=scale)  # noqa: SLF001
    else:
        kernel = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu  # noqa: SLF001
        found = kernel(q, k, v, scale=scale)
    return found[0], found[1]


def cudnn(layer: Layer, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """cuDNN's kernel; it has no cap."""
    kernel = torch.ops.aten._scaled_dot_product_cudnn_attention  # noqa: SLF001
    found = kernel(q, k, v, None, True, scale=layer.config.attention_multiplier)
    total = found[1]
    return found[0], total.squeeze(-1) if total.ndim == q.ndim else total


def flex(layer: Layer, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """FlexAttention with the model's own cap; to be compiled."""
    config = layer.config
    cap, kind = config.attention_cap, config.attention_cap_kind

    def bounded(score: Tensor, _b: Tensor, _h: Tensor, _q: Tensor, _k: Tensor) -> Tensor:
        assert cap is not None
        if kind == "soft_sign":
            return score / (1 + score.abs() / cap)
        return cap * torch.tanh(score / cap)

    out, extra = flex_attention(
        q,
        k,
        v,
        score_mod=None if cap is None else bounded,
        scale=config.attention_multiplier,
        return_aux=AuxRequest(lse=True),
    )
    assert isinstance(out, Tensor)
    assert extra.lse is not None
    return out, extra.lse


CAPPED: Final = (eager, flex)
"""Ways that can bound the products; the others are for models without a cap."""


def usable(attend: Attend, config: PhoenixConfig, device: torch.device) -> str | None:
    """Why a way does not fit a model or a device; None if it does."""
    if config.attention_cap is not None and attend not in CAPPED:
        return "its kernel has no cap"
    if attend is cudnn and device.type != "cuda":
        return "it needs CUDA"
    return None


class CandidatePass:
    """The trunk over candidates of viewers with a full history.

    Args:
        transformer: parameters.
        attend: how candidates attend to the context.
    """

    def __init__(self, transformer: Transformer, attend: Attend) -> None:
        self.transformer = transformer
        self.attend = attend

    def __call__(self, context: Context, tokens: Tensor) -> Tensor:
        """(B, C, D) output of the last layer, before the final norm."""
        config = self.transformer.config
        x, C = tokens, tokens.shape[1]
        first = context.next_position
        position = torch.full((1, C), first, dtype=wide(x.dtype), device=x.device)
        if config.positions == "slot":
            position = position + torch.arange(C, device=x.device)
        cos, sin = rotation(position, config.key_size)
        for layer, k_context, v_context in zip(
            self.transformer.layers, context.keys, context.values, strict=True
        ):
            assert isinstance(layer, Layer)
            q, k, v = layer.project(rms_norm(x, layer.attention_norm), cos, sin)
            rows = q.flatten(2, 3)  # (B, G, R * C, K)
            out, total = self.attend(layer, rows, k_context, v_context)
            own = layer.cap((q * k[:, :, None]).sum(-1)).flatten(2, 3)  # (B, G, R * C)
            share = torch.sigmoid(own - total)[..., None]  # of the own key in the softmax
            values = v[:, :, None].expand(q.shape).flatten(2, 3)
            mixed = (out + share * (values - out)).to(x.dtype)
            x = layer.finish(x, mixed.view(q.shape))
        return x


class DensePass:
    """The same numbers from one sequence of context and candidates under a mask.

    Args:
        transformer: parameters.
        n_candidates: C, for which the mask is made.
        fused: uses torch's fused attention; only for models without a cap.
    """

    def __init__(self, transformer: Transformer, n_candidates: int, *, fused: bool) -> None:
        self.transformer, self.fused = transformer, fused
        config = transformer.config
        device = next(transformer.parameters()).device
        n_context = config.prefix_len + config.history_len
        T = n_context + n_candidates
        seen = torch.ones(T, T, dtype=torch.bool, device=device)
        if config.history_attention == "causal":
            seen = seen.tril()
        seen[:n_context, n_context:] = False
        seen[n_context:, n_context:] = torch.eye(n_candidates, dtype=torch.bool, device=device)
        self.seen = seen
        positions = torch.arange(T, device=device)
        if config.positions == "right_anchored":
            positions = positions.clamp_max(n_context)
        self.cos, self.sin = rotation(positions[None].to(torch.float32), config.key_size)
        self.n_candidates = n_candidates

    def __call__(self, context_tokens: Tensor, tokens: Tensor) -> Tensor:
        """(B, C, D) output of the last layer, before the final norm."""
        x = torch.cat((context_tokens, tokens), dim=1)
        for layer in self.transformer.layers:
            assert isinstance(layer, Layer)
            q, k, v = layer.project(rms_norm(x, layer.attention_norm), self.cos, self.sin)
            k, v = (part[:, :, None].expand(q.shape) for part in (k, v))
            if self.fused:
                attended = functional.scaled_dot_product_attention(
                    q.flatten(1, 2),
                    k.flatten(1, 2),
                    v.flatten(1, 2),
                    attn_mask=self.seen,
                    scale=layer.config.attention_multiplier,
                ).view(q.shape)
            else:
                logits = layer.cap(q @ k.mT).masked_fill_(~self.seen, -1e30)
                attended = logits.softmax(-1).to(x.dtype) @ v
            x = layer.finish(x, attended)
        return x[:, -self.n_candidates :]
