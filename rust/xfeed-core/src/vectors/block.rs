//! Rows that lie together.
//!
//! An index grows block by block, so nothing that is there is copied when it grows, and gives a block
//! back when its last row goes. Rows are ordered by nothing: a row that goes is replaced by the last.

use half::bf16;

use super::cells::Cells;
use super::dot::{CHAINS, LANES};
use super::rounded::RoundedRows;
use super::{Dtype, Entry};
use crate::clock::UnixMs;
use crate::error::Result;
use crate::ids::Id;

/// Most rows of a block. So many that the numbers fill large pages, even as bytes.
pub(super) const ROWS: usize = 16_384;

/// Rows that a thread scans before it looks for the next: fewer, so that threads end together.
pub(super) const PART: usize = 4_096;

/// The numbers of the vectors.
#[derive(Debug)]
pub(super) enum Numbers {
    /// In groups, as `dot.rs` reads them.
    Float32(Cells<4>),
    /// The same as the upper halves of floats.
    Bfloat16(Cells<2>),
    /// Rounded for the search, and as they were, one row after the other.
    Int8(RoundedRows, Vec<f32>),
}

/// At most [`ROWS`] rows.
#[derive(Debug)]
pub(super) struct Block {
    /// Padded width.
    width: usize,
    pub(super) ids: Vec<u64>,
    pub(super) authors: Vec<u64>,
    pub(super) created_ms: Vec<UnixMs>,
    pub(super) kinds: Vec<u8>,
    /// No row is older or newer; there may be none as old or as new.
    pub(super) times: (UnixMs, UnixMs),
    pub(super) numbers: Numbers,
}

/// Width with padding.
pub(super) fn padded(width: usize) -> usize {
    width.next_multiple_of(CHAINS)
}

impl Block {
    pub(super) fn new(width: usize, dtype: Dtype) -> Self {
        Self {
            width: padded(width),
            ids: Vec::new(),
            authors: Vec::new(),
            created_ms: Vec::new(),
            kinds: Vec::new(),
            times: (UnixMs::MAX, UnixMs::MIN),
            numbers: match dtype {
                Dtype::Float32 => Numbers::Float32(Cells::default()),
                Dtype::Bfloat16 => Numbers::Bfloat16(Cells::default()),
                Dtype::Int8 => Numbers::Int8(RoundedRows::default(), Vec::new()),
            },
        }
    }

    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    pub(super) fn entry(&self, row: usize) -> Entry {
        Entry {
            id: Id(self.ids[row]),
            author: Id(self.authors[row]),
            created_ms: self.created_ms[row],
            kind: self.kinds[row],
        }
    }

    /// Makes room for the row `row`.
    ///
    /// # Errors
    /// When there is no memory; nothing changes then.
    pub(super) fn reserve(&mut self, row: usize) -> Result<()> {
        let len = grouped_len(self.width, row + 1);
        match &mut self.numbers {
            Numbers::Float32(grouped) => grouped.reserve(len),
            Numbers::Bfloat16(grouped) => grouped.reserve(len),
            Numbers::Int8(rounded, _) => rounded.reserve(len),
        }
    }

    /// Writes a row; `row` is at most one behind the last, and there is room for it. `vector` has the
    /// padded width.
    pub(super) fn set(&mut self, row: usize, entry: &Entry, vector: &[f32]) {
        if row == self.len() {
            self.ids.push(0);
            self.authors.push(0);
            self.created_ms.push(0);
            self.kinds.push(0);
        }
        self.ids[row] = entry.id.0;
        self.authors[row] = entry.author.0;
        self.created_ms[row] = entry.created_ms;
        self.kinds[row] = entry.kind;
        let (oldest, newest) = self.times;
        self.times = (oldest.min(entry.created_ms), newest.max(entry.created_ms));
        match &mut self.numbers {
            Numbers::Float32(grouped) => spread(grouped, row, vector, f32::to_le_bytes),
            Numbers::Bfloat16(grouped) => {
                spread(grouped, row, vector, |value| {
                    bf16::from_f32(value).to_le_bytes()
                });
            }
            Numbers::Int8(rounded, exact) => {
                rounded.set(row, vector);
                let start = row * vector.len();
                exact.truncate(exact.len().max(start));
                if exact.len() == start {
                    exact.extend_from_slice(vector);
                } else {
                    exact[start..start + vector.len()].copy_from_slice(vector);
                }
            }
        }
    }

    /// A row's numbers with padding, as they are stored.
    pub(super) fn vector(&self, row: usize) -> Vec<f32> {
        let places = (0..self.width).map(|i| place(self.width, row) + i * LANES);
        match &self.numbers {
            Numbers::Float32(grouped) => places
                .map(|place| f32::from_le_bytes(grouped.all()[place]))
                .collect(),
            Numbers::Bfloat16(grouped) => places
                .map(|place| bf16::from_le_bytes(grouped.all()[place]).to_f32())
                .collect(),
            Numbers::Int8(_, exact) => exact[row * self.width..(row + 1) * self.width].to_vec(),
        }
    }

    /// Forgets the last row.
    pub(super) fn pop(&mut self) {
        self.ids.pop();
        self.authors.pop();
        self.created_ms.pop();
        self.kinds.pop();
        let len = self.len();
        let grouped_len = grouped_len(self.width, len);
        match &mut self.numbers {
            Numbers::Float32(grouped) => grouped.resize(grouped_len),
            Numbers::Bfloat16(grouped) => grouped.resize(grouped_len),
            Numbers::Int8(rounded, exact) => {
                rounded.truncate(len);
                exact.truncate(len * self.width);
            }
        }
    }

    /// Bytes that are allocated.
    pub(super) fn used_bytes(&self) -> usize {
        let numbers = match &self.numbers {
            Numbers::Float32(grouped) => grouped.used_bytes(),
            Numbers::Bfloat16(grouped) => grouped.used_bytes(),
            Numbers::Int8(rounded, exact) => rounded.used_bytes() + 4 * exact.capacity(),
        };
        let ids = self.ids.capacity() + self.authors.capacity() + self.created_ms.capacity();
        size_of::<Self>() + numbers + 8 * ids + self.kinds.capacity()
    }
}

/// Where the first number of a row lies among grouped rows.
fn place(width: usize, row: usize) -> usize {
    row / LANES * LANES * width + row % LANES
}

/// How many numbers groups of so many rows have.
fn grouped_len(width: usize, n_rows: usize) -> usize {
    n_rows.next_multiple_of(LANES) * width
}

fn spread<const N: usize>(
    grouped: &mut Cells<N>,
    row: usize,
    vector: &[f32],
    stored: impl Fn(f32) -> [u8; N],
) {
    let len = grouped_len(vector.len(), row + 1);
    if len > grouped.len() {
        grouped.resize(len);
    }
    let places = grouped.all_mut()[place(vector.len(), row)..].iter_mut();
    for (place, value) in places.step_by(LANES).zip(vector) {
        *place = stored(*value);
    }
}
