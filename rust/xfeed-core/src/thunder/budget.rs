//! The memory limit: when it is reached, the oldest posts go, a portion at a time, in small steps.

use super::rows::Row;
use super::types::StoreCounts;
use super::{PostStore, TIME_END_MS};
use crate::clock::UnixMs;
use crate::ids::Id;

/// Authors per step when memory is short.
const STEP: u32 = 64;

/// The share of the posts that goes at a time when memory is short.
const PORTION: usize = 64;

/// A timeline may take this many bytes more when it grows.
const TIMELINE_ROOM: usize = 8 * 1024;

/// One part in so many of the memory is for statements about deletes and undeletes.
const TOMBSTONE_SHARE: u64 = 8;

/// A day: a statement from further ahead of the newest post says nothing about time.
const FURTHEST_AHEAD_MS: UnixMs = 86_400_000;

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
        while post.created_ms >= self.floors.memory_ms.max(self.floors.refused_ms) {
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
            + self.dead_growth()
            + self.authors.growth(post.author)
            + self.index.growth(post.id)
            + timeline.max(TIMELINE_ROOM)
    }

    /// Bytes that one more dead post adds at most.
    fn dead_growth(&self) -> usize {
        if self.dead.len() == self.dead.capacity() {
            self.dead.allocation_size().max(256) * 2
        } else {
            0
        }
    }

    /// Makes room for one more statement about a post; `false` when there is none. Statements have a
    /// share of their own, so that a flood of them costs no posts.
    ///
    /// What a statement that is not kept was about does not come back: posts as old are refused.
    pub(super) fn make_room_for_tombstone(&mut self, id: Id, at_ms: UnixMs) -> bool {
        if self.settings.max_bytes == u64::MAX {
            return true;
        }
        loop {
            let bytes = self.tombstones.bytes() + self.tombstones.growth(id);
            if bytes as u64 <= self.tombstone_share() {
                while !self.fits(self.dead_growth() + TIMELINE_ROOM) && self.let_go() {}
                return true;
            }
            if !self.let_tombstones_go() {
                if let Some(slot) = self.find(id) {
                    self.forget(slot);
                }
                self.refuse_as_old_as(at_ms);
                return false;
            }
        }
    }

    fn tombstone_share(&self) -> u64 {
        self.settings.max_bytes / TOMBSTONE_SHARE
    }

    fn fits(&self, growth: usize) -> bool {
        let posts = self.used_bytes() - self.tombstones.bytes() as u64;
        posts.saturating_add(growth as u64) <= self.settings.max_bytes - self.tombstone_share()
    }

    /// One small step of forgetting the oldest posts; `false` when there is nothing left.
    fn let_go(&mut self) -> bool {
        if !self.floors.unswept.is_empty() {
            self.sweep(STEP);
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
        self.floors.memory_ms = self.floors.memory_ms.max(oldest_ms);
        self.floors.unswept = 0..self.authors.places();
    }

    /// Refuses, from now on, posts as old as a statement that is no longer kept; those that are there
    /// stay. A statement from further ahead than any clock can be would close the store, so it does
    /// not count.
    fn refuse_as_old_as(&mut self, at_ms: UnixMs) {
        if at_ms <= self.furthest_ms() {
            self.floors.refused_ms = self.floors.refused_ms.max(at_ms.saturating_add(1));
        }
    }

    fn furthest_ms(&self) -> UnixMs {
        if self.newest_ms == UnixMs::MIN {
            return TIME_END_MS - 1; // There is nothing yet to compare with.
        }
        self.newest_ms.saturating_add(FURTHEST_AHEAD_MS)
    }

    /// Forgets the older half of the statements, with the deleted posts among them, and first of all
    /// what is from further ahead than any clock; `false` when there is none.
    fn let_tombstones_go(&mut self) -> bool {
        let furthest_ms = self.furthest_ms();
        let age = |at_ms: UnixMs, id| (at_ms <= furthest_ms, at_ms, id);
        let said = self.tombstones.iter();
        let mut said: Vec<(bool, UnixMs, Id)> =
            said.map(|(id, said)| age(said.at_ms, id)).collect();
        if said.is_empty() {
            return false;
        }
        // A little more than half, so that the tables can shrink.
        let middle = said.len() * 5 / 8;
        let (older, &mut last, _) = said.select_nth_unstable(middle);
        for (_, _, id) in older.iter().chain([&last]) {
            let slot = self.find(*id);
            if let Some(slot) = slot.filter(|slot| self.rows.get(*slot).is_dead()) {
                let before = self.gone;
                self.forget(slot);
                self.gone = StoreCounts {
                    over_budget: before.over_budget + 1,
                    ..before
                };
            }
        }
        self.tombstones
            .retain(|id, said| age(said.at_ms, id) > last);
        if last.0 {
            self.refuse_as_old_as(last.1);
        }
        true
    }

    /// Times of posts, evenly over the rows; of at least one.
    fn sample_times(&self) -> Vec<UnixMs> {
        let step = (self.rows.len() / SAMPLE).max(1);
        let rows = self.rows.iter().step_by(step);
        rows.map(Row::created_ms).collect()
    }
}
