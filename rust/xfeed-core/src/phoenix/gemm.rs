//! Products of a few rows with a matrix that was packed once.
//!
//! A matrix is cut into panels of 32 columns (the last one may have 16); a panel lies in memory
//! in the order in which the product reads it. A product takes eight rows at a time through a
//! panel and keeps their sums in registers. Every number is the sum of its products in the order of
//! the depth, whatever the other rows are, so a row's result does not depend on its neighbours.

#![expect(
    clippy::inline_always,
    reason = "compiled into the copy for each level"
)]

use super::aligned::{Aligned, padded};
use super::lanes::{LANES, Lanes, Line, lanes_fn};

/// Rows of one step; numbers of rows are multiples of it.
pub(super) const ROWS: usize = 8;

/// Columns of a panel.
pub(super) const PANEL: usize = 2 * LANES;

/// A matrix, depth x columns, in panels.
#[derive(Debug)]
pub(super) struct Packed {
    /// Rows of the matrix: what a product sums over.
    depth: usize,
    /// Columns, padded to whole vectors; the padding is zero.
    width: usize,
    panels: Aligned,
}

/// Rows of equal length, some way apart.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    /// The memory, from the first number of the first row.
    pub(super) data: &'a [f32],
    /// Numbers from one row to the next.
    pub(super) stride: usize,
}

/// The same for writing.
pub(super) struct RowsMut<'a> {
    /// The memory, from the first number of the first row.
    pub(super) data: &'a mut [f32],
    /// Numbers from one row to the next.
    pub(super) stride: usize,
}

impl Packed {
    /// Zeros of this shape.
    pub(super) fn zeros(depth: usize, columns: usize) -> Self {
        let width = padded(columns);
        Self {
            depth,
            width,
            panels: Aligned::zeros(depth * width),
        }
    }

    /// Columns with their padding.
    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// Memory in bytes.
    pub(super) fn n_bytes(&self) -> usize {
        self.panels.n_bytes()
    }

    /// Rows of the matrix.
    pub(super) fn depth(&self) -> usize {
        self.depth
    }

    /// One number.
    pub(super) fn get(&self, k: usize, column: usize) -> f32 {
        self.panels[self.offset(k, column / LANES) + column % LANES]
    }

    /// Where sixteen columns (from `line * 16`) of one row of the matrix lie.
    #[inline]
    fn offset(&self, k: usize, line: usize) -> usize {
        let first = line * LANES / PANEL * PANEL;
        let panel_width = PANEL.min(self.width - first);
        first * self.depth + k * panel_width + (line * LANES - first)
    }

    /// Writes one number.
    #[inline]
    pub(super) fn set(&mut self, k: usize, column: usize, value: f32) {
        let at = self.offset(k, column / LANES) + column % LANES;
        self.panels[at] = value;
    }

    /// Writes a row, from the first column on; `row` may be shorter than the matrix.
    pub(super) fn set_row(&mut self, k: usize, row: &[f32]) {
        for (line, part) in row.chunks(LANES).enumerate() {
            self.set_line(k, line, part);
        }
    }

    /// Writes a part of a row that starts at column `16 * line`.
    pub(super) fn set_line(&mut self, k: usize, line: usize, part: &[f32]) {
        let at = self.offset(k, line);
        self.panels[at..at + part.len()].copy_from_slice(part);
    }

    /// Writes columns `first..` of all rows from a dense matrix of `columns` columns.
    pub(super) fn set_columns(&mut self, first: usize, dense: &[f32], columns: usize) {
        for (k, row) in dense.chunks_exact(columns).enumerate() {
            for (i, value) in row.iter().enumerate() {
                self.set(k, first + i, *value);
            }
        }
    }
}

/// Sums of `R` rows with `V` vectors of columns of a panel of `P` vectors.
#[inline(always)]
fn tile<L: Lanes, const R: usize, const V: usize, const P: usize>(
    rows: Rows<'_>,
    panel: &[[Line; P]],
    first_vector: usize,
) -> [[L; V]; R] {
    let depth = panel.len();
    let rows: [&[f32]; R] = std::array::from_fn(|r| &rows.data[r * rows.stride..][..depth]);
    let mut sums = [[L::splat(0.0); V]; R];
    for k in 0..depth {
        let b: [L; V] = std::array::from_fn(|v| L::load(&panel[k][first_vector + v]));
        for r in 0..R {
            let a = L::splat(rows[r][k]);
            for v in 0..V {
                sums[r][v] = a.mul_add(b[v], sums[r][v]);
            }
        }
    }
    sums
}

/// Eight rows with one panel of `P` vectors, in tiles of `R` rows and `V` vectors.
#[inline(always)]
fn strip<L: Lanes, const R: usize, const V: usize, const P: usize>(
    rows: Rows<'_>,
    panel: &[Line],
    out: &mut RowsMut<'_>,
    first_row: usize,
    first_column: usize,
) {
    let panel = panel.as_chunks::<P>().0;
    for r in (first_row..first_row + ROWS).step_by(R) {
        for v in (0..P).step_by(V) {
            let from = Rows {
                data: &rows.data[r * rows.stride..],
                stride: rows.stride,
            };
            let sums = tile::<L, R, V, P>(from, panel, v);
            for (i, sums) in sums.iter().enumerate() {
                let at = (r + i) * out.stride + first_column + v * LANES;
                for (j, sum) in sums.iter().enumerate() {
                    let at = at + j * LANES;
                    if let Some(to) = out.data[at..].first_chunk_mut::<LANES>() {
                        sum.store(to);
                    }
                }
            }
        }
    }
}

/// `out = rows x matrix` for the first `n_rows` rows, a multiple of [`ROWS`].
#[inline(always)]
pub(super) fn product<L: Lanes, const R: usize, const V: usize>(
    rows: Rows<'_>,
    n_rows: usize,
    matrix: &Packed,
    out: &mut RowsMut<'_>,
) {
    let mut rest: &[f32] = &matrix.panels;
    for first in (0..matrix.width).step_by(PANEL) {
        let vectors = (matrix.width - first).min(PANEL) / LANES;
        let (panel, after) = rest.split_at(matrix.depth * vectors * LANES);
        rest = after;
        let panel = panel.as_chunks::<LANES>().0;
        for row in (0..n_rows).step_by(ROWS) {
            if vectors == 2 {
                strip::<L, R, V, 2>(rows, panel, out, row, first);
            } else {
                strip::<L, R, 1, 1>(rows, panel, out, row, first);
            }
        }
    }
}

lanes_fn! {
    /// [`product`], compiled for each level.
    pub(super) fn multiply<L; R, V>(
        rows: Rows<'_>,
        n_rows: usize,
        matrix: &Packed,
        out: &mut RowsMut<'_>,
    ) {
        product::<L, R, V>(rows, n_rows, matrix, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers that repeat late.
    fn numbers(n: usize, seed: u32) -> Vec<f32> {
        let mut state = seed;
        (0..n)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                f32::from(i16::try_from(state >> 17).unwrap()) / 16_384.0 - 1.0
            })
            .collect()
    }

    #[test]
    fn products_of_odd_sizes_are_right() {
        for (n_rows, depth, columns) in [
            (8, 1, 1),
            (8, 7, 16),
            (16, 33, 17),
            (8, 48, 100),
            (24, 128, 176),
        ] {
            let a = numbers(n_rows * (depth + 3), 1);
            let b = numbers(depth * columns, 2);
            let mut matrix = Packed::zeros(depth, columns);
            matrix.set_columns(0, &b, columns);
            let stride = matrix.width() + 5;
            let mut out = vec![7.0; n_rows * stride];
            let rows = Rows {
                data: &a,
                stride: depth + 3,
            };
            multiply(
                rows,
                n_rows,
                &matrix,
                &mut RowsMut {
                    data: &mut out,
                    stride,
                },
            );
            for r in 0..n_rows {
                for c in 0..matrix.width() {
                    let right: f64 = (0..depth)
                        .filter(|_| c < columns)
                        .map(|k| f64::from(a[r * (depth + 3) + k]) * f64::from(b[k * columns + c]))
                        .sum();
                    assert!(
                        (f64::from(out[r * stride + c]) - right).abs() < 1e-5,
                        "{r} {c}"
                    );
                }
                assert_eq!(out[r * stride + matrix.width()], 7.0);
            }
        }
    }

    #[test]
    fn rows_do_not_see_their_neighbours() {
        let matrix = {
            let mut matrix = Packed::zeros(40, 70);
            matrix.set_columns(0, &numbers(40 * 70, 3), 70);
            matrix
        };
        let a = numbers(16 * 40, 4);
        let mut all = vec![0.0; 16 * 80];
        multiply(
            Rows {
                data: &a,
                stride: 40,
            },
            16,
            &matrix,
            &mut RowsMut {
                data: &mut all,
                stride: 80,
            },
        );
        for r in 0..16 {
            let mut alone = vec![0.0; 8 * 40];
            let at = (r * 5) % 8;
            alone[at * 40..][..40].copy_from_slice(&a[r * 40..][..40]);
            let mut out = vec![0.0; 8 * 80];
            multiply(
                Rows {
                    data: &alone,
                    stride: 40,
                },
                8,
                &matrix,
                &mut RowsMut {
                    data: &mut out,
                    stride: 80,
                },
            );
            assert_eq!(out[at * 80..][..80], all[r * 80..][..80]);
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
        for (n_rows, depth, columns) in [
            (64, 128, 384),
            (64, 128, 352),
            (64, 176, 128),
            (64, 128, 128),
            (64, 32, 128),
            (64, 128, 32),
        ] {
            let a = numbers(n_rows * depth, 1);
            let mut matrix = Packed::zeros(depth, columns);
            matrix.set_columns(0, &numbers(depth * columns, 2), columns);
            let stride = matrix.width();
            let mut out = Aligned::zeros(n_rows * stride);
            let mut best = f64::MAX;
            for _ in 0..300 {
                let start = std::time::Instant::now();
                for _ in 0..10 {
                    multiply(
                        Rows {
                            data: &a,
                            stride: depth,
                        },
                        n_rows,
                        &matrix,
                        &mut RowsMut {
                            data: &mut out,
                            stride,
                        },
                    );
                }
                best = best.min(start.elapsed().as_secs_f64() / 10.0);
            }
            println!(
                "{depth} x {columns}: {:.1} GFLOP/s",
                2.0 * (n_rows * depth * columns) as f64 / best / 1e9
            );
        }
    }
}
