//! Embedding tables.

use std::ops::Range;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use super::cells::{Dtype, narrow};
use super::gather::{Rows, Wanted, copy_rows};
use super::map::Memory;
use crate::error::{Error, ErrorKind, Result};
use crate::workers::Workers;

/// Rows that one task stores or looks at.
const TASK_ROWS: u32 = 1 << 12;

/// A table of `n_rows` rows of `width` numbers, owned or mapped from a file.
#[derive(Debug)]
pub struct EmbeddingTable {
    pub(super) dtype: Dtype,
    pub(super) n_rows: u32,
    pub(super) width: usize,
    pub(super) cells: Memory,
    /// One float32 per row of an int8 table.
    pub(super) scales: Option<Memory>,
}

impl EmbeddingTable {
    /// Stores `values` (`n * width` numbers, row after row) as `dtype`, rounding to nearest.
    ///
    /// # Errors
    /// When the shape does not fit, the memory is short, or a number cannot be held: a finite one that
    /// would become infinite, and for int8 any that is not finite.
    pub fn from_f32(values: &[f32], width: usize, dtype: Dtype) -> Result<Self> {
        let n_rows = values.len().checked_div(width).unwrap_or(0);
        let mut table = Self::zeroed(n_rows, width, dtype)?;
        if n_rows * width != values.len() {
            return Err(Error::shape(
                format!("{} floats do not divide into rows of {width}", values.len()),
                "pass the table with the shape (rows, width)",
            ));
        }
        match table.store(0, values) {
            None => Ok(table),
            Some(row) => Err(cannot_hold(dtype, row)),
        }
    }

    /// Stores `values` (`n * width` numbers) in the rows from `first_row` on, rounding to nearest.
    ///
    /// # Errors
    /// When they do not divide into rows or do not fit into the table, or the table is mapped; nothing
    /// has changed then. When a number cannot be held; the rows have changed then.
    pub fn write(&mut self, first_row: u32, values: &[f32]) -> Result<()> {
        let room = (self.n_rows - first_row.min(self.n_rows)) as usize * self.width;
        if !values.len().is_multiple_of(self.width) || values.len() > room {
            return Err(Error::shape(
                format!(
                    "{} floats from row `{first_row}` on, the table has {} rows of {}",
                    values.len(),
                    self.n_rows,
                    self.width
                ),
                "pass rows of the table's width that end inside of it",
            ));
        }
        if self.is_mapped() {
            return Err(Error::config(
                "a table that is mapped cannot be written to",
                "open it with copy=True",
            ));
        }
        match self.store(first_row as usize, values) {
            None => Ok(()),
            Some(row) => Err(cannot_hold(self.dtype, row)),
        }
    }

    /// A table of zeros that can be trained.
    ///
    /// # Errors
    /// When it has no row or no width, more than 2^32 - 1 rows, or the memory is short.
    pub fn zeroed(n_rows: usize, width: usize, dtype: Dtype) -> Result<Self> {
        let (n_rows, cells_len) = check_size(n_rows, width, dtype)?;
        let scales = match dtype {
            Dtype::Int8 => Some(Memory::zeroed(n_rows as usize * 4)?),
            _ => None,
        };
        let cells = Memory::zeroed(cells_len)?;
        Ok(Self {
            dtype,
            n_rows,
            width,
            cells,
            scales,
        })
    }

    /// Writes rows from `first` on; returns the first that cannot be held.
    fn store(&mut self, first: usize, values: &[f32]) -> Option<usize> {
        let (dtype, width, n_rows) = (self.dtype, self.width, values.len() / self.width);
        let len = width * dtype.size();
        let cells = &mut self.cells.bytes_mut()?[first * len..][..n_rows * len];
        let mut unscaled = Vec::new();
        let scales = match self.scales.as_mut().and_then(Memory::bytes_mut) {
            Some(scales) => &mut scales[first * 4..],
            None => {
                unscaled.resize(n_rows * 4, 0);
                &mut unscaled
            }
        };
        let task = TASK_ROWS as usize;
        let tasks = cells
            .chunks_mut(task * len)
            .zip(values.chunks(task * width))
            .zip(scales.as_chunks_mut().0.chunks_mut(task))
            .enumerate();
        let bad = AtomicUsize::new(usize::MAX);
        Workers::of_machine().each(tasks.collect(), |(i, ((cells, values), scales))| {
            let rows = cells
                .chunks_exact_mut(len)
                .zip(values.chunks_exact(width))
                .zip(scales);
            for (row, ((stored, values), scale)) in rows.enumerate() {
                let Some(found) = narrow(dtype, values, stored) else {
                    bad.fetch_min(first + i * task + row, Ordering::Relaxed);
                    return;
                };
                *scale = found.to_le_bytes();
            }
        });
        Some(bad.into_inner()).filter(|row| *row != usize::MAX)
    }

    /// How the numbers are stored.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// Rows, row 0 being padding.
    pub fn n_rows(&self) -> u32 {
        self.n_rows
    }

    /// Numbers in a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Bytes of all numbers and scales.
    pub fn nbytes(&self) -> usize {
        let scale = if self.scales.is_some() { 4 } else { 0 };
        self.n_rows as usize * (self.width * self.dtype.size() + scale)
    }

    /// Whether it is read from a file when rows are asked for.
    pub fn is_mapped(&self) -> bool {
        self.cells.is_mapped()
    }

    /// The stored numbers, row after row, lowest byte first.
    pub fn cells(&self) -> &[u8] {
        let len = self.n_rows as usize * self.width * self.dtype.size();
        &self.cells.bytes()[..len]
    }

    /// The scales of an int8 table, float32 with the lowest byte first.
    pub fn scales(&self) -> Option<&[u8]> {
        let scales = self.scales.as_ref()?;
        Some(&scales.bytes()[..self.n_rows as usize * 4])
    }

    pub(super) fn rows(&self) -> Rows<'_> {
        Rows {
            dtype: self.dtype,
            width: self.width,
            cells: self.cells(),
            scales: self.scales().map(|scales| scales.as_chunks().0),
        }
    }

    /// The first row with a number that is not finite.
    pub fn first_not_finite(&self) -> Option<u32> {
        let bad = AtomicU32::new(u32::MAX);
        let _all = self.cells.read_in_order();
        Workers::of_machine().each(self.tasks().collect(), |range| {
            if range.start > bad.load(Ordering::Relaxed) {
                return;
            }
            let rows: Vec<u32> = range.collect();
            let mut values = vec![0.0; rows.len() * self.width];
            copy_rows(&self.rows(), Wanted::Rows(&rows), 1, &mut values);
            if let Some(at) = values.iter().position(|value| !value.is_finite()) {
                bad.fetch_min(rows[at / self.width], Ordering::Relaxed);
            }
        });
        Some(bad.into_inner()).filter(|row| *row < self.n_rows)
    }

    /// The whole table as float32, shape `(n_rows, width)`.
    ///
    /// # Errors
    /// When `out` has another length.
    pub fn to_f32(&self, out: &mut [f32]) -> Result<()> {
        check_out(out, self.n_rows as usize, self.width)?;
        let _all = self.cells.read_in_order();
        let parts = out.chunks_mut(TASK_ROWS as usize * self.width);
        Workers::of_machine().each(parts.zip(self.tasks()).collect(), |(part, range)| {
            let rows: Vec<u32> = range.collect();
            copy_rows(&self.rows(), Wanted::Rows(&rows), 1, part);
        });
        Ok(())
    }

    /// All rows, task by task.
    fn tasks(&self) -> impl Iterator<Item = Range<u32>> {
        let starts = (0..self.n_rows).step_by(TASK_ROWS as usize);
        starts.map(|start| start..start.saturating_add(TASK_ROWS).min(self.n_rows))
    }
}

/// Rows as their number of 32 bits, and the bytes of all cells.
pub(super) fn check_size(n_rows: usize, width: usize, dtype: Dtype) -> Result<(u32, usize)> {
    let rows = u32::try_from(n_rows).ok().filter(|rows| *rows > 0);
    let cells = n_rows
        .checked_mul(width)
        .and_then(|n| n.checked_mul(dtype.size()));
    // Floats of all rows have to be countable as well, for the copies that callers ask for.
    let floats = n_rows.checked_mul(width).and_then(|n| n.checked_mul(4));
    match (
        rows,
        cells,
        floats.filter(|len| isize::try_from(*len).is_ok()),
    ) {
        (Some(rows), Some(cells), Some(_)) if width > 0 => Ok((rows, cells)),
        _ => Err(Error::shape(
            format!("a table cannot have {n_rows} rows of {width} numbers"),
            "give it 1 to 2^32 - 1 rows and a width of at least 1",
        )),
    }
}

/// Whether `out` has `n` rows of `width` floats.
pub(super) fn check_out(out: &[f32], n: usize, width: usize) -> Result<()> {
    if n.checked_mul(width) == Some(out.len()) {
        return Ok(());
    }
    Err(Error::shape(
        format!(
            "the output holds {} floats, {n} rows of {width} are needed",
            out.len()
        ),
        "allocate `out` with shape (n, functions * width), or (n, width) for a sum",
    ))
}

fn cannot_hold(dtype: Dtype, row: usize) -> Error {
    Error::new(
        ErrorKind::Shape,
        "bad_value",
        format!("row `{row}` has a number that {} cannot hold", dtype.name()),
        "store finite numbers; `bfloat16` has the range of float32",
    )
}
