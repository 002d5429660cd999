//! The same over a table that the caller owns.

use super::HashFamily;
use crate::error::{Error, Result};

fn check(table: &[f32], width: usize, out: &[f32], n: usize) -> Result<u32> {
    let rows = table
        .len()
        .checked_div(width)
        .and_then(|rows| u32::try_from(rows).ok());
    match rows {
        Some(rows) if rows > 0 && table.len().is_multiple_of(width) && out.len() == n * width => {
            Ok(rows)
        }
        _ => Err(Error::shape(
            format!(
                "{} floats, rows of {width}, {} floats out",
                table.len(),
                out.len()
            ),
            "pass C-contiguous arrays of shape (rows, width)",
        )),
    }
}

/// Writes `table[rows[i]]` to `out[i]`.
///
/// # Errors
/// When a length does not fit or a row is outside the table.
pub fn gather_rows(table: &[f32], width: usize, rows: &[u32], out: &mut [f32]) -> Result<()> {
    let n_rows = check(table, width, out, rows.len())?;
    if let Some(row) = rows.iter().find(|row| **row >= n_rows) {
        return Err(Error::shape(
            format!("row `{row}` is outside a table of {n_rows} rows"),
            "hash with the size of this very table",
        ));
    }
    for (row, out) in rows.iter().zip(out.chunks_exact_mut(width)) {
        out.copy_from_slice(&table[*row as usize * width..][..width]);
    }
    Ok(())
}

/// Hashes `ids` and writes the rows of all functions side by side.
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
    let n_rows = check(table, width, out, ids.len() * family.len())?;
    let rows: Vec<u32> = family.for_table(n_rows).rows(ids).collect();
    gather_rows(table, width, &rows, out)
}
