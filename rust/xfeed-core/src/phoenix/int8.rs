//! Products in bytes with whole sums: a quarter of the memory, and up to four times the speed.
//!
//! A column of the matrix is scaled by its largest number, a row by its own when it comes. Rows are
//! shifted into unsigned bytes, as the instructions of the machine want it, and what the shift adds
//! is taken away again. Whole sums are exact, so every machine gives the same result.

#![expect(
    clippy::inline_always,
    reason = "compiled into the copy for each level"
)]

use super::gemm::{PANEL, Packed, ROWS, Rows, RowsMut};
use super::lanes::{Bytewise, LANES, QuadSums, Quads};
use crate::simd::simd_fn;

/// Largest byte on either side of zero.
const LARGEST: f32 = 127.0;

/// What makes signed bytes unsigned.
const SHIFT: i32 = 128;

/// Depth of sixteen fours: the four bytes of one are sixteen numbers apart, so that a row is
/// rounded sixteen numbers at a time.
const CHUNK: usize = 4 * LANES;

/// A matrix in panels like [`Packed`], in bytes.
#[derive(Debug)]
pub(super) struct PackedBytes {
    depth: usize,
    /// Fours of rows of the matrix.
    n_quads: usize,
    width: usize,
    panels: Vec<Quads>,
    /// What a byte of each column stands for.
    scales: Vec<f32>,
    /// What the shift adds to each column.
    shifts: Vec<i32>,
}

impl PackedBytes {
    /// Rounds a matrix.
    pub(super) fn new(matrix: &Packed) -> Self {
        let (depth, width) = (matrix.depth(), matrix.width());
        let n_quads = depth.div_ceil(CHUNK) * LANES;
        let scale = |column: usize| {
            let column = (0..depth).map(|k| matrix.get(k, column));
            column.fold(0.0, widen) / LARGEST
        };
        let scales: Vec<f32> = (0..width).map(scale).collect();
        let at = |k: usize, column: usize| {
            if k < depth {
                byte(matrix.get(k, column), scales[column])
            } else {
                0
            }
        };
        let shift = |column: usize| SHIFT * (0..depth).map(|k| at(k, column)).sum::<i32>();
        let shifts = (0..width).map(shift).collect();
        let mut panels = Vec::new();
        for first in (0..width).step_by(PANEL) {
            for quad in 0..n_quads {
                for line in (first..width.min(first + PANEL)).step_by(LANES) {
                    panels.push(std::array::from_fn(|i| {
                        let byte = |j: usize| {
                            let k = quad / LANES * CHUNK + j * LANES + quad % LANES;
                            (at(k, line + i).cast_unsigned() & 0xff) << (8 * j)
                        };
                        byte(0) | byte(1) | byte(2) | byte(3)
                    }));
                }
            }
        }
        Self {
            depth,
            n_quads,
            width,
            panels,
            scales,
            shifts,
        }
    }

    /// Columns with their padding.
    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// Memory in bytes.
    pub(super) fn n_bytes(&self) -> usize {
        self.panels.len() * size_of::<Quads>() + 8 * self.width
    }

    /// Numbers that [`multiply`](Self::multiply) needs for a row of `depth` numbers.
    pub(super) fn row_len(depth: usize) -> usize {
        depth.div_ceil(CHUNK) * LANES + 1
    }

    /// `out = rows x matrix` for the first `n_rows` rows; `quads` is for the rounded rows.
    pub(super) fn multiply(
        &self,
        rows: Rows<'_>,
        n_rows: usize,
        quads: &mut [u32],
        out: &mut RowsMut<'_>,
    ) {
        let quads = &mut quads[..n_rows * (self.n_quads + 1)];
        round_rows(rows, self.depth, self.n_quads + 1, quads);
        #[cfg(target_arch = "x86_64")]
        if crate::simd::level() == crate::simd::Level::Avx512
            && is_x86_feature_detected!("avx512vnni")
        {
            #[target_feature(
                enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c"
            )]
            fn native(quads: &[u32], matrix: &PackedBytes, out: &mut RowsMut<'_>) {
                product::<super::lanes::Avx512Vnni, 8, 2>(quads, matrix, out);
            }
            // SAFETY: both checks have found these instructions on this machine.
            #[expect(unsafe_code, reason = "calling a copy for wider registers")]
            return unsafe { native(quads, self, out) };
        }
        bytewise(quads, self, out);
    }
}

/// The larger of a size and a number's; not a number as soon as one is not finite.
#[inline(always)]
fn widen(size: f32, value: f32) -> f32 {
    let value = value.abs() + value * 0.0;
    if value > size || value.is_nan() {
        value
    } else {
        size
    }
}

/// The nearest byte, by a scale that may be zero or not a number.
#[inline(always)]
#[expect(
    clippy::cast_possible_truncation,
    reason = "at most 127 by the scale; NaN becomes 0"
)]
fn byte(value: f32, scale: f32) -> i32 {
    if scale > 0.0 {
        (value / scale).round_ties_even().clamp(-LARGEST, LARGEST) as i32
    } else {
        0
    }
}

simd_fn! {
    /// Scales and rounds rows; the scale of each stands before its bytes.
    fn round_rows(rows: Rows<'_>, depth: usize, row_len: usize, out: &mut [u32]) -> () {
        /// Adding it to a small number leaves the nearest integer in the low bits.
        const ROUND: f32 = 12_582_912.0;
        for (row, out) in rows.data.chunks(rows.stride).zip(out.chunks_exact_mut(row_len)) {
            let row = &row[..depth];
            // as whole numbers, sizes keep their order, and what is not finite is the largest
            let sizes = row.iter().map(|value| value.to_bits() & 0x7fff_ffff);
            let size = f32::from_bits(sizes.fold(0, u32::max));
            let size = if size.is_finite() { size } else { f32::NAN };
            out[0] = (size / LARGEST).to_bits();
            let inverse = if size > 0.0 { LARGEST / size } else { 0.0 };
            let one = |value: f32| ((value * inverse + ROUND).to_bits().wrapping_add(128)) & 0xff;
            for (part, out) in row.chunks(CHUNK).zip(out[1..].chunks_exact_mut(LANES)) {
                let mut chunk = [0.0; CHUNK];
                chunk[..part.len()].copy_from_slice(part);
                let (lines, _) = chunk.as_chunks::<LANES>();
                for (i, out) in out.iter_mut().enumerate() {
                    let byte = |j: usize| one(lines[j][i]) << (8 * j);
                    *out = byte(0) | byte(1) | byte(2) | byte(3);
                }
            }
        }
    }
}

simd_fn! {
    /// [`product`] for machines without products of bytes.
    fn bytewise(quads: &[u32], matrix: &PackedBytes, out: &mut RowsMut<'_>) -> () {
        product::<Bytewise, 4, 1>(quads, matrix, out);
    }
}

/// All rows with all panels.
#[inline(always)]
fn product<S: QuadSums, const R: usize, const V: usize>(
    quads: &[u32],
    matrix: &PackedBytes,
    out: &mut RowsMut<'_>,
) {
    let mut rest: &[Quads] = &matrix.panels;
    for first in (0..matrix.width).step_by(PANEL) {
        let vectors = (matrix.width - first).min(PANEL) / LANES;
        let (panel, after) = rest.split_at(matrix.n_quads * vectors);
        rest = after;
        for (tile, rows) in quads.chunks_exact(ROWS * (matrix.n_quads + 1)).enumerate() {
            if vectors == 2 {
                strip::<S, R, V, 2>(rows, matrix, panel, out, tile * ROWS, first);
            } else {
                strip::<S, R, 1, 1>(rows, matrix, panel, out, tile * ROWS, first);
            }
        }
    }
}

/// Eight rows with one panel of `P` vectors, in tiles of `R` rows and `V` vectors.
#[inline(always)]
fn strip<S: QuadSums, const R: usize, const V: usize, const P: usize>(
    quads: &[u32],
    matrix: &PackedBytes,
    panel: &[Quads],
    out: &mut RowsMut<'_>,
    first_row: usize,
    first_column: usize,
) {
    let (panel, row_len) = (panel.as_chunks::<P>().0, matrix.n_quads + 1);
    for r in (0..ROWS).step_by(R) {
        for v in (0..P).step_by(V) {
            let sums = tile::<S, R, V, P>(&quads[r * row_len..], row_len, panel, v);
            for (i, sums) in sums.iter().enumerate() {
                let scale = f32::from_bits(quads[(r + i) * row_len]);
                for (j, sums) in sums.iter().enumerate() {
                    let column = first_column + (v + j) * LANES;
                    let to = &mut out.data[(first_row + r + i) * out.stride + column..];
                    let shifts = matrix.shifts[column..].first_chunk::<LANES>();
                    let scales = matrix.scales[column..].first_chunk::<LANES>();
                    let to = to.first_chunk_mut::<LANES>();
                    if let (Some(to), Some(shifts), Some(scales)) = (to, shifts, scales) {
                        *to = rescaled(&S::to_array(*sums), shifts, scales, scale);
                    }
                }
            }
        }
    }
}

/// What whole sums stand for.
#[inline(always)]
#[expect(clippy::cast_precision_loss, reason = "sums are far below 2^24 in use")]
fn rescaled(
    sums: &[i32; LANES],
    shifts: &[i32; LANES],
    scales: &[f32; LANES],
    scale: f32,
) -> [f32; LANES] {
    std::array::from_fn(|lane| (sums[lane] - shifts[lane]) as f32 * (scale * scales[lane]))
}

/// Sums of `R` rows with `V` vectors of columns.
#[inline(always)]
fn tile<S: QuadSums, const R: usize, const V: usize, const P: usize>(
    quads: &[u32],
    row_len: usize,
    panel: &[[Quads; P]],
    first_vector: usize,
) -> [[S::Sums; V]; R] {
    let n_quads = row_len - 1;
    let panel = &panel[..n_quads];
    let rows: [&[u32]; R] = std::array::from_fn(|r| &quads[r * row_len + 1..][..n_quads]);
    let mut sums = [[S::zero(); V]; R];
    for k in 0..n_quads {
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

    /// Rows times matrix, of width `columns`.
    fn product_of(a: &[f32], b: &[f32], depth: usize, columns: usize) -> Vec<f32> {
        let mut packed = Packed::zeros(depth, columns);
        packed.set_columns(0, b, columns);
        let matrix = PackedBytes::new(&packed);
        let stride = matrix.width();
        let mut out = vec![0.0; 8 * stride];
        let mut quads = vec![0; 8 * PackedBytes::row_len(depth)];
        let rows = Rows {
            data: a,
            stride: depth,
        };
        let mut to = RowsMut {
            data: &mut out,
            stride,
        };
        matrix.multiply(rows, 8, &mut quads, &mut to);
        out.chunks(stride)
            .flat_map(|row| row[..columns].to_vec())
            .collect()
    }

    #[test]
    fn products_are_near_and_exact_for_small_whole_numbers() {
        for (depth, columns) in [(4, 16), (7, 3), (33, 50), (128, 96)] {
            let (mut a, mut b) = (numbers(8 * depth, 1), numbers(depth * columns, 2));
            let right = |a: &[f32], b: &[f32], r: usize, c: usize| -> f64 {
                let products =
                    (0..depth).map(|k| f64::from(a[r * depth + k]) * f64::from(b[k * columns + c]));
                products.sum()
            };
            let bound = 0.01 * f64::from(u16::try_from(depth).unwrap());
            let near = product_of(&a, &b, depth, columns);
            for (i, value) in near.iter().enumerate() {
                assert!(
                    (f64::from(*value) - right(&a, &b, i / columns, i % columns)).abs() < bound
                );
            }
            for row in a.chunks_mut(depth) {
                for x in row.iter_mut() {
                    *x = (*x * 100.0).round();
                }
                row[0] = -127.0;
            }
            for x in &mut b {
                *x = (*x * 100.0).round();
            }
            b[..columns].fill(127.0);
            let exact = product_of(&a, &b, depth, columns);
            for (i, value) in exact.iter().enumerate() {
                let right = right(&a, &b, i / columns, i % columns);
                assert!((f64::from(*value) - right).abs() <= 1e-3 + 1e-6 * right.abs());
            }
        }
    }

    #[test]
    fn what_is_not_finite_spoils_its_row_and_zeros_stay() {
        for (at, bad) in [(0, f32::NAN), (17, f32::INFINITY), (39, f32::NAN)] {
            let mut a = numbers(8 * 40, 1);
            a[40 + at] = bad;
            a[80..120].fill(0.0);
            let out = product_of(&a, &numbers(40 * 16, 2), 40, 16);
            assert!(out[16..32].iter().all(|x| x.is_nan()));
            assert!(out[32..48].iter().all(|x| *x == 0.0));
            assert!(out[48..].iter().chain(&out[..16]).all(|x| x.is_finite()));
        }
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
            let matrix = PackedBytes::new(&packed);
            let (stride, mut quads) = (matrix.width(), vec![0; 64 * PackedBytes::row_len(depth)]);
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
                matrix.multiply(rows, 64, &mut quads, &mut to);
                best = best.min(start.elapsed().as_secs_f64());
            }
            let n = 2.0 * (64 * depth * columns) as f64;
            println!("int8 {depth} x {columns}: {:.1} GFLOP/s", n / best / 1e9);
        }
    }
}
