//! One author's posts in time order, eight bytes each.

use std::cmp::Ordering;

use super::rows::{Rows, SLOT_BITS};
use crate::clock::UnixMs;

const VIDEO: u64 = 1 << SLOT_BITS;
const TIME_SHIFT: u32 = SLOT_BITS + 1;
const TIME_MAX: u64 = (1 << (64 - TIME_SHIFT)) - 1;

/// A post in a timeline: time since the base (35 bits, a year), whether it has a video, slot.
///
/// Times outside the range of the base stop at its ends; entries of equal time are compared by what
/// the rows say. So the order is always exact, and rows are seldom asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry(u64);

impl Entry {
    pub(super) fn new(base_ms: UnixMs, created_ms: UnixMs, has_video: bool, slot: u32) -> Self {
        let since = (created_ms - base_ms).clamp(0, TIME_MAX.cast_signed());
        let video = if has_video { VIDEO } else { 0 };
        Self(since.cast_unsigned() << TIME_SHIFT | video | u64::from(slot))
    }

    pub(super) fn slot(self) -> u32 {
        (self.0 & (VIDEO - 1)) as u32
    }

    pub(super) fn has_video(self) -> bool {
        self.0 & VIDEO != 0
    }

    /// Time since the base, as far as it goes.
    pub(super) fn time(self) -> u64 {
        self.0 >> TIME_SHIFT
    }

    /// The order of the store: created, then id.
    pub(super) fn cmp(self, other: Self, rows: &Rows) -> Ordering {
        self.time()
            .cmp(&other.time())
            .then_with(|| self.cmp_exact(other, rows))
    }

    #[cold]
    fn cmp_exact(self, other: Self, rows: &Rows) -> Ordering {
        let key = |entry: Self| {
            let row = rows.get(entry.slot());
            (row.created_ms(), row.id)
        };
        key(self).cmp(&key(other))
    }

    /// How its time compares with a moment.
    pub(super) fn cmp_time(self, moment: Moment, rows: &Rows) -> Ordering {
        self.time().cmp(&moment.since).then_with(|| {
            if moment.since == 0 || moment.since == TIME_MAX {
                rows.get(self.slot()).created_ms().cmp(&moment.at_ms)
            } else {
                Ordering::Equal
            }
        })
    }
}

/// A moment, ready to be compared with entries.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    since: u64,
    at_ms: UnixMs,
}

impl Moment {
    pub(super) fn new(base_ms: UnixMs, at_ms: UnixMs) -> Self {
        let since = at_ms
            .saturating_sub(base_ms)
            .clamp(0, TIME_MAX.cast_signed());
        Self {
            since: since.cast_unsigned(),
            at_ms,
        }
    }
}

/// Entries, oldest first. Posts arrive nearly in order, so an insert is nearly always a push.
#[derive(Debug, Default)]
pub(super) struct Timeline(Vec<Entry>);

impl Timeline {
    pub(super) fn entries(&self) -> &[Entry] {
        &self.0
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn insert(&mut self, entry: Entry, rows: &Rows) {
        if self.0.len() == self.0.capacity() {
            // Growing by less than double costs a few more copies and saves a sixth of the memory.
            let more = if self.0.len() < 8 {
                self.0.len() / 2
            } else {
                self.0.len() / 4
            };
            // Odd, because an allocator's blocks have room for odd numbers of words.
            self.0
                .reserve_exact(((self.0.len() + more.max(2)) | 1) - self.0.len());
        }
        if self
            .0
            .last()
            .is_none_or(|last| last.cmp(entry, rows) == Ordering::Less)
        {
            self.0.push(entry);
        } else if let Err(position) = self.position(entry, rows) {
            self.0.insert(position, entry);
        }
    }

    /// Adds entries that are newer than all that are there, in order.
    pub(super) fn extend(&mut self, entries: &[Entry]) {
        self.0.reserve_exact(entries.len());
        self.0.extend_from_slice(entries);
    }

    pub(super) fn remove(&mut self, entry: Entry, rows: &Rows) {
        if let Ok(position) = self.position(entry, rows) {
            self.0.remove(position);
            self.shrink();
        }
    }

    /// Removes the `n` oldest.
    pub(super) fn remove_first(&mut self, n: usize) {
        self.0.drain(..n);
        self.shrink();
    }

    fn shrink(&mut self) {
        if self.0.len() * 3 < self.0.capacity() {
            self.0.shrink_to(self.0.len() * 3 / 2);
        }
    }

    fn position(&self, entry: Entry, rows: &Rows) -> Result<usize, usize> {
        self.0.binary_search_by(|other| other.cmp(entry, rows))
    }

    /// Writes every entry anew, in the same order.
    pub(super) fn rewrite(&mut self, write: impl Fn(Entry) -> Entry) {
        for entry in &mut self.0 {
            *entry = write(*entry);
        }
    }

    pub(super) fn bytes(&self) -> usize {
        if self.0.capacity() == 0 {
            0
        } else {
            self.0.capacity() * size_of::<Entry>() + ALLOCATION
        }
    }
}

/// What the allocator itself takes for a block.
const ALLOCATION: usize = 16;
