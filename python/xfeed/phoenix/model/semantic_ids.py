"""Semantic ids: a post's content as a few codes, coarse to fine, and their vectors.

The codes come from quantising an embedding of the post's content level by level, so posts that
share their first codes are about the same things and a new post has codes at once. Code 0 means
missing. All levels live in one table, one below the other; row 0 of each level counts as zero.
"""

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from xfeed.phoenix.input_config import SemanticIdConfig
from xfeed.phoenix.model.inputs import PostInputs

HASH_FACTOR: Final = 1_540_483_477
"""Multiplier of the hash level (published constant)."""


def hash_code(item_hash: Tensor, first_code: Tensor, codebook_size: int) -> Tensor:
    """Code of the hash level: scrambled bits of the post's hash, in the published way.

    ``m = h * 1540483477`` in 32-bit wrap-around, ``m ^= m >> 16``, ``|m| mod codebook_size + 1``.

    Args:
        item_hash: (U,) table row of the first hash of the post's id.
        first_code: (U,) first code of the post; a post without one gets none here either.
        codebook_size: codes of a level.
    """
    mixed = (item_hash.long() * HASH_FACTOR + 2**31) % 2**32 - 2**31
    mixed = mixed ^ (mixed >> 16)
    return (mixed.abs() % codebook_size + 1).masked_fill(first_code == 0, 0)


class SemanticIds(nn.Module):
    """One vector per post from its codes.

    Args:
        config: levels and widths.
        width: width of the vector.
    """

    def __init__(self, config: SemanticIdConfig, width: int) -> None:
        super().__init__()
        self.config = config
        e = config.width
        self.code_table = nn.Parameter(torch.empty(config.n_tables * (config.codebook_size + 1), e))
        if config.cross_attention:
            self.attention_qkv = nn.Parameter(torch.empty(e, 3 * e))
        self.projects = width != e
        if self.projects:
            self.projection = nn.Parameter(torch.empty(e, width))

    def codes(self, posts: PostInputs) -> Tensor:
        """(U, L or L + 1) codes of every level; zeros where nothing is known."""
        U, L = posts.author_rows.shape[0], self.config.n_levels
        codes = posts.semantic_ids
        if codes is None:
            codes = torch.zeros(U, L, dtype=torch.long, device=posts.author_rows.device)
        codes = codes.long().clamp(0, self.config.codebook_size)
        if not self.config.hash_level:
            return codes
        first = codes[:, 0]
        known = torch.zeros_like(first) if posts.item_hash is None else posts.item_hash
        extra = hash_code(known, first, self.config.codebook_size)
        return torch.cat((codes, extra[:, None]), dim=1)

    def forward(self, posts: PostInputs) -> Tensor:
        """(U, width)."""
        codes = self.codes(posts)  # (U, L')
        offsets = torch.arange(codes.shape[1], device=codes.device) * (
            self.config.codebook_size + 1
        )
        levels = functional.embedding(codes + offsets, self.code_table)  # (U, L', e)
        levels = levels.masked_fill((codes == 0)[..., None], 0)
        if self.config.cross_attention:
            q, k, v = (levels @ self.attention_qkv).chunk(3, dim=-1)
            weights = (q @ k.mT * self.config.width**-0.5).softmax(-1)  # (U, L', L')
            vector: Tensor = (weights @ v).mean(1) + levels.mean(1)
        else:
            vector = levels.sum(1)
        return vector @ self.projection if self.projects else vector
