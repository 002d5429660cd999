//! What a trunk looks like, and what goes into it.

use super::attention::Cap;
use super::rows::Rotations;
use crate::error::{Error, Result};

/// Sizes and switches of a trunk.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shape {
    /// Width of the stream (D).
    pub width: usize,
    /// Query heads (H).
    pub n_query_heads: usize,
    /// Key/value heads (G), a divisor of `n_query_heads`.
    pub n_kv_heads: usize,
    /// Width of a head (K), even.
    pub key_size: usize,
    /// Hidden width of the feed-forward part (F).
    pub ffn_size: usize,
    /// Factor on query-key products.
    pub multiplier: f32,
    /// Soft bound of them.
    pub cap: Cap,
    /// Whether a position of the context sees only earlier ones and itself.
    pub causal: bool,
}

/// Tokens of several viewers, side by side.
#[derive(Debug, Clone, Copy)]
pub struct Tokens<'a> {
    /// (B, N, D).
    pub values: &'a [f32],
    /// Tokens of each viewer (N).
    pub n: usize,
    /// (B, N), or (N) shared by all: rows of the table of rotations.
    pub positions: &'a [u32],
    /// By position.
    pub table: Rotations<'a>,
}

impl Shape {
    pub(super) fn check(&self) -> Result<()> {
        let counts = [
            self.width,
            self.n_query_heads,
            self.n_kv_heads,
            self.key_size,
            self.ffn_size,
        ];
        // whole sums of so many products of bytes fit 32 bits
        let sizes_fit = counts.iter().all(|n| (1..1 << 16).contains(n));
        if sizes_fit
            && self.n_query_heads * self.key_size.next_multiple_of(16) < 1 << 16
            && self.n_query_heads.is_multiple_of(self.n_kv_heads)
            && self.key_size.is_multiple_of(2)
        {
            return Ok(());
        }
        Err(Error::config(
            format!("sizes {self:?} do not fit together"),
            "all sizes lie in 1 to 65,535, key/value heads divide query heads, key sizes are even",
        ))
    }
}

impl Tokens<'_> {
    /// Number of viewers.
    pub(super) fn check(&self, shape: &Shape) -> Result<usize> {
        let per_viewer = self.n * shape.width;
        let half = shape.key_size / 2;
        let n_positions = self.table.cos.len() / half;
        let whole = self.values.len().checked_rem(per_viewer).unwrap_or(0) == 0;
        let n_viewers = self.values.len().checked_div(per_viewer).unwrap_or(0);
        let placed = self.positions.len() == self.n || self.positions.len() == self.n * n_viewers;
        if !whole || !placed || self.table.sin.len() != self.table.cos.len() {
            return Err(Error::shape(
                format!(
                    "{} numbers, {} positions, tables of {} and {} for {} tokens of width {}",
                    self.values.len(),
                    self.positions.len(),
                    self.table.cos.len(),
                    self.table.sin.len(),
                    self.n,
                    shape.width
                ),
                "pass whole tokens and one position for each",
            ));
        }
        match self
            .positions
            .iter()
            .find(|at| **at as usize >= n_positions)
        {
            Some(at) => Err(Error::shape(
                format!("position {at} is not in a table of {n_positions} rotations"),
                "pass a longer table",
            )),
            None => Ok(n_viewers),
        }
    }

    /// Positions of one viewer's tokens.
    pub(super) fn positions_of(&self, viewer: usize) -> &[u32] {
        let at = if self.positions.len() == self.n {
            0
        } else {
            viewer * self.n
        };
        &self.positions[at..at + self.n]
    }
}
