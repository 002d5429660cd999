//! Copies table rows into the buffer that the model reads.

use rayon::prelude::*;

use crate::embed::hash::HashFamily;
use crate::error::{Error, Result};

/// Below this many copied floats one thread is faster than waking others.
const PARALLEL_FROM_FLOATS: usize = 1 << 18;

fn check_table(table: &[f32], width: usize) -> Result<u32> {
    if width == 0 || table.is_empty() || !table.len().is_multiple_of(width) {
        return Err(Error::shape(
            format!(
                "a table of {} floats does not divide into rows of {width}",
                table.len()
            ),
            "pass the table as a C-contiguous array of shape (rows, width)",
        ));
    }
    u32::try_from(table.len() / width).map_err(|_| {
        Error::shape(
            format!("a table of {} rows is too long", table.len() / width),
            "split the table; at most 2^32 - 1 rows",
        )
    })
}

fn check_out(out: &[f32], expected: usize) -> Result<()> {
    if out.len() == expected {
        return Ok(());
    }
    Err(Error::shape(
        format!(
            "the output buffer holds {} floats, {expected} are needed",
            out.len()
        ),
        "allocate `out` with shape (n, functions * width)",
    ))
}

/// Writes `table[rows[i]]` to `out[i]`; `out` has `rows.len() * width` floats.
///
/// # Errors
/// When a length does not fit or a row is outside the table.
pub fn gather_rows(table: &[f32], width: usize, rows: &[u32], out: &mut [f32]) -> Result<()> {
    let n_rows = check_table(table, width)?;
    check_out(out, rows.len() * width)?;
    if let Some(&row) = rows.iter().find(|&&row| row >= n_rows) {
        return Err(Error::shape(
            format!("row `{row}` is outside a table of {n_rows} rows"),
            "hash with the size of this very table",
        ));
    }
    let copy = |(row, target): (&u32, &mut [f32])| {
        let start = *row as usize * width;
        target.copy_from_slice(&table[start..start + width]);
    };
    if out.len() >= PARALLEL_FROM_FLOATS {
        rows.par_iter()
            .zip(out.par_chunks_exact_mut(width))
            .for_each(copy);
    } else {
        rows.iter().zip(out.chunks_exact_mut(width)).for_each(copy);
    }
    Ok(())
}

/// Hashes `ids` and writes the rows of all functions side by side: `out` has the shape
/// `(ids.len(), family.len() * width)`, function-major within a row. Id 0 gives row 0.
///
/// # Errors
/// When a length does not fit.
pub fn gather_hashed(
    table: &[f32],
    width: usize,
    family: &HashFamily,
    ids: &[u64],
    out: &mut [f32],
) -> Result<()> {
    let n_rows = check_table(table, width)?;
    let stride = family.len() * width;
    check_out(out, ids.len() * stride)?;
    let copy = |(id, target): (&u64, &mut [f32])| {
        for (function, part) in target.chunks_exact_mut(width).enumerate() {
            let start = family.row(*id, function, n_rows) as usize * width;
            part.copy_from_slice(&table[start..start + width]);
        }
    };
    if out.len() >= PARALLEL_FROM_FLOATS {
        ids.par_iter()
            .zip(out.par_chunks_exact_mut(stride))
            .for_each(copy);
    } else {
        ids.iter().zip(out.chunks_exact_mut(stride)).for_each(copy);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_copied_in_order() {
        let table = [0.0, 0.0, 1.0, 1.5, 2.0, 2.5];
        let mut out = [9.0; 6];
        gather_rows(&table, 2, &[2, 0, 1], &mut out).unwrap();
        assert_eq!(out, [2.0, 2.5, 0.0, 0.0, 1.0, 1.5]);
    }

    #[test]
    fn a_row_outside_the_table_is_an_error_not_a_panic() {
        let error = gather_rows(&[0.0; 4], 2, &[2], &mut [0.0; 2]).unwrap_err();
        assert!(error.message.contains("`2`"), "{error}");
    }

    #[test]
    fn parallel_and_serial_agree_with_the_formula() {
        let width = 4;
        let table: Vec<f32> = (0..400_u16).map(f32::from).collect();
        let family = HashFamily::new(vec![3, 5], vec![1, 2], 1_000_003).unwrap();
        let ids: Vec<u64> = (0..50_000).collect();
        let mut out = vec![0.0; ids.len() * 2 * width];
        gather_hashed(&table, width, &family, &ids, &mut out).unwrap();
        for (i, &id) in ids.iter().enumerate() {
            for function in 0..2 {
                let row = family.row(id, function, 100) as usize;
                let got = &out[(i * 2 + function) * width..][..width];
                assert_eq!(got, &table[row * width..(row + 1) * width]);
            }
        }
    }
}
