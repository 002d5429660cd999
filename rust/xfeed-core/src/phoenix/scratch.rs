//! Memory for rows on their way through the layers, used again by later blocks.

use super::aligned::{Aligned, padded};
use super::gemm::ROWS;
use super::lanes::LANES;
use super::matrix::Matrix;
use super::weights::Sizes;

/// Memory for a block of rows on their way through a layer.
#[derive(Debug)]
pub(super) struct Scratch {
    /// Normed rows, then what attention or the feed-forward part gives back.
    narrow: Aligned,
    /// Queries, keys and values.
    qkv: Aligned,
    /// Attention's outcome, side by side for all heads.
    attended: Aligned,
    /// Hidden rows of the feed-forward part.
    hidden: Aligned,
    /// Attention's weights of eight rows.
    scores: Aligned,
    /// Rows rounded for a product.
    low: Vec<u32>,
}

impl Scratch {
    /// Room for `n_rows` rows that attend to `n_positions` positions and themselves.
    pub(super) fn new(sizes: &Sizes, n_rows: usize, n_positions: usize) -> Self {
        let deepest = sizes.width.max(sizes.ffn_size);
        let low_len = Matrix::low_len(deepest.max(sizes.heads.queries_width()));
        Self {
            low: vec![0; n_rows * low_len],
            narrow: Aligned::zeros(n_rows * padded(sizes.width)),
            qkv: Aligned::zeros(n_rows * sizes.heads.row_width()),
            attended: Aligned::zeros(n_rows * sizes.heads.queries_width()),
            hidden: Aligned::zeros(n_rows * 2 * padded(sizes.ffn_size)),
            scores: Aligned::zeros(ROWS * padded(n_positions + 2 * LANES)),
        }
    }

    /// Whether it has room for so much.
    pub(super) fn fits(&self, sizes: &Sizes, n_rows: usize, n_positions: usize) -> bool {
        self.narrow.len() >= n_rows * padded(sizes.width)
            && self.scores.len() >= ROWS * padded(n_positions + 2 * LANES)
    }
}

/// The scratch without its queries, keys and values.
pub(super) struct Rest<'a> {
    pub(super) narrow: &'a mut [f32],
    pub(super) attended: &'a mut [f32],
    pub(super) hidden: &'a mut [f32],
    pub(super) scores: &'a mut [f32],
    pub(super) low: &'a mut [u32],
}

impl Scratch {
    /// Queries, keys and values apart from the rest.
    pub(super) fn split(&mut self) -> (&mut [f32], Rest<'_>) {
        let rest = Rest {
            narrow: &mut self.narrow,
            attended: &mut self.attended,
            hidden: &mut self.hidden,
            scores: &mut self.scores,
            low: &mut self.low,
        };
        (&mut self.qkv, rest)
    }
}
