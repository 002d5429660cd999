//! Products around the layers: tokens from embedding rows before, heads after.
//!
//! The same products as in the layers, over matrices that are packed once. Rows are taken in small
//! blocks that threads share out; a row's numbers depend on that row alone, to the bit.

use super::aligned::{Aligned, padded};
use super::gemm::{Packed, ROWS, Rows, RowsMut, multiply};
use super::rows::norm_in_place;
use super::weights::pack_dense;
use super::workers::Workers;
use crate::error::{Error, Result};

/// Most rows of a block: with a depth of 512 they and a panel stay in the second cache.
const BLOCK: usize = 32;

/// A matrix that rows are multiplied with, packed for this machine.
#[derive(Debug)]
pub struct PackedMatrix {
    packed: Packed,
    columns: usize,
    /// Scale of the norm that rows pass first, padded; empty without one.
    norm: Vec<f32>,
}

/// Numbers of all rows that stand side by side with those of other parts.
#[derive(Debug, Clone, Copy)]
pub struct Part<'a> {
    /// (n, width).
    pub values: &'a [f32],
    /// Numbers of a row.
    pub width: usize,
}

impl PackedMatrix {
    /// Packs a dense matrix of so many columns; with `norm`, one scale for each of its rows,
    /// what is multiplied is divided by its root mean square and scaled before.
    ///
    /// # Errors
    /// The matrix is empty, its numbers do not fill whole rows, or there are more or fewer scales
    /// than rows.
    pub fn new(matrix: &[f32], columns: usize, norm: Option<&[f32]>) -> Result<Self> {
        let depth = matrix.len().checked_div(columns).unwrap_or(0);
        if depth == 0 || depth * columns != matrix.len() {
            return Err(Error::shape(
                format!(
                    "{} numbers are no matrix of {columns} columns",
                    matrix.len()
                ),
                "pass a matrix of at least one row and one column",
            ));
        }
        let mut padded_norm = Vec::new();
        if let Some(norm) = norm {
            if norm.len() != depth {
                return Err(Error::shape(
                    format!("`norm` has {} scales for a depth of {depth}", norm.len()),
                    "pass one scale for each row of the matrix",
                ));
            }
            padded_norm.extend_from_slice(norm);
            padded_norm.resize(padded(depth), 0.0);
        }
        Ok(Self {
            packed: pack_dense(matrix, depth, columns),
            columns,
            norm: padded_norm,
        })
    }

    /// Rows of the matrix: numbers of a row that is multiplied.
    pub fn depth(&self) -> usize {
        self.packed.depth()
    }

    /// Columns of the matrix.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Memory in bytes.
    pub fn n_bytes(&self) -> usize {
        self.packed.n_bytes() + 4 * self.norm.len()
    }

    /// Writes the products of `n` rows, whose parts stand side by side, to `out` (n, columns).
    ///
    /// # Errors
    /// The parts are not as wide together as the matrix is deep, their lengths or that of `out` do
    /// not fit `n`, or there can be no such number of threads.
    pub fn multiply(
        &self,
        parts: &[Part<'_>],
        n: usize,
        out: &mut [f32],
        n_threads: usize,
    ) -> Result<()> {
        let widths: Vec<_> = parts.iter().map(|part| part.width).collect();
        let whole = parts.iter().all(|part| part.values.len() == n * part.width);
        if widths.iter().sum::<usize>() != self.depth() || !whole || out.len() != n * self.columns {
            return Err(Error::shape(
                format!(
                    "{n} rows of widths {widths:?} and {} numbers out for a matrix {} x {}",
                    out.len(),
                    self.depth(),
                    self.columns
                ),
                "pass parts (n, width) whose widths add up to the depth, and `out` (n, columns)",
            ));
        }
        let workers = Workers::new(n_threads)?;
        let block = block_rows(n, workers.n());
        let tasks = out.chunks_mut(block * self.columns).enumerate().collect();
        workers.each(tasks, |(i, out)| self.multiply_block(parts, i * block, out));
        Ok(())
    }

    /// Products of the rows from `first` on, as many as `out` has room for.
    fn multiply_block(&self, parts: &[Part<'_>], first: usize, out: &mut [f32]) {
        let n = out.len() / self.columns;
        let n_rows = n.next_multiple_of(ROWS);
        let (stride, width) = (padded(self.depth()), self.packed.width());
        let mut rows = Aligned::zeros(n_rows * stride);
        for (i, row) in rows.chunks_exact_mut(stride).take(n).enumerate() {
            let mut rest = row;
            for part in parts {
                let (to, after) = rest.split_at_mut(part.width);
                to.copy_from_slice(&part.values[(first + i) * part.width..][..part.width]);
                rest = after;
            }
        }
        if !self.norm.is_empty() {
            #[expect(clippy::cast_precision_loss, reason = "widths lie far below 2^24")]
            let depth = self.depth() as f32;
            norm_in_place(&mut rows, stride, depth, &self.norm);
        }
        let mut products = Aligned::zeros(n_rows * width);
        let rows = Rows {
            data: &rows,
            stride,
        };
        let mut padded_out = RowsMut {
            data: &mut products,
            stride: width,
        };
        multiply(rows, n_rows, &self.packed, &mut padded_out);
        for (from, to) in products
            .chunks_exact(width)
            .zip(out.chunks_exact_mut(self.columns))
        {
            to.copy_from_slice(&from[..self.columns]);
        }
    }
}

/// Rows of a block, so that few rows still occupy all threads; a multiple of eight.
fn block_rows(n: usize, n_threads: usize) -> usize {
    let rows = n.div_ceil(n_threads).next_multiple_of(ROWS);
    rows.clamp(ROWS, BLOCK)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers between -1 and 1 that repeat late.
    fn numbers(n: usize, seed: u32) -> Vec<f32> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f32::from(i16::try_from(state >> 17).unwrap()) / 16_384.0 - 1.0
        };
        (0..n).map(|_| next()).collect()
    }

    /// Parts of these widths, one after the other in `values`.
    fn parts<'a>(values: &'a [f32], n: usize, widths: &[usize]) -> Vec<Part<'a>> {
        let mut rest = values;
        let mut found = Vec::new();
        for &width in widths {
            let (values, after) = rest.split_at(n * width);
            found.push(Part { values, width });
            rest = after;
        }
        found
    }

    #[test]
    fn parts_stand_side_by_side_and_pass_the_norm() {
        let (n, columns, widths) = (37, 21, [5, 0, 30]);
        let matrix = numbers(35 * columns, 1);
        let norm = numbers(35, 2);
        let values = numbers(n * 35, 3);
        let parts = parts(&values, n, &widths);
        for norm in [None, Some(norm.as_slice())] {
            let packed = PackedMatrix::new(&matrix, columns, norm).unwrap();
            let mut out = vec![f32::NAN; n * columns];
            packed.multiply(&parts, n, &mut out, 2).unwrap();
            for r in 0..n {
                let row: Vec<f64> = parts
                    .iter()
                    .flat_map(|part| &part.values[r * part.width..][..part.width])
                    .map(|x| f64::from(*x))
                    .collect();
                let mean = row.iter().map(|x| x * x).sum::<f64>() / 35.0;
                for c in 0..columns {
                    let right: f64 = (0..35)
                        .map(|k| {
                            let scale =
                                norm.map_or(1.0, |norm| f64::from(norm[k]) / (mean + 1e-5).sqrt());
                            row[k] * scale * f64::from(matrix[k * columns + c])
                        })
                        .sum();
                    let found = f64::from(out[r * columns + c]);
                    assert!((found - right).abs() < 1e-4, "{r} {c}: {found} {right}");
                }
            }
        }
    }

    #[test]
    fn a_row_has_the_same_bits_in_any_company() {
        let (n, columns) = (101, 20);
        let norm = numbers(48, 2);
        let packed = PackedMatrix::new(&numbers(48 * columns, 1), columns, Some(&norm)).unwrap();
        let values = numbers(n * 48, 3);
        let product = |first: usize, n: usize, n_threads| {
            let mut out = vec![0.0; n * columns];
            let values = &values[first * 48..][..n * 48];
            let part = Part { values, width: 48 };
            packed.multiply(&[part], n, &mut out, n_threads).unwrap();
            out
        };
        let all = product(0, n, 1);
        for n_threads in [1, 2, 3] {
            for (first, n) in [(0, 101), (0, 1), (100, 1), (3, 70), (9, 33)] {
                let alone = product(first, n, n_threads);
                assert_eq!(alone, all[first * columns..][..n * columns]);
            }
        }
        assert!(product(0, 0, 2).is_empty());
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert!(PackedMatrix::new(&[], 0, None).is_err());
        assert!(PackedMatrix::new(&[1.0; 7], 2, None).is_err());
        assert!(PackedMatrix::new(&[1.0; 6], 2, Some(&[1.0; 2])).is_err());
        let packed = PackedMatrix::new(&[1.0; 6], 2, None).unwrap();
        let values = [1.0; 6];
        let parts = [Part {
            values: &values,
            width: 3,
        }];
        assert!(packed.multiply(&parts, 2, &mut [0.0; 4], 1).is_ok());
        assert!(packed.multiply(&parts, 2, &mut [0.0; 3], 1).is_err());
        assert!(packed.multiply(&parts, 1, &mut [0.0; 2], 1).is_err());
        assert!(packed.multiply(&parts, 2, &mut [0.0; 4], 0).is_err());
        assert!(packed.multiply(&[], 2, &mut [0.0; 4], 1).is_err());
    }
}
