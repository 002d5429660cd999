//! Products in bfloat16 with sums in `f32`: half the memory, and twice the speed where the
//! machine multiplies pairs.
//!
//! Both sides are rounded to the nearest bfloat16, ties to even. Two numbers that stand sixteen
//! apart in the depth share 32 bits, so that a row is rounded sixteen numbers at a time.

#![expect(
    clippy::inline_always,
    reason = "compiled into the copy for each level"
)]

use super::gemm::{PANEL, Packed, ROWS, Rows, RowsMut};
use super::lanes::{LANES, Lanes, PairSums, Pairs, Widened, lanes_fn};
use crate::simd::simd_fn;

/// Depth of sixteen pairs.
const CHUNK: usize = 2 * LANES;

/// A matrix in panels like [`Packed`], in bfloat16.
#[derive(Debug)]
pub(super) struct PackedHalf {
    /// Pairs of rows of the matrix.
    n_pairs: usize,
    width: usize,
    panels: Vec<Pairs>,
}

/// Nearest bfloat16, in the low half.
#[inline(always)]
fn rounded(value: f32) -> u32 {
    let bits = value.to_bits();
    let nearest = bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16;
    if value.is_nan() {
        (bits >> 16) | 0x40
    } else {
        nearest
    }
}

impl PackedHalf {
    /// Rounds a matrix.
    pub(super) fn new(matrix: &Packed) -> Self {
        let n_pairs = matrix.depth().div_ceil(CHUNK) * LANES;
        let at = |k: usize, column: usize| {
            if k < matrix.depth() {
                rounded(matrix.get(k, column))
            } else {
                0
            }
        };
        let mut panels = Vec::new();
        for first in (0..matrix.width()).step_by(PANEL) {
            for pair in 0..n_pairs {
                let k = pair / LANES * CHUNK + pair % LANES;
                for line in (first..matrix.width().min(first + PANEL)).step_by(LANES) {
                    panels.push(std::array::from_fn(|i| {
                        at(k, line + i) | at(k + LANES, line + i) << 16
                    }));
                }
            }
        }
        Self {
            n_pairs,
            width: matrix.width(),
            panels,
        }
    }

    /// Numbers that [`multiply`](Self::multiply) needs for a row of `depth` numbers.
    pub(super) fn row_len(depth: usize) -> usize {
        depth.div_ceil(CHUNK) * LANES
    }

    /// Columns with their padding.
    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// Memory in bytes.
    pub(super) fn n_bytes(&self) -> usize {
        self.panels.len() * size_of::<Pairs>()
    }

    /// `out = rows x matrix` for the first `n_rows` rows of width `depth`; `pairs` is for the
    /// rounded rows.
    pub(super) fn multiply(
        &self,
        rows: Rows<'_>,
        depth: usize,
        n_rows: usize,
        pairs: &mut [u32],
        out: &mut RowsMut<'_>,
    ) {
        let pairs = &mut pairs[..n_rows * self.n_pairs];
        round_rows(rows, depth, self.n_pairs, pairs);
        #[cfg(target_arch = "x86_64")]
        if crate::simd::level() == crate::simd::Level::Avx512
            && is_x86_feature_detected!("avx512bf16")
        {
            #[target_feature(
                enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma,f16c"
            )]
            fn native(pairs: &[u32], matrix: &PackedHalf, out: &mut RowsMut<'_>) {
                product::<super::lanes::Avx512Bf16, 8, 2>(pairs, matrix, out);
            }
            // SAFETY: both checks have found these instructions on this machine.
            #[expect(unsafe_code, reason = "calling a copy for wider registers")]
            return unsafe { native(pairs, self, out) };
        }
        widened(pairs, self, out);
    }
}

simd_fn! {
    /// Rounds rows and puts numbers into pairs.
    fn round_rows(rows: Rows<'_>, depth: usize, n_pairs: usize, out: &mut [u32]) -> () {
        for (row, out) in rows.data.chunks(rows.stride).zip(out.chunks_exact_mut(n_pairs)) {
            for (part, out) in row[..depth].chunks(CHUNK).zip(out.chunks_exact_mut(LANES)) {
                let mut chunk = [0.0; CHUNK];
                chunk[..part.len()].copy_from_slice(part);
                let (first, second) = chunk.split_at(LANES);
                for (i, out) in out.iter_mut().enumerate() {
                    *out = rounded(first[i]) | rounded(second[i]) << 16;
                }
            }
        }
    }
}

lanes_fn! {
    /// [`product`] for machines without products of pairs.
    fn widened<L; R, V>(pairs: &[u32], matrix: &PackedHalf, out: &mut RowsMut<'_>) {
        product::<Widened<L>, R, V>(pairs, matrix, out);
    }
}

/// All rows with all panels.
#[inline(always)]
fn product<S: PairSums, const R: usize, const V: usize>(
    pairs: &[u32],
    matrix: &PackedHalf,
    out: &mut RowsMut<'_>,
) {
    let n_pairs = matrix.n_pairs;
    let mut rest: &[Pairs] = &matrix.panels;
    for first in (0..matrix.width).step_by(PANEL) {
        let vectors = (matrix.width - first).min(PANEL) / LANES;
        let (panel, after) = rest.split_at(n_pairs * vectors);
        rest = after;
        for (tile, rows) in pairs.chunks_exact(ROWS * n_pairs).enumerate() {
            if vectors == 2 {
                strip::<S, R, V, 2>(rows, n_pairs, panel, out, tile * ROWS, first);
            } else {
                strip::<S, R, 1, 1>(rows, n_pairs, panel, out, tile * ROWS, first);
            }
        }
    }
}

/// Eight rows with one panel of `P` vectors, in tiles of `R` rows and `V` vectors.
#[inline(always)]
fn strip<S: PairSums, const R: usize, const V: usize, const P: usize>(
    pairs: &[u32],
    n_pairs: usize,
    panel: &[Pairs],
    out: &mut RowsMut<'_>,
    first_row: usize,
    first_column: usize,
) {
    let panel = panel.as_chunks::<P>().0;
    for r in (0..ROWS).step_by(R) {
        for v in (0..P).step_by(V) {
            let sums = tile::<S, R, V, P>(&pairs[r * n_pairs..], n_pairs, panel, v);
            for (i, sums) in sums.iter().enumerate() {
                let at = (first_row + r + i) * out.stride + first_column + v * LANES;
                for (j, sum) in sums.iter().enumerate() {
                    if let Some(to) = out.data[at + j * LANES..].first_chunk_mut::<LANES>() {
                        sum.store(to);
                    }
                }
            }
        }
    }
}

/// Sums of `R` rows with `V` vectors of columns.
#[inline(always)]
fn tile<S: PairSums, const R: usize, const V: usize, const P: usize>(
    pairs: &[u32],
    n_pairs: usize,
    panel: &[[Pairs; P]],
    first_vector: usize,
) -> [[S::Sums; V]; R] {
    let panel = &panel[..n_pairs];
    let rows: [&[u32]; R] = std::array::from_fn(|r| &pairs[r * n_pairs..][..n_pairs]);
    let mut sums = [[S::Sums::splat(0.0); V]; R];
    for k in 0..n_pairs {
        for r in 0..R {
            for v in 0..V {
                sums[r][v] = S::add_products(sums[r][v], rows[r][k], &panel[k][first_vector + v]);
            }
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::super::checks::numbers;
    use super::*;

    #[test]
    fn products_are_those_of_rounded_numbers() {
        for (depth, columns) in [(1, 1), (7, 16), (33, 50), (128, 96)] {
            let (a, b) = (numbers(8 * depth, 1), numbers(depth * columns, 2));
            let mut packed = Packed::zeros(depth, columns);
            packed.set_columns(0, &b, columns);
            let matrix = PackedHalf::new(&packed);
            let stride = matrix.width();
            let mut out = vec![0.0; 8 * stride];
            let mut pairs = vec![0; 8 * PackedHalf::row_len(depth)];
            let rows = Rows {
                data: &a,
                stride: depth,
            };
            let mut to = RowsMut {
                data: &mut out,
                stride,
            };
            matrix.multiply(rows, depth, 8, &mut pairs, &mut to);
            let wide = |x: f32| f64::from(f32::from_bits(rounded(x) << 16));
            for r in 0..8 {
                for c in 0..columns {
                    let products =
                        (0..depth).map(|k| wide(a[r * depth + k]) * wide(b[k * columns + c]));
                    let right: f64 = products.sum();
                    assert!((f64::from(out[r * stride + c]) - right).abs() < 1e-4);
                }
            }
        }
    }

    #[test]
    fn rounding_is_to_nearest_even_and_keeps_nan() {
        assert_eq!(rounded(1.0), 0x3f80);
        assert_eq!(rounded(f32::from_bits(0x3f80_8000)), 0x3f80);
        assert_eq!(rounded(f32::from_bits(0x3f81_8000)), 0x3f82);
        assert_eq!(rounded(f32::INFINITY), 0x7f80);
        assert!(f32::from_bits(rounded(f32::NAN) << 16).is_nan());
        assert!(f32::from_bits(rounded(f32::from_bits(0x7f80_0001)) << 16).is_nan());
    }

    #[test]
    #[ignore = "a measurement"]
    #[expect(
        clippy::print_stdout,
        clippy::cast_precision_loss,
        reason = "a measurement"
    )]
    fn speed() {
        for (depth, columns) in [(128, 384), (128, 352), (176, 128)] {
            let a = numbers(64 * depth, 1);
            let mut packed = Packed::zeros(depth, columns);
            packed.set_columns(0, &numbers(depth * columns, 2), columns);
            let matrix = PackedHalf::new(&packed);
            let (stride, mut pairs) = (matrix.width(), vec![0; 64 * PackedHalf::row_len(depth)]);
            let mut out = vec![0.0; 64 * stride];
            let mut best = f64::MAX;
            for _ in 0..3000 {
                let start = std::time::Instant::now();
                let rows = Rows {
                    data: &a,
                    stride: depth,
                };
                let mut to = RowsMut {
                    data: &mut out,
                    stride,
                };
                matrix.multiply(rows, depth, 64, &mut pairs, &mut to);
                best = best.min(start.elapsed().as_secs_f64());
            }
            let n = 2.0 * (64 * depth * columns) as f64;
            println!(
                "bfloat16 {depth} x {columns}: {:.1} GFLOP/s",
                n / best / 1e9
            );
        }
    }
}
