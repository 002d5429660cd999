"""Hash embeddings alone: a vector for any id, without a vocabulary and without torch.

    table = xfeed.EmbeddingTable.random(1_000_000, 64, seed=1)
    family = xfeed.HashFamily.of("post")
    vectors = table.lookup([42, 43], family)

The tables and the hashes are written in Rust; here arrays are checked and allocated, nothing else.
docs/embeddings.md explains tables, hashes, files and training.
"""

from __future__ import annotations

import contextlib
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, Self

import numpy as np

from xfeed import _core
from xfeed.embedding_inputs import id_column, output, row_column
from xfeed.errors import ConfigError, ShapeError, StoreError
from xfeed.phoenix import hashes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from os import PathLike

    import numpy.typing as npt

Dtype = Literal["float32", "float16", "bfloat16", "int8"]

PUBLISHED: Final[Mapping[str, Callable[[int], hashes.HashConfig]]] = {
    "viewer": hashes.user_hash,
    "post": hashes.item_hash,
    "author": hashes.author_hash,
    "address": hashes.address_hash,
}
"""Kinds of ids whose hash constants are published."""


class HashFamily:
    """Hash functions of one kind of id: ``((id * scale + bias) mod 2^64, signed) mod modulus``.

    Args:
        scales: multiplier of each function.
        biases: summand of each function, as many as `scales`.
        modulus: modulus after wrapping arithmetic, 1 to 2^63 - 1.

    Raises:
        ConfigError: when there is no function, the lists differ in length or the modulus is not
            positive.
    """

    def __init__(self, scales: Sequence[int], biases: Sequence[int], modulus: int) -> None:
        self.core = _core.HashFamily(scales, biases, modulus)

    @classmethod
    def of(cls, kind: str) -> Self:
        """The published family of a kind of ids.

        Args:
            kind: "viewer", "post", "author" or "address".
        """
        if kind not in PUBLISHED:
            raise ConfigError(
                f"there are no published hashes of `{kind}`",
                code="bad_hash",
                hint=f"use one of {', '.join(PUBLISHED)}, or HashFamily(scales, biases, modulus)",
            )
        constants = PUBLISHED[kind](2)
        return cls(constants.scales, constants.biases, constants.modulus)

    def __len__(self) -> int:
        """Number of functions: rows that one id has."""
        return len(self.core)

    def rows(self, ids: npt.ArrayLike, n_rows: int) -> npt.NDArray[np.uint32]:
        """Rows of ids in a table of `n_rows` rows: uint32 ``(n, len(self))``.

        Id 0 is padding and has row 0; all others have rows from 1 on.

        Raises:
            ShapeError: when `ids` are not unsigned 64-bit numbers in one dimension.
        """
        numbers = id_column(ids)
        out = np.empty((len(numbers), len(self)), dtype=np.uint32)
        self.core.rows(numbers, n_rows, out)
        return out


class EmbeddingTable:
    """Rows of numbers that ids are hashed to; row 0 is padding.

    Any number of threads may read one table. Made by `from_array`, `zeros`, `random` or `open`.

    Args:
        core: the engine's table.
    """

    def __init__(self, core: _core.EmbeddingTable) -> None:
        self.core = core

    @classmethod
    def from_array(cls, array: npt.ArrayLike, dtype: Dtype = "float32") -> Self:
        """A table of given numbers.

        Args:
            array: ``(n_rows, width)``, stored as `dtype`, rounded to nearest.
            dtype: "float32", "float16", "bfloat16", or "int8" with one scale per row
                (``max |x| / 127``; a number is off by half a scale at most).

        Raises:
            ShapeError: when `array` has another shape, or a number cannot be held (`bad_value`).
        """
        values = np.ascontiguousarray(array, dtype=np.float32)
        if values.ndim != 2:
            raise ShapeError(
                f"the table has the shape {values.shape}",
                code="bad_shape",
                hint="pass an array of shape (n_rows, width)",
            )
        return cls(_core.EmbeddingTable.from_array(values, dtype))

    @classmethod
    def zeros(cls, n_rows: int, width: int, dtype: Dtype = "float32") -> Self:
        """A table of zeros."""
        return cls(_core.EmbeddingTable.zeros(n_rows, width, dtype))

    @classmethod
    def random(
        cls, n_rows: int, width: int, *, seed: int, std: float = 0.02, dtype: Dtype = "float32"
    ) -> Self:
        """A table to start training from: N(0, `std`^2) by a seed; row 0 is zero."""
        generator = np.random.default_rng(seed)
        values = generator.standard_normal((n_rows, width), dtype=np.float32)
        values *= std
        values[:1] = 0
        return cls.from_array(values, dtype)

    @classmethod
    def open(cls, path: str | PathLike[str], name: str, *, copy: bool = False) -> Self:
        """A table in a safetensors file, read from there row by row as it is used.

        Nothing protects from somebody who cuts or overwrites the file meanwhile: a read behind its
        new end stops the process. Replace such files by renaming, as `save_tables` does.

        Args:
            path: the file.
            name: the tensor: F32, F16, BF16 of shape ``(n_rows, width)``, or I8 with its scales,
                F32 ``(n_rows,)``, as the tensor ``<name>.scale``.
            copy: read all of it now; the table can be trained, and the file may change.

        Raises:
            StoreError: naming the file, when it is damaged or has no such table.
        """
        return cls(_core.EmbeddingTable.open(path, name, copy))

    @property
    def n_rows(self) -> int:
        """Rows, row 0 being padding."""
        return self.core.n_rows

    @property
    def width(self) -> int:
        """Numbers in a row."""
        return self.core.width

    @property
    def dtype(self) -> str:
        """How numbers are stored."""
        return self.core.dtype

    @property
    def nbytes(self) -> int:
        """Bytes of all numbers and scales."""
        return self.core.nbytes

    @property
    def is_mapped(self) -> bool:
        """Whether rows are read from a file as they are used."""
        return self.core.is_mapped

    def lookup(
        self,
        ids: npt.ArrayLike,
        family: HashFamily,
        *,
        total: bool = False,
        out: npt.NDArray[np.float32] | None = None,
        threads: int = 0,
    ) -> npt.NDArray[np.float32]:
        """Vectors of ids.

        Args:
            ids: uint64 ``(n,)``; 0 is padding.
            family: its functions name the rows.
            total: add the rows of an id up instead of putting them side by side.
            out: where to write to, C-contiguous float32; a new array when None.
            threads: most threads to use; 0 for as many as win.

        Returns:
            float32 ``(n, len(family) * width)``, or ``(n, width)`` with `total`.

        Raises:
            ShapeError: when `ids` or `out` have another dtype or shape.
        """
        numbers = id_column(ids)
        width = self.width if total else self.width * len(family)
        target = np.empty((len(numbers), width), dtype=np.float32) if out is None else out
        self.core.gather_hashed(family.core, numbers, output(target), total, threads)
        return target

    def rows(self, rows: npt.ArrayLike, *, threads: int = 0) -> npt.NDArray[np.float32]:
        """The rows of given numbers: float32 ``(n, width)``.

        Raises:
            ShapeError: when one is outside the table.
        """
        numbers = row_column(rows, self.n_rows)
        out = np.empty((len(numbers), self.width), dtype=np.float32)
        self.core.gather(numbers, out, threads)
        return out

    def to_array(self) -> npt.NDArray[np.float32]:
        """The whole table: float32 ``(n_rows, width)``."""
        return self.core.to_array()

    def first_not_finite(self) -> int | None:
        """The first row with NaN or an infinity, or None."""
        return self.core.first_not_finite()

    def __repr__(self) -> str:
        where = "mapped" if self.is_mapped else "in memory"
        return f"EmbeddingTable({self.n_rows} x {self.width} {self.dtype}, {where})"


def save_tables(path: str | PathLike[str], tables: Mapping[str, EmbeddingTable]) -> None:
    """Writes tables to one safetensors file, for `EmbeddingTable.open` and for anybody else.

    It is written beside `path`, forced to the disk and then renamed: tables that are mapped from a
    file that was there before keep it, and a crash leaves it in place.

    Args:
        path: the file.
        tables: by name; the scales of an int8 table go to ``<name>.scale``.

    Raises:
        StoreError: when it cannot be written.
        ConfigError: when two tensors would have one name.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        _core.write_tables(temporary, [(name, table.core) for name, table in tables.items()])
        temporary.replace(path)
    except OSError as error:
        raise StoreError(
            f"`{path}` cannot be written: {error}",
            code="io_failed",
            hint="free disk space or mend the disk and try again; what was there is untouched",
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
