//! Attention of a few rows to the keys and values of a context and, for candidates, to themselves.

#![expect(
    clippy::inline_always,
    reason = "compiled into the copy for each level"
)]

use super::aligned::padded;
use super::functions::{exp, tanh};
use super::gemm::{Packed, ROWS, Rows, RowsMut, product};
use super::lanes::{LANES, Lanes, Line, lanes_fn};

/// Logit of a position that must not be seen. A row that may see nothing at all so becomes the mean
/// of all positions, as in the published model.
pub(super) const MASKED: f32 = -1e30;

/// Soft bound of query-key products.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Cap {
    /// No bound.
    None,
    /// `cap * tanh(x / cap)`.
    Tanh(f32),
    /// `x / (1 + |x| / cap)`.
    SoftSign(f32),
}

/// Keys and values of one layer and one key/value head.
#[derive(Debug)]
pub(super) struct Memory {
    /// Key size x positions.
    pub(super) keys: Packed,
    /// Positions x key size.
    pub(super) values: Packed,
}

impl Memory {
    /// Packs keys and values that lie in rows, one per position, `stride` apart.
    pub(super) fn pack(
        n_positions: usize,
        key_size: usize,
        keys: &[f32],
        values: &[f32],
        stride: usize,
    ) -> Self {
        let mut memory = Self {
            keys: Packed::zeros(key_size, n_positions),
            values: Packed::zeros(n_positions, key_size),
        };
        let mut line = [0.0; LANES];
        for first in (0..n_positions).step_by(LANES) {
            let n = LANES.min(n_positions - first);
            for k in 0..key_size {
                for (i, slot) in line[..n].iter_mut().enumerate() {
                    *slot = keys[(first + i) * stride + k];
                }
                memory.keys.set_line(k, first / LANES, &line[..n]);
            }
        }
        for position in 0..n_positions {
            let row = &values[position * stride..][..key_size];
            memory.values.set_row(position, row);
        }
        memory
    }

    /// Memory in bytes.
    pub(super) fn n_bytes(&self) -> usize {
        self.keys.n_bytes() + self.values.n_bytes()
    }
}

/// Sizes and switches of attention.
#[derive(Debug, Clone, Copy)]
pub(super) struct Heads {
    /// Query heads.
    pub(super) n_queries: usize,
    /// Key/value heads.
    pub(super) n_groups: usize,
    /// Width of a head.
    pub(super) key_size: usize,
    /// Factor on query-key products.
    pub(super) multiplier: f32,
    /// Bound of them.
    pub(super) cap: Cap,
}

impl Heads {
    /// Width of a head with its padding.
    pub(super) fn width(&self) -> usize {
        padded(self.key_size)
    }

    /// Width of the queries of a row.
    pub(super) fn queries_width(&self) -> usize {
        self.n_queries * self.width()
    }

    /// Width of the keys, or of the values, of a row.
    pub(super) fn groups_width(&self) -> usize {
        self.n_groups * self.width()
    }

    /// Width of a row of queries, keys and values.
    pub(super) fn row_width(&self) -> usize {
        self.queries_width() + 2 * self.groups_width()
    }
}

/// Highest logits by row; infinite where a position may be seen.
#[derive(Clone, Copy)]
pub(super) struct Bounds<'a> {
    /// Logits of the positions, padded; then, for candidates, a vector for the row itself.
    pub(super) data: &'a [f32],
    /// Numbers from one row to the next; 0 where all rows share one.
    pub(super) stride: usize,
}

/// What rows attend to.
#[derive(Clone, Copy)]
pub(super) struct Seen<'a> {
    /// Keys and values of a layer, by key/value head.
    pub(super) memories: &'a [Memory],
    /// Whether each row also sees its own key and value.
    pub(super) to_itself: bool,
    /// What may be seen.
    pub(super) bounds: Bounds<'a>,
}

lanes_fn! {
    /// Attends `n_rows` rows (queries, keys, values side by side) to what they see.
    ///
    /// `scores` has room for eight rows of bounds. Writes rows of the width of the queries.
    pub(super) fn attend_rows<L; R, V>(
        heads: &Heads, qkv: &[f32], n_rows: usize, seen: Seen<'_>, scores: &mut [f32], out: &mut [f32],
    ) {
        let factor = heads.multiplier;
        match heads.cap {
            Cap::None => {
                let soft = Unbounded(L::splat(factor));
                attend::<L, R, V>(heads, soft, qkv, n_rows, seen, scores, out);
            }
            Cap::Tanh(cap) => {
                let soft = TanhBound(L::splat(factor / cap), L::splat(cap));
                attend::<L, R, V>(heads, soft, qkv, n_rows, seen, scores, out);
            }
            Cap::SoftSign(cap) => {
                let soft = SignBound(L::splat(factor), L::splat(1.0 / cap));
                attend::<L, R, V>(heads, soft, qkv, n_rows, seen, scores, out);
            }
        }
    }
}

/// Scales and bounds products. No closures: those might not be inlined into the copy for a level.
trait Soft<L>: Copy {
    /// The logits of sixteen products.
    fn logits(self, products: L) -> L;
}

/// Factor.
#[derive(Clone, Copy)]
struct Unbounded<L>(L);

/// Factor over the bound, and the bound.
#[derive(Clone, Copy)]
struct TanhBound<L>(L, L);

/// Factor, and one over the bound.
#[derive(Clone, Copy)]
struct SignBound<L>(L, L);

impl<L: Lanes> Soft<L> for Unbounded<L> {
    #[inline(always)]
    fn logits(self, products: L) -> L {
        products.mul(self.0)
    }
}

impl<L: Lanes> Soft<L> for TanhBound<L> {
    #[inline(always)]
    fn logits(self, products: L) -> L {
        tanh(products.mul(self.0)).mul(self.1)
    }
}

impl<L: Lanes> Soft<L> for SignBound<L> {
    #[inline(always)]
    fn logits(self, products: L) -> L {
        let x = products.mul(self.0);
        x.div(x.abs().mul_add(self.1, L::splat(1.0)))
    }
}

/// [`attend_rows`] with the soft bound chosen.
#[inline(always)]
fn attend<L: Lanes, const R: usize, const V: usize>(
    heads: &Heads,
    soft: impl Soft<L>,
    qkv: &[f32],
    n_rows: usize,
    seen: Seen<'_>,
    scores: &mut [f32],
    out: &mut [f32],
) {
    let (width, stride, out_stride) = (heads.width(), heads.row_width(), heads.queries_width());
    let Seen {
        memories,
        to_itself,
        bounds,
    } = seen;
    // a candidate always sees itself, so that its sum cannot vanish
    let tame = to_itself
        && match heads.cap {
            Cap::None => false,
            Cap::Tanh(cap) | Cap::SoftSign(cap) => cap <= TAME,
        };
    let per_group = heads.n_queries / heads.n_groups;
    for head in 0..heads.n_queries {
        let group = head / per_group;
        let Memory { keys, values } = &memories[group];
        let own_key = heads.queries_width() + group * width;
        let own_value = own_key + heads.groups_width();
        let score_stride = keys.width() + if to_itself { LANES } else { 0 };
        for first in (0..n_rows).step_by(ROWS) {
            let tile = &qkv[first * stride..];
            let queries = Rows {
                data: &tile[head * width..],
                stride,
            };
            let mut logits = RowsMut {
                data: &mut *scores,
                stride: score_stride,
            };
            product::<L, R, V>(queries, ROWS, keys, &mut logits);
            let mut sums = [0.0; ROWS];
            for (r, sum) in sums.iter_mut().enumerate() {
                let row = &mut scores[r * score_stride..][..score_stride];
                if to_itself {
                    let own = &tile[r * stride..];
                    row[keys.width()] =
                        dot::<L>(&own[head * width..][..width], &own[own_key..][..width]);
                    row[keys.width() + 1..].fill(0.0);
                }
                let bounds = &bounds.data[(first + r) * bounds.stride..][..score_stride];
                *sum = if tame {
                    softmax_tame::<L>(row, bounds, soft)
                } else {
                    softmax::<L>(row, bounds, soft)
                };
            }
            let weights = Rows {
                data: scores,
                stride: score_stride,
            };
            let mut mixed = RowsMut {
                data: &mut out[first * out_stride + head * width..],
                stride: out_stride,
            };
            product::<L, R, V>(weights, ROWS, values, &mut mixed);
            for (r, sum) in sums.iter().enumerate() {
                let own = to_itself.then(|| {
                    (
                        scores[r * score_stride + keys.width()],
                        &tile[r * stride + own_value..][..width],
                    )
                });
                let mixed = &mut out[(first + r) * out_stride + head * width..][..width];
                finish::<L>(mixed, own, 1.0 / sum);
            }
        }
    }
}

/// Largest bound of logits whose exponentials can be summed as they are.
const TAME: f32 = 60.0;

/// Turns bounded products into weights that have not been divided by their sum, and returns that.
#[inline(always)]
fn softmax_tame<L: Lanes>(row: &mut [f32], bounds: &[f32], soft: impl Soft<L>) -> f32 {
    let row: &mut [Line] = row.as_chunks_mut::<LANES>().0;
    let bounds: &[Line] = bounds.as_chunks::<LANES>().0;
    let mut sum = L::splat(0.0);
    for (x, bound) in row.iter_mut().zip(bounds) {
        let weight = exp(L::load(bound).min(soft.logits(L::load(x))));
        weight.store(x);
        sum = sum.add(weight);
    }
    sum.sum()
}

/// Turns products into weights that have not been divided by their sum, and returns that.
#[inline(always)]
fn softmax<L: Lanes>(row: &mut [f32], bounds: &[f32], soft: impl Soft<L>) -> f32 {
    let row: &mut [Line] = row.as_chunks_mut::<LANES>().0;
    let bounds: &[Line] = bounds.as_chunks::<LANES>().0;
    let mut highest = L::splat(f32::NEG_INFINITY);
    for (x, bound) in row.iter_mut().zip(bounds) {
        let logit = L::load(bound).min(soft.logits(L::load(x)));
        logit.store(x);
        highest = highest.max(logit);
    }
    let highest = L::splat(highest.largest());
    let mut sum = L::splat(0.0);
    for x in row {
        let weight = exp(L::load(x).sub(highest));
        weight.store(x);
        sum = sum.add(weight);
    }
    sum.sum()
}

/// Adds the row's own value and divides by the sum of the weights.
#[inline(always)]
fn finish<L: Lanes>(mixed: &mut [f32], own: Option<(f32, &[f32])>, inverse: f32) {
    let mixed: &mut [Line] = mixed.as_chunks_mut::<LANES>().0;
    let inverse = L::splat(inverse);
    if let Some((weight, value)) = own {
        let weight = L::splat(weight);
        for (x, value) in mixed.iter_mut().zip(value.as_chunks::<LANES>().0) {
            weight
                .mul_add(L::load(value), L::load(x))
                .mul(inverse)
                .store(x);
        }
    } else {
        for x in mixed {
            L::load(x).mul(inverse).store(x);
        }
    }
}

/// Sum of the products of two rows.
#[inline(always)]
fn dot<L: Lanes>(a: &[f32], b: &[f32]) -> f32 {
    let mut sum = L::splat(0.0);
    for (a, b) in a
        .as_chunks::<LANES>()
        .0
        .iter()
        .zip(b.as_chunks::<LANES>().0)
    {
        sum = L::load(a).mul_add(L::load(b), sum);
    }
    sum.sum()
}
