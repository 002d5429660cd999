//! Copies table rows into the buffer that the model reads.
#![expect(
    clippy::inline_always,
    reason = "what `simd_fn!` calls must be inlined, else it keeps narrow instructions"
)]

use super::cells::{Bfloat16, Cell, Dtype, Float16, Float32, Int8};
use super::hash::{HashFamily, TableHash};
use super::map::prefetch;
use super::table::{EmbeddingTable, check_out};
use crate::error::{Error, Result};
use crate::simd::simd_fn;
use crate::workers::Workers;

/// Below this many floats one thread is faster than waking others.
const PARALLEL_FROM_FLOATS: usize = 1 << 18;

/// How many bytes of rows the processor is asked for ahead of the copy: enough to keep as many reads
/// under way as it can have, whatever the width.
const AHEAD_BYTES: usize = 1 << 13;

/// Most rows under way.
const MAX_AHEAD: usize = 128;

/// Cells of a table, as the loops see them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rows<'a> {
    pub(super) dtype: Dtype,
    pub(super) width: usize,
    pub(super) cells: &'a [u8],
    pub(super) scales: Option<&'a [[u8; 4]]>,
}

impl Rows<'_> {
    #[inline(always)]
    fn row(&self, row: u32) -> &[u8] {
        let len = self.width * self.dtype.size();
        let start = row as usize * len;
        &self.cells[start..start + len]
    }

    #[inline(always)]
    fn scale(&self, row: u32) -> f32 {
        match self.scales {
            Some(scales) => f32::from_le_bytes(scales[row as usize]),
            None => 1.0,
        }
    }

    #[inline(always)]
    fn prefetch(&self, row: u32) {
        prefetch(self.row(row));
        if let Some(scales) = self.scales {
            prefetch(&scales[row as usize]);
        }
    }

    /// Rows under way while one is copied.
    #[inline(always)]
    fn ahead(&self) -> usize {
        (AHEAD_BYTES / (self.width * self.dtype.size())).clamp(1, MAX_AHEAD)
    }
}

/// Which rows are copied. All must be in the table.
#[derive(Clone, Copy)]
pub(super) enum Wanted<'a> {
    Rows(&'a [u32]),
    Ids(TableHash<'a>, &'a [u64]),
}

simd_fn! {
    /// Writes rows to `out`, of which each part of `width` floats is the sum of `terms` rows.
    pub(super) fn copy_rows(table: &Rows<'_>, wanted: Wanted<'_>, terms: usize, out: &mut [f32]) {
        match table.dtype {
            Dtype::Float32 => copy_wanted::<Float32>(table, wanted, terms, out),
            Dtype::Float16 => copy_wanted::<Float16>(table, wanted, terms, out),
            Dtype::Bfloat16 => copy_wanted::<Bfloat16>(table, wanted, terms, out),
            Dtype::Int8 => copy_wanted::<Int8>(table, wanted, terms, out),
        }
    }
}

#[inline(always)]
fn copy_wanted<C: Cell>(table: &Rows<'_>, wanted: Wanted<'_>, terms: usize, out: &mut [f32]) {
    match wanted {
        Wanted::Rows(rows) => copy_cells::<C>(table, rows.iter().copied(), terms, out),
        Wanted::Ids(hash, ids) => copy_cells::<C>(table, hash.rows(ids), terms, out),
    }
}

/// Hashing happens while the processor waits for rows that were asked for before.
#[inline(always)]
fn copy_cells<C: Cell>(
    table: &Rows<'_>,
    mut rows: impl Iterator<Item = u32>,
    terms: usize,
    out: &mut [f32],
) {
    let mut under_way = [0_u32; MAX_AHEAD];
    let under_way = &mut under_way[..table.ahead()];
    for slot in under_way.iter_mut() {
        let Some(row) = rows.next() else { break };
        table.prefetch(row);
        *slot = row;
    }
    let mut place = 0;
    for target in out.chunks_exact_mut(table.width) {
        for term in 0..terms {
            let row = under_way[place];
            if let Some(next) = rows.next() {
                table.prefetch(next);
                under_way[place] = next;
            }
            place = if place + 1 == under_way.len() {
                0
            } else {
                place + 1
            };
            let (cells, scale) = (C::cells(table.row(row)), table.scale(row));
            if term == 0 {
                widen::<C>(cells, scale, target);
            } else {
                for (sum, raw) in target.iter_mut().zip(cells) {
                    *sum += C::value(*raw, scale);
                }
            }
        }
    }
}

/// Writes a row sixteen numbers at a time: a length that the compiler knows, in registers.
#[inline(always)]
fn widen<C: Cell>(cells: &[C::Raw], scale: f32, target: &mut [f32]) {
    const LANES: usize = 16;
    let (lines, rest) = cells.as_chunks::<LANES>();
    let (targets, rest_target) = target.as_chunks_mut::<LANES>();
    for (line, target) in lines.iter().zip(targets) {
        let line = *line;
        *target = std::array::from_fn(|i| C::value(line[i], scale));
    }
    for (raw, slot) in rest.iter().zip(rest_target) {
        *slot = C::value(*raw, scale);
    }
}

/// Splits `keys` and `out` (`stride` floats per key) among threads, where that wins.
///
/// `threads`: in how many parts at most; 0 for as many as the machine runs at once.
///
/// # Errors
/// There cannot be so many threads; `out` is untouched then.
fn in_parts<K: Sync>(
    keys: &[K],
    stride: usize,
    threads: usize,
    out: &mut [f32],
    work: impl Fn(&[K], &mut [f32]) + Sync,
) -> Result<()> {
    let workers = match threads {
        _ if out.len() < PARALLEL_FROM_FLOATS => Workers::Caller,
        0 => Workers::of_machine(),
        n => Workers::new(n)?,
    };
    let part = keys.len().div_ceil(workers.n()).max(1);
    let parts = keys.chunks(part).zip(out.chunks_mut(part * stride));
    workers.each(parts.collect(), |(keys, out)| work(keys, out));
    Ok(())
}

impl EmbeddingTable {
    /// Writes the row `rows[i]` to the floats `i * width..` of `out`.
    ///
    /// `threads`: most threads to use; 0 for as many as the machine runs at once.
    ///
    /// # Errors
    /// When a length does not fit, a row is outside the table or there cannot be so many threads;
    /// `out` is untouched then.
    pub fn gather(&self, rows: &[u32], threads: usize, out: &mut [f32]) -> Result<()> {
        check_out(out, rows.len(), self.width)?;
        self.check_rows(rows)?;
        let table = self.rows();
        in_parts(rows, self.width, threads, out, |rows, out| {
            copy_rows(&table, Wanted::Rows(rows), 1, out);
        })
    }

    /// Hashes `ids` and writes their rows: side by side in the order of the functions, shape
    /// `(n, functions * width)`, or with `sum` added up, shape `(n, width)`. Id 0 gives row 0.
    ///
    /// # Errors
    /// When a length does not fit or there cannot be so many threads.
    pub fn gather_hashed(
        &self,
        family: &HashFamily,
        ids: &[u64],
        sum: bool,
        threads: usize,
        out: &mut [f32],
    ) -> Result<()> {
        let terms = if sum { family.len() } else { 1 };
        let stride = self.width * family.len() / terms;
        check_out(out, ids.len(), stride)?;
        let table = self.rows();
        let hasher = family.for_table(self.n_rows);
        in_parts(ids, stride, threads, out, |ids, out| {
            copy_rows(&table, Wanted::Ids(hasher, ids), terms, out);
        })
    }

    pub(super) fn check_rows(&self, rows: &[u32]) -> Result<()> {
        let largest = rows.iter().copied().max().unwrap_or(0);
        if largest < self.n_rows {
            return Ok(());
        }
        Err(Error::shape(
            format!("row `{largest}` is outside a table of {} rows", self.n_rows),
            "hash with the size of this very table",
        ))
    }
}
