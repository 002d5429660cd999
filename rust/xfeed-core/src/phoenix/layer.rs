//! One layer: attention and a feed-forward part, each after a norm and, in a sandwich, before one.

use super::aligned::{Aligned, padded};
use super::attention::{Seen, attend_rows};
use super::gemm::{Rows, RowsMut};
use super::matrix::{Matrix, Numbers};
use super::rows::{Rotations, activate, add_rows, norm_in_place, norm_rows, rotate_rows};
use super::scratch::{Rest, Scratch};
use super::weights::{LayerWeights, Sizes, check, pack_dense, pack_out, pack_qkv, pack_up, spread};
use crate::error::Result;

/// A layer, packed.
#[derive(Debug)]
pub(super) struct Layer {
    sizes: Sizes,
    attention_norm: Aligned,
    attention_out_norm: Option<Aligned>,
    ffn_norm: Aligned,
    ffn_out_norm: Option<Aligned>,
    query_norm: Option<Aligned>,
    key_norm: Option<Aligned>,
    qkv: Matrix,
    attention_out: Matrix,
    ffn_up: Matrix,
    ffn_down: Matrix,
    gated: bool,
}

/// Where rows stand and how positions turn them.
#[derive(Clone, Copy)]
pub(super) struct Placed<'a> {
    /// Cosines and sines.
    pub(super) table: Rotations<'a>,
    /// Position of each row.
    pub(super) positions: &'a [u32],
}

impl Layer {
    /// Packs the parameters.
    pub(super) fn new(sizes: Sizes, weights: &LayerWeights<'_>, numbers: Numbers) -> Result<Self> {
        let Sizes {
            width,
            ffn_size,
            heads,
        } = sizes;
        let key_size = heads.key_size;
        let (queries, keys) = (heads.n_queries * key_size, heads.n_groups * key_size);
        for (name, values, rows, columns) in [
            ("attention_norm", Some(weights.attention_norm), 1, width),
            ("attention_out_norm", weights.attention_out_norm, 1, width),
            ("ffn_norm", Some(weights.ffn_norm), 1, width),
            ("ffn_out_norm", weights.ffn_out_norm, 1, width),
            ("query_norm", weights.query_norm, 1, queries),
            ("key_norm", weights.key_norm, 1, keys),
            ("query", Some(weights.query), width, queries),
            ("key", Some(weights.key), width, keys),
            ("value", Some(weights.value), width, keys),
            ("attention_out", Some(weights.attention_out), queries, width),
            ("ffn_gate", weights.ffn_gate, width, ffn_size),
            ("ffn_up", Some(weights.ffn_up), width, ffn_size),
            ("ffn_down", Some(weights.ffn_down), ffn_size, width),
        ] {
            check(
                name,
                values.unwrap_or(&[]),
                if values.is_some() { rows } else { 0 },
                columns,
            )?;
        }
        let stream = |scale: &[f32]| spread(scale, width, padded(width));
        let over_heads = |scale: &[f32]| spread(scale, key_size, heads.width());
        Ok(Self {
            sizes,
            attention_norm: stream(weights.attention_norm),
            attention_out_norm: weights.attention_out_norm.map(stream),
            ffn_norm: stream(weights.ffn_norm),
            ffn_out_norm: weights.ffn_out_norm.map(stream),
            query_norm: weights.query_norm.map(over_heads),
            key_norm: weights.key_norm.map(over_heads),
            qkv: Matrix::new(pack_qkv(&sizes, weights), numbers),
            attention_out: Matrix::new(pack_out(&sizes, weights.attention_out), numbers),
            ffn_up: Matrix::new(pack_up(&sizes, weights), numbers),
            ffn_down: Matrix::new(pack_dense(weights.ffn_down, ffn_size, width), numbers),
            gated: weights.ffn_gate.is_some(),
        })
    }

    /// Memory of the parameters in bytes.
    pub(super) fn n_bytes(&self) -> usize {
        let matrices = [&self.qkv, &self.attention_out, &self.ffn_up, &self.ffn_down];
        matrices.iter().map(|matrix| matrix.n_bytes()).sum()
    }

    /// Queries, keys and values of the rows `x` (a multiple of eight) into `qkv`.
    pub(super) fn project(
        &self,
        x: &[f32],
        placed: Placed<'_>,
        qkv: &mut [f32],
        scratch: &mut Rest<'_>,
    ) {
        let (width, heads) = (self.sizes.width, &self.sizes.heads);
        let (stream, stride) = (padded(width), heads.row_width());
        let n_rows = x.len() / stream;
        norm_rows(
            x,
            as_f32(width),
            &self.attention_norm,
            &mut scratch.narrow[..x.len()],
            stream,
        );
        let rows = Rows {
            data: scratch.narrow,
            stride: stream,
        };
        let to = RowsMut {
            data: &mut *qkv,
            stride,
        };
        self.qkv.multiply(rows, n_rows, scratch.low, to);
        let qkv = &mut qkv[..n_rows * stride];
        let turned = heads.queries_width() + heads.groups_width();
        if let Some(scale) = &self.query_norm {
            norm_in_place(qkv, stride, as_f32(heads.n_queries * heads.key_size), scale);
        }
        if let Some(scale) = &self.key_norm {
            let keys = &mut qkv[heads.queries_width()..];
            norm_in_place(keys, stride, as_f32(heads.n_groups * heads.key_size), scale);
        }
        let half = heads.key_size / 2;
        rotate_rows(
            qkv,
            stride,
            turned,
            heads.width(),
            half,
            placed.table,
            placed.positions,
        );
    }

    /// Adds attention and the feed-forward part to the rows `x`, whose queries lie in `qkv`.
    pub(super) fn finish(
        &self,
        x: &mut [f32],
        qkv: &[f32],
        seen: Seen<'_>,
        scratch: &mut Rest<'_>,
    ) {
        let (width, heads) = (self.sizes.width, &self.sizes.heads);
        let stream = padded(width);
        let n_rows = x.len() / stream;
        let n = as_f32(width);
        attend_rows(heads, qkv, n_rows, seen, scratch.scores, scratch.attended);
        let narrow = &mut scratch.narrow[..x.len()];
        let attended = Rows {
            data: scratch.attended,
            stride: heads.queries_width(),
        };
        let to = RowsMut {
            data: &mut *narrow,
            stride: stream,
        };
        self.attention_out
            .multiply(attended, n_rows, scratch.low, to);
        add_rows(
            x,
            stream,
            narrow,
            stream,
            n,
            self.attention_out_norm.as_deref(),
        );
        norm_rows(x, n, &self.ffn_norm, narrow, stream);
        let stride = self.ffn_up.width();
        let hidden = &mut scratch.hidden[..n_rows * stride];
        let rows = Rows {
            data: narrow,
            stride: stream,
        };
        let to = RowsMut {
            data: &mut *hidden,
            stride,
        };
        self.ffn_up.multiply(rows, n_rows, scratch.low, to);
        activate(hidden, stride, self.gated);
        let rows = Rows {
            data: hidden,
            stride,
        };
        let to = RowsMut {
            data: &mut *narrow,
            stride: stream,
        };
        self.ffn_down.multiply(rows, n_rows, scratch.low, to);
        add_rows(x, stream, narrow, stream, n, self.ffn_out_norm.as_deref());
    }

    /// Runs a block of candidates, each against the context and itself.
    pub(super) fn run(
        &self,
        x: &mut [f32],
        placed: Placed<'_>,
        seen: Seen<'_>,
        scratch: &mut Scratch,
    ) {
        let (qkv, mut rest) = scratch.split();
        self.project(x, placed, qkv, &mut rest);
        self.finish(x, qkv, seen, &mut rest);
    }
}

/// A width as a number to divide by.
#[expect(clippy::cast_precision_loss, reason = "widths are far below 2^24")]
fn as_f32(n: usize) -> f32 {
    n as f32
}
