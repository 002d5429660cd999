//! The newest entries so far.

use super::rows::Rows;
use super::timeline::Entry;

/// At most twice as many as are asked for; when it is full, the older half goes.
pub(super) struct Best {
    n: usize,
    entries: Vec<Entry>,
    /// The oldest of `n` entries that were there once: nothing older can be in the answer.
    bar: Option<Entry>,
}

impl Best {
    pub(super) fn new(n: usize) -> Self {
        Self {
            n,
            entries: Vec::with_capacity(n.min(1 << 12).saturating_mul(2)),
            bar: None,
        }
    }

    /// Whether an entry cannot be in the answer.
    pub(super) fn is_below(&self, entry: Entry, rows: &Rows) -> bool {
        match self.bar {
            Some(bar) => entry.cmp(bar, rows).is_lt(),
            None => self.n == 0,
        }
    }

    /// Whether everything up to a time cannot be in the answer.
    pub(super) fn is_all_below(&self, time: u64) -> bool {
        self.bar.is_some_and(|bar| time < bar.time())
    }

    pub(super) fn push(&mut self, entry: Entry, rows: &Rows) {
        self.entries.push(entry);
        if self.entries.len() >= self.n.saturating_mul(2) {
            self.cut(rows);
        }
    }

    /// Sets the first bar as soon as there can be one.
    pub(super) fn set_bar(&mut self, rows: &Rows) {
        if self.bar.is_none() {
            self.cut(rows);
        }
    }

    /// Raises the bar as far as it goes.
    pub(super) fn cut(&mut self, rows: &Rows) {
        if self.n == 0 {
            self.entries.clear();
        } else if self.entries.len() >= self.n {
            let (_, bar, _) = self
                .entries
                .select_nth_unstable_by(self.n - 1, |a, b| b.cmp(*a, rows));
            self.bar = Some(*bar);
            self.entries.truncate(self.n);
        }
    }

    /// The entries of the answer, newest first.
    pub(super) fn finish(mut self, rows: &Rows) -> Vec<Entry> {
        self.cut(rows);
        self.entries.sort_unstable_by(|a, b| b.cmp(*a, rows));
        self.entries
    }
}
