"""Products around the trunk without torch: embedding rows to tokens, last layer to heads.

Parameters are packed the first time they are met. What needs gradients, or is not float32 on the
CPU, is left to torch.
"""

import threading
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from xfeed import _core

_MAX_PACKED: Final = 64
"""Matrices kept; a model has a handful, and matrices that somebody computes anew are dropped."""

_Key = tuple[tuple[int, tuple[int, ...], tuple[int, ...]], ...]


class Products:
    """Multiplies rows with parameters in the Rust core, each packed once.

    A row's product has the same bits whatever the other rows and the number of threads are.

    Args:
        threads: threads of a call.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._lock = threading.Lock()
        # the parameters are kept beside their packed form, so that their addresses stay theirs
        self._packed: dict[_Key, tuple[_core.PackedMatrix, tuple[Tensor, ...]]] = {}

    @property
    def nbytes(self) -> int:
        """Memory of the packed matrices in bytes."""
        with self._lock:
            return sum(packed.nbytes for packed, _ in self._packed.values())

    def product(
        self, parts: Sequence[Tensor], matrices: Sequence[Tensor], norm: Tensor | None = None
    ) -> Tensor | None:
        """Products with matrices side by side.

        Args:
            parts: (n, width) each, side by side.
            matrices: (sum of the widths, columns) each, parameters or parts of them.
            norm: scales of a root-mean-square norm that rows pass first, or None.

        Returns:
            (n, sum of the columns); None if this is something for torch.
        """
        parameters = (*matrices, norm) if norm is not None else tuple(matrices)
        if not (all(map(_is_plain, parts)) and all(map(_is_plain, parameters))):
            return None
        if not all(matrix.numel() for matrix in matrices):
            return None
        packed = self._pack(parameters, has_norm=norm is not None)
        out = torch.empty((parts[0].shape[0], packed.columns))
        packed.multiply([_array(part) for part in parts], out.numpy(), threads=self._threads)
        return out

    def _pack(self, parameters: tuple[Tensor, ...], *, has_norm: bool) -> _core.PackedMatrix:
        """The packed form of parameters, made when they are first met."""
        key = tuple((one.data_ptr(), tuple(one.shape), one.stride()) for one in parameters)
        with self._lock:
            found = self._packed.get(key)
            if found is not None:
                return found[0]
            matrices = parameters[:-1] if has_norm else parameters
            norm = _array(parameters[-1]) if has_norm else None
            packed = _core.PackedMatrix(_array(torch.cat(matrices, dim=1)), norm=norm)
            if len(self._packed) >= _MAX_PACKED:
                self._packed.clear()
            self._packed[key] = packed, parameters
            return packed


def _is_plain(values: Tensor) -> bool:
    """Whether the Rust core can take a tensor as it is, and nobody wants its gradient."""
    return (
        values.dtype == torch.float32
        and values.device.type == "cpu"
        and not (values.requires_grad and torch.is_grad_enabled())
    )


def _array(values: Tensor) -> npt.NDArray[np.float32]:
    """A tensor in C order; copied only where it lies otherwise."""
    array: npt.NDArray[np.float32] = values.detach().contiguous().numpy()
    return array
