//! One author's posts in time order.

use crate::clock::UnixMs;
use crate::event::PostKind;
use crate::ids::Id;

/// A post in a timeline. The derived order is the total order of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry {
    pub(super) created_ms: UnixMs,
    pub(super) id: Id,
}

/// Entries, oldest first. Posts arrive nearly in order, so an insert is nearly always a push.
#[derive(Debug, Default)]
pub(super) struct Timeline(Vec<Entry>);

impl Timeline {
    pub(super) fn insert(&mut self, entry: Entry) {
        if self.0.last().is_none_or(|last| *last < entry) {
            self.0.push(entry);
        } else if let Err(position) = self.0.binary_search(&entry) {
            self.0.insert(position, entry);
        }
    }

    pub(super) fn remove(&mut self, entry: Entry) {
        if let Ok(position) = self.0.binary_search(&entry) {
            self.0.remove(position);
        }
    }

    pub(super) fn newest_first(&self) -> impl Iterator<Item = &Entry> {
        self.0.iter().rev()
    }
}

/// The two timelines of one author.
#[derive(Debug, Default)]
pub(super) struct Timelines {
    /// Originals and quotes.
    pub(super) originals: Timeline,
    /// Replies and reposts.
    pub(super) secondary: Timeline,
}

impl Timelines {
    pub(super) fn of_mut(&mut self, kind: PostKind) -> &mut Timeline {
        match kind {
            PostKind::Original | PostKind::Quote => &mut self.originals,
            PostKind::Reply | PostKind::Repost => &mut self.secondary,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.originals.0.is_empty() && self.secondary.0.is_empty()
    }
}
