//! Parameters of a layer: as they come, and how they are packed.

use super::aligned::{Aligned, padded};
use super::attention::Heads;
use super::gemm::Packed;
use crate::error::{Error, Result};

/// Parameters of a layer; matrices are input x output, row by row.
#[derive(Debug, Clone, Copy)]
pub struct LayerWeights<'a> {
    /// (D), before attention.
    pub attention_norm: &'a [f32],
    /// (D), after attention; absent where norms stand only before.
    pub attention_out_norm: Option<&'a [f32]>,
    /// (D), before the feed-forward part.
    pub ffn_norm: &'a [f32],
    /// (D), after it.
    pub ffn_out_norm: Option<&'a [f32]>,
    /// (H * K), over all queries; absent where they are not normalised.
    pub query_norm: Option<&'a [f32]>,
    /// (G * K), over all keys.
    pub key_norm: Option<&'a [f32]>,
    /// (D, H * K).
    pub query: &'a [f32],
    /// (D, G * K).
    pub key: &'a [f32],
    /// (D, G * K).
    pub value: &'a [f32],
    /// (H * K, D).
    pub attention_out: &'a [f32],
    /// (D, F); absent where the feed-forward part is not gated.
    pub ffn_gate: Option<&'a [f32]>,
    /// (D, F).
    pub ffn_up: &'a [f32],
    /// (F, D).
    pub ffn_down: &'a [f32],
}

/// Sizes that all layers share.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    /// Width of the stream (D).
    pub(super) width: usize,
    /// Hidden width (F).
    pub(super) ffn_size: usize,
    /// Attention.
    pub(super) heads: Heads,
}

/// A vector with the padding that heads or the stream have: `unit` numbers of every `width`.
pub(super) fn spread(values: &[f32], unit: usize, width: usize) -> Aligned {
    let mut out = Aligned::zeros(values.len() / unit * width);
    for (from, to) in values.chunks(unit).zip(out.chunks_mut(width)) {
        to[..unit].copy_from_slice(from);
    }
    out
}

/// Refuses a parameter of the wrong length.
pub(super) fn check(name: &str, values: &[f32], rows: usize, columns: usize) -> Result<()> {
    if values.len() == rows * columns {
        return Ok(());
    }
    Err(Error::shape(
        format!(
            "`{name}` has {} numbers, {rows} x {columns} are needed",
            values.len()
        ),
        "pass parameters of the shape that the configuration says",
    ))
}

pub(super) fn pack_dense(dense: &[f32], rows: usize, columns: usize) -> Packed {
    let mut packed = Packed::zeros(rows, columns);
    packed.set_columns(0, dense, columns);
    packed
}

/// Queries, keys and values side by side, every head padded.
pub(super) fn pack_qkv(sizes: &Sizes, weights: &LayerWeights<'_>) -> Packed {
    let heads = &sizes.heads;
    let (key_size, width) = (heads.key_size, heads.width());
    let mut packed = Packed::zeros(sizes.width, heads.row_width());
    let mut first = 0;
    for (dense, n_heads) in [
        (weights.query, heads.n_queries),
        (weights.key, heads.n_groups),
        (weights.value, heads.n_groups),
    ] {
        for (k, row) in dense.chunks_exact(n_heads * key_size).enumerate() {
            for (i, value) in row.iter().enumerate() {
                packed.set(k, first + i / key_size * width + i % key_size, *value);
            }
        }
        first += n_heads * width;
    }
    packed
}

/// The matrix after attention, with rows for the padding of heads.
pub(super) fn pack_out(sizes: &Sizes, dense: &[f32]) -> Packed {
    let heads = &sizes.heads;
    let (key_size, width) = (heads.key_size, heads.width());
    let mut packed = Packed::zeros(heads.queries_width(), sizes.width);
    for (k, row) in dense.chunks_exact(sizes.width).enumerate() {
        packed.set_row(k / key_size * width + k % key_size, row);
    }
    packed
}

/// Gate and value side by side, or one matrix.
pub(super) fn pack_up(sizes: &Sizes, weights: &LayerWeights<'_>) -> Packed {
    let Sizes {
        width, ffn_size, ..
    } = *sizes;
    let Some(gate) = weights.ffn_gate else {
        return pack_dense(weights.ffn_up, width, ffn_size);
    };
    let mut packed = Packed::zeros(width, 2 * padded(ffn_size));
    packed.set_columns(0, gate, ffn_size);
    packed.set_columns(padded(ffn_size), weights.ffn_up, ffn_size);
    packed
}
