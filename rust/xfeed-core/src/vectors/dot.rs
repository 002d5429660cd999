//! Dot products of many rows with many queries.
//!
//! Rows lie in groups of [`LANES`]: first the first number of every row of the group, then the second
//! of every row, and so on. So one instruction works on many rows, and no sum has to be collected
//! from the parts of a register.
//!
//! Every sum is made in one order: [`CHAINS`] partial sums, each over every fourth place, then
//! `(0 + 2) + (1 + 3)`. Multiplication and addition round separately. So the score of a row is the
//! same number for every width of the registers, however many rows and queries are worked on
//! together, and whether the row is met in a scan or looked up alone.

#![expect(
    clippy::inline_always,
    clippy::needless_range_loop,
    reason = "bodies of kernels; loops over lanes of several arrays at once"
)]

use crate::simd::{Level, level, simd_fn};

/// Rows of one group.
pub(super) const LANES: usize = 16;

/// Partial sums of one product; rows and queries are padded with zeros to a multiple of it.
pub(super) const CHAINS: usize = 4;

/// Queries that share the registers.
pub(super) const QUERIES: usize = 4;

type Lanes<T> = [T; LANES];

/// A stored number.
trait Stored: Copy {
    fn wide(self) -> f32;
}

impl Stored for [u8; 4] {
    #[inline(always)]
    fn wide(self) -> f32 {
        f32::from_le_bytes(self)
    }
}

/// The upper half of a float.
impl Stored for [u8; 2] {
    #[inline(always)]
    fn wide(self) -> f32 {
        f32::from_bits(u32::from(u16::from_le_bytes(self)) << 16)
    }
}

/// One partial sum of every row of a group.
#[derive(Clone, Copy)]
struct Sums(Lanes<f32>);

impl Sums {
    #[inline(always)]
    fn plus<T: Stored>(self, stored: &Lanes<T>, wanted: f32) -> Self {
        let mut sums = self.0;
        for lane in 0..LANES {
            sums[lane] += stored[lane].wide() * wanted;
        }
        Self(sums)
    }

    #[inline(always)]
    fn and(self, other: Self) -> Self {
        let mut sums = self.0;
        for lane in 0..LANES {
            sums[lane] += other.0[lane];
        }
        Self(sums)
    }
}

/// Products of the rows of one group with `Q` queries.
#[inline(always)]
fn group<T: Stored, const Q: usize>(
    group: &[[Lanes<T>; CHAINS]],
    queries: [&[[f32; CHAINS]]; Q],
) -> [Lanes<f32>; Q] {
    let zero = Sums([0.0; LANES]);
    let mut sums = [[zero; CHAINS]; Q];
    let queries = queries.map(|query| &query[..group.len()]);
    for (step, [s0, s1, s2, s3]) in group.iter().enumerate() {
        for query in 0..Q {
            let [w0, w1, w2, w3] = queries[query][step];
            let [a, b, c, d] = sums[query];
            sums[query] = [
                a.plus(s0, w0),
                b.plus(s1, w1),
                c.plus(s2, w2),
                d.plus(s3, w3),
            ];
        }
    }
    sums.map(|[a, b, c, d]| a.and(c).and(b.and(d)).0)
}

/// Gives the products of every group with every query to `out[query * n_groups + group]`.
#[inline(always)]
fn groups<T: Stored>(rows: &[T], queries: &[f32], width: usize, out: &mut [Lanes<f32>]) {
    let steps = width / CHAINS;
    let (lanes, _) = rows.as_chunks::<LANES>();
    let (rows, _) = lanes.as_chunks::<CHAINS>();
    let (queries, _) = queries.as_chunks::<CHAINS>();
    let (n_groups, n_queries) = (rows.len() / steps, queries.len() / steps);
    let query = |q: usize| &queries[q * steps..(q + 1) * steps];
    // With fewer registers than this needs, every query alone is faster.
    let shared = if level() == Level::Avx512 {
        QUERIES
    } else {
        usize::MAX
    };
    for (g, rows) in rows.chunks_exact(steps).enumerate() {
        let mut q = 0;
        while n_queries - q >= shared {
            let found = group(rows, [query(q), query(q + 1), query(q + 2), query(q + 3)]);
            for (more, found) in found.into_iter().enumerate() {
                out[(q + more) * n_groups + g] = found;
            }
            q += QUERIES;
        }
        while q < n_queries {
            [out[q * n_groups + g]] = group(rows, [query(q)]);
            q += 1;
        }
    }
}

simd_fn! {
    /// Products of groups of rows with queries, all of the padded width `width`: group `g` and
    /// query `q` give `out[q * n_groups + g]`.
    pub(super) fn groups_f32(rows: &[[u8; 4]], queries: &[f32], width: usize, out: &mut [[f32; 16]]) {
        groups(rows, queries, width, out);
    }
}

simd_fn! {
    /// The same for rows of bfloat16.
    pub(super) fn groups_bf16(rows: &[[u8; 2]], queries: &[f32], width: usize, out: &mut [[f32; 16]]) {
        groups(rows, queries, width, out);
    }
}

simd_fn! {
    /// Which parts of `len` scores, at most 64 of them, have one that reaches `limit`, as bits.
    // A length that the compiler does not know keeps it from working on 16 parts side by side,
    // which takes many times as long.
    pub(super) fn reaching(scores: &[f32], len: usize, limit: f32) -> u64 {
        let mut parts = 0;
        for (bit, scores) in scores.chunks(len).enumerate() {
            let found = scores.iter().fold(0, |found, score| found | u32::from(*score >= limit));
            parts |= u64::from(found) << bit;
        }
        parts
    }
}

/// Numbers of the bits that are set, ascending.
pub(super) fn bits(mut mask: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let bit = mask.trailing_zeros() as usize;
        mask &= mask.wrapping_sub(1);
        (bit < 64).then_some(bit)
    })
}

/// Product of one row whose numbers lie side by side with a query, both padded to `CHAINS`.
pub(super) fn dot(row: &[f32], query: &[f32]) -> f32 {
    let (row, _) = row.as_chunks::<CHAINS>();
    let (query, _) = query.as_chunks::<CHAINS>();
    let mut sums = [0.0_f32; CHAINS];
    for (stored, wanted) in row.iter().zip(query) {
        for chain in 0..CHAINS {
            sums[chain] += stored[chain] * wanted[chain];
        }
    }
    (sums[0] + sums[2]) + (sums[1] + sums[3])
}
