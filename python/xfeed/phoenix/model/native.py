"""The transformer without torch: the same calls, computed by the Rust core.

`NativeTransformer` takes the parameters of a `Transformer` once, packs them for this machine and
then answers `encode` and `attend` without the interpreter lock. A candidate's numbers do not
depend on the other candidates, their order, their number or the number of threads, to the bit.

Shapes: B batch, T context positions (P prefix + S history), C candidates, D width, K key size.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from xfeed import _core
from xfeed.phoenix.model.layer import Layer, rotation
from xfeed.phoenix.model.products import Products
from xfeed.phoenix.model.transformer import Transformer

DType = Literal["float32", "bfloat16", "int8"]
"""Numbers in which matrices are multiplied; everything else is float32."""

_PARAMETERS: Final = (
    "attention_norm",
    "attention_out_norm",
    "ffn_norm",
    "ffn_out_norm",
    "query_norm",
    "key_norm",
    "query",
    "key",
    "value",
    "attention_out",
    "ffn_gate",
    "ffn_down",
)

_SPARE_POSITIONS: Final = 2_048
"""Rotations are computed this far beyond the history, and again when slots go further."""


@dataclass(frozen=True, slots=True)
class NativeContext:
    """Viewers and their histories, encoded once for all candidates.

    Attributes:
        inner: keys and values in the layout of the Rust core; opaque.
        hidden: (B, T, D) output of the last layer, before the final norm; None if nobody asked.
            Rows of positions that are not valid mean nothing.
        next_position: position of the first candidate.
    """

    inner: _core.TrunkContext
    hidden: Tensor | None
    next_position: int

    @property
    def nbytes(self) -> int:
        """Memory in bytes, for the budget of a cache."""
        return self.inner.nbytes + (0 if self.hidden is None else self.hidden.nbytes)

    def take(self, rows: list[int]) -> "NativeContext":
        """Some of the viewers; keys and values are shared, not copied."""
        hidden = None if self.hidden is None else self.hidden[rows]
        return NativeContext(self.inner.take(rows), hidden, self.next_position)

    @staticmethod
    def join(contexts: "list[NativeContext]") -> "NativeContext":
        """Viewers of several contexts of one transformer, for one call of `attend`.

        Their histories may have different lengths. The last layer's output is left out.
        """
        inner = _core.TrunkContext.join([context.inner for context in contexts])
        return NativeContext(inner, None, contexts[0].next_position)


class NativeTransformer:
    """Answers the calls of `Trunk` in Rust, as `Transformer` does in torch.

    Parameters are copied: what is trained later goes unnoticed. Calls may come from several
    threads at once.

    Args:
        transformer: whose configuration and parameters to take.
        dtype: numbers to multiply matrices in. bfloat16 and int8 are faster and less exact: golden
            logits with a spread of 2.2 move by 0.014 and 0.09 in root mean square.
        threads: threads of a call; they come from a pool of the Rust core.
    """

    def __init__(
        self, transformer: Transformer, *, dtype: DType = "float32", threads: int = 1
    ) -> None:
        config = transformer.config
        self.config = config
        self.threads = threads
        self._torch = transformer
        self._products = Products(threads)
        self._positions = transformer.positions
        self._trunk = _core.Trunk(
            [_parameters(layer) for layer in transformer.layers if isinstance(layer, Layer)],
            width=config.emb_size,
            n_query_heads=config.n_query_heads,
            n_kv_heads=config.n_kv_heads,
            key_size=config.key_size,
            ffn_size=config.ffn_size,
            multiplier=config.attention_multiplier,
            cap=config.attention_cap,
            cap_kind=config.attention_cap_kind,
            causal=config.history_attention == "causal",
            dtype=dtype,
        )
        self._next_position = config.prefix_len + config.history_len
        self._table = _rotations(self._next_position + _SPARE_POSITIONS, config.key_size)

    @property
    def nbytes(self) -> int:
        """Memory of the packed parameters in bytes."""
        return self._trunk.nbytes + self._products.nbytes

    def encode(self, tokens: Tensor, valid: Tensor, *, keep_hidden: bool) -> NativeContext:
        """Runs viewers and histories through the layers and keeps keys and values.

        Args:
            tokens: (B, T, D) float32 viewer first, then the history, oldest first, padding last.
            valid: (B, T) bool.
            keep_hidden: whether the output of the last layer is needed.
        """
        cos, sin = self._rotations(self._next_position + valid.shape[1])
        array = _array(tokens)
        hidden = np.empty_like(array) if keep_hidden else None
        inner = self._trunk.encode(
            array,
            np.ascontiguousarray(valid.numpy()),
            np.ascontiguousarray(self._positions(valid).numpy().astype(np.uint32)),
            cos,
            sin,
            hidden=hidden,
            threads=self.threads,
        )
        last = None if hidden is None else torch.from_numpy(hidden)
        return NativeContext(inner, last, self._next_position)

    def attend(self, context: NativeContext, tokens: Tensor, first_slot: int | None = 0) -> Tensor:
        """Runs candidates through the layers, each alone against its viewer.

        Args:
            context: from `encode` of the same object.
            tokens: (B, C, D) float32.
            first_slot: place of the first token among all candidates, or None to put each into
                the first place; matters only where
                positions follow slots.

        Returns:
            (B, C, D) output of the last layer, before the final norm.
        """
        C = tokens.shape[1]
        positions = np.full(C, context.next_position, np.uint32)
        if self.config.positions == "slot" and first_slot is not None:
            positions += np.arange(first_slot, first_slot + C, dtype=np.uint32)
        cos, sin = self._rotations(int(positions.max(initial=0)) + 1)
        array = _array(tokens)
        out = np.empty_like(array)
        self._trunk.attend(context.inner, array, positions, cos, sin, out, threads=self.threads)
        return torch.from_numpy(out)

    def project(self, parts: Sequence[Tensor], matrix: Tensor) -> Tensor:
        """Rows, whose parts stand side by side, times a parameter.

        Args:
            parts: (n, width) each.
            matrix: (sum of the widths, D).
        """
        product = self._products.product(parts, [matrix])
        return self._torch.project(parts, matrix) if product is None else product

    def read_out(self, hidden: Tensor, norm: Tensor, heads: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Normalises the last layer's output and multiplies it with each of the heads.

        Args:
            hidden: (B, C, D) from `attend`.
            norm: (D,) scales.
            heads: (D, width) each.

        Returns:
            (B, C, width) for each head.
        """
        product = self._products.product([hidden.flatten(0, 1)], heads, norm)
        if product is None:
            return self._torch.read_out(hidden, norm, heads)
        widths = [head.shape[1] for head in heads]
        return torch.split(product.view(*hidden.shape[:2], -1), widths, dim=-1)

    def _rotations(self, n: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Tables of at least `n` positions."""
        table = self._table
        if table[0].shape[0] < n:
            table = self._table = _rotations(2 * n, self.config.key_size)
        return table


def _rotations(n: int, key_size: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Cosines and sines (n, K / 2) of the first positions, as torch computes them."""
    cos, sin = rotation(torch.arange(n, dtype=torch.float32), key_size)
    return cos.contiguous().numpy(), sin.contiguous().numpy()


def _array(tokens: Tensor) -> npt.NDArray[np.float32]:
    """A tensor as float32 in C order; copied only where it is something else."""
    array: npt.NDArray[np.float32] = tokens.detach().to(torch.float32).contiguous().numpy()
    return array


def _parameters(layer: Layer) -> dict[str, npt.NDArray[np.float32]]:
    """Parameters of a layer under the names of the Rust core; absent ones left out."""
    found = {name: getattr(layer, name, None) for name in _PARAMETERS}
    found["ffn_up"] = layer.ffn_value if layer.config.ffn == "gated" else layer.ffn_up
    return {name: _array(value) for name, value in found.items() if value is not None}
