//! The memory limit: when it is reached, the oldest posts go, a portion at a time, in small steps.

use super::PostStore;
use super::rows::Row;
use crate::clock::UnixMs;
use crate::ids::Id;

/// Authors per step when memory is short.
const STEP: u32 = 64;

/// The share of the posts that goes at a time when memory is short.
const PORTION: usize = 64;

/// A timeline may take this many bytes more when it grows.
const TIMELINE_ROOM: usize = 8 * 1024;

/// So many posts are asked for their time to find the oldest portion; all of a small store.
const SAMPLE: usize = 4096;

/// What decides how much memory a post takes, and whether it gets it.
pub(super) struct Place {
    pub(super) id: Id,
    pub(super) author: Id,
    pub(super) created_ms: UnixMs,
    pub(super) is_secondary: bool,
    pub(super) n_links: usize,
}

impl PostStore {
    /// Lets the oldest posts go until a post fits into the memory; `false` when it is itself older
    /// than what went, or when nothing is left to go.
    pub(super) fn make_room(&mut self, post: &Place) -> bool {
        while post.created_ms >= self.floors.memory_ms {
            if self.settings.max_bytes == u64::MAX || self.fits(self.growth(post)) {
                return true;
            }
            if !self.let_go() {
                return false;
            }
        }
        false
    }

    /// Bytes that one more post adds at most, for a moment: a list that grows is there twice.
    fn growth(&self, post: &Place) -> usize {
        let author = self.authors.find(post.author);
        let timeline = author.map_or(0, |place| {
            let timeline = self.authors.get(place).timeline(post.is_secondary);
            timeline.bytes() * 3 / 2
        });
        self.rows.growth(post.n_links)
            + self.authors.growth(post.author)
            + self.index.growth(post.id)
            + timeline.max(TIMELINE_ROOM)
    }

    /// Makes room for one more statement about a post; `false` when there is none.
    ///
    /// What a statement that is not kept was about does not come back: posts as old are refused.
    pub(super) fn make_room_for_tombstone(&mut self, id: Id, at_ms: UnixMs) -> bool {
        if self.settings.max_bytes == u64::MAX {
            return true;
        }
        while !self.fits(self.tombstones.growth(id) + TIMELINE_ROOM) {
            if !self.let_go() {
                let created_ms = self.record(id).map_or(at_ms, |record| record.created_ms);
                self.raise_memory_floor(created_ms.max(at_ms).saturating_add(1));
                return false;
            }
        }
        true
    }

    fn fits(&self, growth: usize) -> bool {
        self.used_bytes().saturating_add(growth as u64) <= self.settings.max_bytes
    }

    /// One small step of forgetting the oldest; `false` when there is nothing left.
    fn let_go(&mut self) -> bool {
        if !self.floors.unswept.is_empty() {
            self.sweep(STEP);
            return true;
        }
        let many_tombstones = self.tombstones.bytes() as u64 > self.used_bytes() / 2;
        if (many_tombstones || self.rows.len() == 0) && self.let_tombstones_go() {
            return true;
        }
        let mut times = self.sample_times();
        let portion = times.len() / PORTION;
        if times.is_empty() {
            return false;
        }
        let (_, oldest_ms, _) = times.select_nth_unstable(portion);
        self.raise_memory_floor(*oldest_ms + 1);
        true
    }

    fn raise_memory_floor(&mut self, oldest_ms: UnixMs) {
        // Statements may be from any time; posts newer than all there were stay welcome.
        let oldest_ms = oldest_ms.min(self.newest_ms.saturating_add(1));
        self.floors.memory_ms = self.floors.memory_ms.max(oldest_ms);
        self.floors.unswept = 0..self.authors.places();
    }

    /// Forgets the older half of the statements about posts, with the posts as old as those; `false`
    /// when nothing went.
    fn let_tombstones_go(&mut self) -> bool {
        let n_before = self.tombstones.len();
        let said = self.tombstones.iter().map(|(id, said)| (said.at_ms, id));
        let mut said: Vec<(UnixMs, Id)> = said.collect();
        if said.is_empty() {
            return false;
        }
        // A little more than half, so that the tables can shrink.
        let middle = said.len() * 5 / 8;
        let (_, &mut middle, _) = said.select_nth_unstable(middle);
        self.raise_memory_floor(middle.0.saturating_add(1));
        while self.sweep(u32::MAX) {}
        let (index, rows) = (&self.index, &self.rows);
        self.tombstones.retain(|id, said| {
            (said.at_ms, id) > middle || index.find(id, |slot| rows.get(slot).id).is_some()
        });
        self.tombstones.len() < n_before
    }

    /// Times of posts, evenly over the rows; of at least one.
    fn sample_times(&self) -> Vec<UnixMs> {
        let step = (self.rows.len() / SAMPLE).max(1);
        let rows = self.rows.iter().step_by(step);
        rows.map(Row::created_ms).collect()
    }
}
