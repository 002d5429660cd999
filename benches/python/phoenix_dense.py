"""The dense form of the ranker: what one writes from the published description.

Viewer, history and candidates are one sequence of T tokens; a T x T mask keeps candidates from
seeing each other. Nothing is cached. The same weights as ours, the same numbers.
"""

from typing import Final, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from xfeed.phoenix.model.ranker import Ranker

from benches.python.phoenix_workload import Request

EPS: Final = 1e-5
ROPE_BASE: Final = 10_000.0
MASKED: Final = -1e30

Attention = Literal["capped", "in place", "sdpa"]
"""The published attention as one writes it down; the same without temporary tensors; torch's fused
attention, which has no cap and so gives other numbers."""


class DenseRanker(nn.Module):
    """The published mini ranker as one sequence.

    Args:
        ranker: where the weights come from.
        attention: how attention is computed.
    """

    def __init__(self, ranker: Ranker, attention: Attention = "capped") -> None:
        super().__init__()
        config = ranker.config
        assert config.norms == "sandwich"
        assert config.ffn == "gated"
        assert config.history_attention == "causal"
        assert config.attention_cap is not None
        self.config = config
        self.attention = attention
        self.cap = config.attention_cap
        # one matrix per input instead of several: the peer is written as well as we can
        weights = dict(ranker.named_parameters())
        depths = range(config.n_layers)
        layer = {
            depth: {
                name.split(".")[-1]: value
                for name, value in weights.items()
                if name.startswith(f"transformer.layers.{depth}.")
            }
            for depth in depths
        }
        self.qkv = [torch.cat([layer[i][n] for n in ("query", "key", "value")], 1) for i in depths]
        self.up = [torch.cat([layer[i][n] for n in ("ffn_gate", "ffn_value")], 1) for i in depths]
        self.out = [layer[i]["attention_out"] for i in depths]
        self.down = [layer[i]["ffn_down"] for i in depths]
        norms = ("attention_norm", "attention_out_norm", "ffn_norm", "ffn_out_norm")
        self.norms = [[layer[i][name] for name in norms] for i in depths]
        tokens = {
            name.removeprefix("context_tokens."): value
            for name, value in weights.items()
            if name.startswith("context_tokens.")
        }
        self.user_projection = tokens["user_projection"]
        self.history_projection = tokens["history_projection"]
        self.action_projection = tokens["action_projection"]
        self.surface_table = tokens["surface_table"]
        self.dwell_in, self.dwell_out = tokens["dwell_in"], tokens["dwell_out"]
        self.candidate_projection = ranker.candidate_projection
        self.post_age_table = ranker.post_age_table
        self.out_norm = ranker.out_norm
        self.heads = torch.cat([ranker.action_heads, ranker.continuous_heads], 1)
        self.masks: dict[int, Tensor] = {}
        self.rotations: dict[int, tuple[Tensor, Tensor]] = {}

    def prepare(self, n_candidates: int) -> None:
        """Makes what depends on the number of candidates alone, ahead of all requests."""
        n_context, K = 1 + self.config.history_len, self.config.key_size
        T = n_context + n_candidates
        mask = torch.ones(T, T, dtype=torch.bool).tril()
        mask[n_context:, n_context:] = torch.eye(n_candidates, dtype=torch.bool)
        self.masks[n_candidates] = mask
        positions = torch.arange(T)
        if self.config.positions == "right_anchored":
            # of a full history; its newest position and all candidates follow each other
            positions = positions.clamp_max(n_context)
        angle = positions[:, None] * ROPE_BASE ** (-torch.arange(0, K, 2) / K)
        self.rotations[n_candidates] = (angle.cos(), angle.sin())

    def forward(
        self,
        user_rows: Tensor,
        history_rows: Tensor,
        actions: Tensor,
        history_surface: Tensor,
        dwell_secs: Tensor,
        valid: Tensor,
        candidate_rows: Tensor,
        candidate_surface: Tensor,
        candidate_age: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Scores candidates.

        Args:
            user_rows: (B, Hu * W).
            history_rows: (B, S, (Hi + Ha) * W).
            actions: (B, S, A) multi-hot.
            history_surface: (B, S).
            dwell_secs: (B, S).
            valid: (B, 1 + S).
            candidate_rows: (B, C, (Hi + Ha) * W).
            candidate_surface: (B, C).
            candidate_age: (B, C) buckets.

        Returns:
            Logits (B, C, A) and continuous values (B, C, n).
        """
        n_candidates = candidate_rows.shape[1]
        acted = actions.any(-1, keepdim=True).to(actions.dtype)
        dwell = dwell_secs.clamp(0.0, self.config.dwell_scale_secs) / self.config.dwell_scale_secs
        dwell = functional.gelu(dwell[..., None] @ self.dwell_in, approximate="tanh")
        history = torch.cat(
            (
                history_rows,
                (2 * actions - 1) * acted @ self.action_projection,
                functional.embedding(history_surface, self.surface_table),
                dwell @ self.dwell_out,
            ),
            dim=-1,
        )
        candidates = torch.cat(
            (
                candidate_rows,
                functional.embedding(candidate_surface, self.surface_table),
                functional.embedding(candidate_age, self.post_age_table),
            ),
            dim=-1,
        )
        x = torch.cat(
            (
                (user_rows @ self.user_projection)[:, None],
                history @ self.history_projection,
                candidates @ self.candidate_projection,
            ),
            dim=1,
        )
        everywhere = functional.pad(valid, (0, n_candidates), value=True)
        seen = self.masks[n_candidates] & everywhere[:, None, None]  # (B, 1, T, T)
        cos, sin = self.rotations[n_candidates]
        for depth in range(self.config.n_layers):
            x = self.layer(depth, x, seen, cos, sin)
        hidden = norm(x[:, -n_candidates:], self.out_norm)
        values = hidden @ self.heads
        A = self.config.n_actions
        return values[..., :A], values[..., A:].sigmoid()

    def layer(self, depth: int, x: Tensor, seen: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """One layer over the whole sequence (B, T, D)."""
        B, T, _ = x.shape
        H, G, K = self.config.n_query_heads, self.config.n_kv_heads, self.config.key_size
        before, after, ffn_before, ffn_after = self.norms[depth]
        heads = (norm(x, before) @ self.qkv[depth]).view(B, T, -1, K).transpose(1, 2)
        q, k, v = heads[:, :H], heads[:, H : H + G], heads[:, H + G :]
        if H > G:
            k, v = (part.repeat_interleave(H // G, dim=1) for part in (k, v))
        attended = self.attend(rotated(q, cos, sin), rotated(k, cos, sin), v, seen)
        attended = attended.transpose(1, 2).reshape(B, T, -1) @ self.out[depth]
        x = x + norm(attended, after)
        gate, value = (norm(x, ffn_before) @ self.up[depth]).chunk(2, dim=-1)
        hidden = functional.gelu(gate, approximate="tanh") * value
        return x + norm(hidden @ self.down[depth], ffn_after)

    def attend(self, q: Tensor, k: Tensor, v: Tensor, seen: Tensor) -> Tensor:
        """(B, H, T, K) attended values."""
        scale = self.config.attention_multiplier
        if self.attention == "sdpa":
            return functional.scaled_dot_product_attention(q, k, v, attn_mask=seen, scale=scale)
        logits = q @ k.mT
        if self.attention == "in place":
            logits.mul_(scale / self.cap).tanh_().mul_(self.cap).masked_fill_(~seen, MASKED)
        else:
            logits = self.cap * torch.tanh(logits * scale / self.cap)
            logits = torch.where(seen, logits, MASKED)
        return logits.softmax(-1) @ v


def norm(x: Tensor, scale: Tensor) -> Tensor:
    """Root-mean-square norm."""
    return scale * x * torch.rsqrt(x.square().mean(-1, keepdim=True) + EPS)


def rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotates pairs of dimensions (i, i + K/2) of (B, H, T, K)."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)


def arguments(request: Request) -> tuple[Tensor, ...]:
    """A request as the dense form reads it."""
    history, at = request.history, request.candidates
    assert history.dwell_secs is not None
    assert at.post_age is not None
    earlier, posts = request.history_posts, request.posts
    return (
        history.user_rows,
        torch.cat((earlier.item_rows, earlier.author_rows), dim=-1)[None],
        history.actions,
        history.surface,
        history.dwell_secs,
        history.context_valid,
        torch.cat((posts.item_rows, posts.author_rows), dim=-1)[None],
        at.surface,
        at.post_age,
    )
