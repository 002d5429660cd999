//! A matrix in the numbers that it is multiplied in.

use super::gemm::{Packed, Rows, RowsMut, multiply};
use super::half::PackedHalf;
use super::int8::PackedBytes;

/// Numbers in which matrices are multiplied; everything else is `f32`.
///
/// Golden logits of the published mini shape (spread 2.2) differ by at most 1.6e-5 in single
/// precision, 0.09 (root mean square 0.014) in bfloat16 and 0.43 (0.09) in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Numbers {
    /// Single precision.
    Float32,
    /// Both sides rounded to bfloat16, sums in single precision.
    Bfloat16,
    /// Both sides rounded to bytes, columns and rows scaled, whole sums.
    Int8,
}

/// A packed matrix.
#[derive(Debug)]
pub(super) enum Matrix {
    /// See [`Numbers::Float32`].
    Full(Packed),
    /// See [`Numbers::Bfloat16`].
    Half(PackedHalf, usize),
    /// See [`Numbers::Int8`].
    Bytes(PackedBytes),
}

impl Matrix {
    /// Rounds a matrix where that is asked for.
    pub(super) fn new(packed: Packed, numbers: Numbers) -> Self {
        match numbers {
            Numbers::Float32 => Self::Full(packed),
            Numbers::Bfloat16 => Self::Half(PackedHalf::new(&packed), packed.depth()),
            Numbers::Int8 => Self::Bytes(PackedBytes::new(&packed)),
        }
    }

    /// Columns with their padding.
    pub(super) fn width(&self) -> usize {
        match self {
            Self::Full(matrix) => matrix.width(),
            Self::Half(matrix, _) => matrix.width(),
            Self::Bytes(matrix) => matrix.width(),
        }
    }

    /// Memory in bytes.
    pub(super) fn n_bytes(&self) -> usize {
        match self {
            Self::Full(matrix) => matrix.n_bytes(),
            Self::Half(matrix, _) => matrix.n_bytes(),
            Self::Bytes(matrix) => matrix.n_bytes(),
        }
    }

    /// Numbers of `low` that [`multiply`](Self::multiply) needs for a row of `depth` numbers.
    pub(super) fn low_len(depth: usize) -> usize {
        PackedHalf::row_len(depth).max(PackedBytes::row_len(depth))
    }

    /// `out = rows x matrix` for the first `n_rows` rows; `low` is for rounded rows.
    pub(super) fn multiply(
        &self,
        rows: Rows<'_>,
        n_rows: usize,
        low: &mut [u32],
        mut out: RowsMut<'_>,
    ) {
        match self {
            Self::Full(matrix) => multiply(rows, n_rows, matrix, &mut out),
            Self::Half(matrix, depth) => matrix.multiply(rows, *depth, n_rows, low, &mut out),
            Self::Bytes(matrix) => matrix.multiply(rows, n_rows, low, &mut out),
        }
    }
}
