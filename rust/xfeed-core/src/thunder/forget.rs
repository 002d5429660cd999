//! What goes: posts that are too old, too many of one author, or too much for the memory.
//!
//! Two floors, the retention's and the memory's, hide everything older at once. [`PostStore::sweep`]
//! clears it away, some authors at a time, so that readers never wait long.

use std::ops::Range;

use hashbrown::HashMap;

use super::timeline::{Entry, Moment};
use super::types::{Record, TIME_END_MS};
use super::{HALF_RANGE_MS, PostStore};
use crate::clock::{UnixMs, before};
use crate::ids::Id;

/// The base of the timelines' times moves on when the retention ends so long after it.
const REBASE_AFTER_MS: UnixMs = 3 * (HALF_RANGE_MS / 2);

/// From when on posts are there.
#[derive(Debug)]
pub(super) struct Floors {
    retention_ms: UnixMs,
    pub(super) memory_ms: UnixMs,
    /// Posts made before this are not taken any more, because their deletes may be forgotten.
    pub(super) refused_ms: UnixMs,
    /// Places of authors still to be swept before nothing older than the floors is left. Authors that
    /// come on the way come with younger posts.
    pub(super) unswept: Range<u32>,
}

impl Floors {
    pub(super) fn new() -> Self {
        Self {
            retention_ms: UnixMs::MIN,
            memory_ms: UnixMs::MIN,
            refused_ms: UnixMs::MIN,
            unswept: 0..0,
        }
    }

    /// Posts made before this are gone.
    pub(super) fn oldest_ms(&self) -> UnixMs {
        self.retention_ms.max(self.memory_ms)
    }

    /// All floors, to be written down.
    pub(super) fn all(&self) -> [UnixMs; 3] {
        [self.retention_ms, self.memory_ms, self.refused_ms]
    }

    pub(super) fn restore(&mut self, [retention_ms, memory_ms]: [UnixMs; 2]) {
        self.retention_ms = retention_ms;
        self.memory_ms = memory_ms;
    }
}

impl PostStore {
    /// Forgets what is older than the retention, seen from `now`, and deletes said before that about
    /// posts that are gone. Returns the posts that went with their authors; after
    /// [`Self::remember_gone`] also those that went for other reasons since the last time.
    pub fn trim(&mut self, now: UnixMs) -> HashMap<Id, Id> {
        let remembers = self.gone_posts.is_some();
        self.remember_gone();
        self.hide_before(now);
        while self.sweep(u32::MAX) {}
        self.end_trim();
        let gone = self.gone_posts.take().unwrap_or_default();
        if remembers {
            self.remember_gone();
        }
        gone
    }

    /// From now on, [`Self::trim`] tells also which posts went between two trims.
    pub fn remember_gone(&mut self) {
        self.gone_posts.get_or_insert_default();
    }

    /// Hides what is older than the retention, seen from `now`; [`Self::sweep`] clears it away.
    pub fn hide_before(&mut self, now: UnixMs) {
        let oldest_ms = before(now, self.settings.retention_ms);
        self.floors.retention_ms = self.floors.retention_ms.max(oldest_ms);
        // Also where the floor has not moved: old posts may have come late.
        self.floors.unswept = 0..self.authors.places();
    }

    /// Posts made before this are hidden by their age.
    pub fn hidden_before(&self) -> UnixMs {
        self.floors.retention_ms
    }

    /// What is left of a trim when everything is swept: deletes of posts that are gone.
    pub fn end_trim(&mut self) {
        self.rebase_when_due();
        self.retain_tombstones(self.floors.retention_ms);
    }

    /// Clears away what is hidden, in the timelines of at most `n_authors`; returns whether there may
    /// be more.
    pub fn sweep(&mut self, n_authors: u32) -> bool {
        let Range { start, end } = self.floors.unswept;
        let stop = start.saturating_add(n_authors).min(end);
        for place in start..stop {
            self.sweep_author(place);
        }
        self.floors.unswept = stop..end;
        !self.floors.unswept.is_empty()
    }

    fn sweep_author(&mut self, author: u32) {
        let moment = Moment::new(self.base_ms.unwrap_or(0), self.floors.oldest_ms());
        for is_secondary in [false, true] {
            let is_old = |entry: &Entry| entry.cmp_time(moment, &self.rows).is_lt();
            let timeline = self.authors.get(author).timeline(is_secondary);
            let n_old = timeline.entries().partition_point(is_old);
            if n_old > 0 {
                for i in 0..n_old {
                    let timeline = self.authors.get(author).timeline(is_secondary);
                    self.drop_row(timeline.entries()[i].slot());
                }
                self.drop_first(author, is_secondary, n_old);
            }
            if self.n_dead > 0
                && let Some(dead) = self.dead.get_mut(&(author, is_secondary))
            {
                let rows = &self.rows;
                let n_old = dead.partition_point(|entry| entry.cmp_time(moment, rows).is_lt());
                let old: Vec<Entry> = dead.drain(..n_old).collect();
                if dead.is_empty() {
                    self.dead.remove(&(author, is_secondary));
                }
                self.n_dead -= old.len() as u64;
                for entry in old {
                    self.drop_row(entry.slot());
                }
            }
        }
        self.drop_author_without_posts(author);
    }

    fn drop_first(&mut self, author: u32, is_secondary: bool, n: usize) {
        let timeline = self.authors.get_mut(author).timeline_mut(is_secondary);
        let before = timeline.bytes();
        timeline.remove_first(n);
        self.timeline_bytes = self.timeline_bytes + timeline.bytes() - before;
    }

    /// Gives a row back whose entry is gone or about to go, and says why.
    fn drop_row(&mut self, slot: u32) {
        let row = *self.rows.get(slot);
        let created_ms = row.created_ms();
        if created_ms < self.floors.retention_ms {
            self.gone.trimmed += 1;
        } else if created_ms < self.floors.memory_ms {
            self.gone.over_budget += 1;
        } else {
            self.gone.over_cap += 1;
        }
        if let Some(gone) = &mut self.gone_posts {
            gone.insert(row.id, self.authors.get(row.author).id);
        }
        let rows = &self.rows;
        self.index.remove(row.id, |slot| rows.get(slot).id);
        self.rows.remove(slot);
    }

    pub(super) fn drop_author_without_posts(&mut self, place: u32) {
        let author = self.authors.get(place);
        if author.originals.is_empty()
            && author.secondary.is_empty()
            && self.authors.is_used(place)
            && ![false, true]
                .iter()
                .any(|list| self.dead.contains_key(&(place, *list)))
        {
            self.authors.remove(place);
        }
    }

    /// Forgets one post at once.
    pub(super) fn forget(&mut self, slot: u32) {
        let row = *self.rows.get(slot);
        if row.is_dead() {
            self.dig_up(slot);
        } else {
            let entry = self.entry_of(slot);
            self.unlist(slot, entry);
        }
        self.drop_row(slot);
        self.drop_author_without_posts(row.author);
    }

    /// Makes way in a full timeline by forgetting its oldest post; `false` when the new one is older.
    ///
    /// Dead posts count, so that it does not matter whether a delete came before or after.
    pub(super) fn make_way(&mut self, author: u32, record: &Record) -> bool {
        let is_secondary = record.is_secondary();
        let live = self.authors.get(author).timeline(is_secondary).entries();
        let dead = self.dead.get(&(author, is_secondary));
        let n = live.len() + dead.map_or(0, Vec::len);
        if n < self.settings.max_posts_per_timeline {
            return true;
        }
        let oldest = [live.first(), dead.and_then(|dead| dead.first())]
            .into_iter()
            .flatten()
            .min_by(|a, b| a.cmp(**b, &self.rows));
        let Some(oldest) = oldest else {
            return false; // The limit is 0.
        };
        let slot = oldest.slot();
        let row = self.rows.get(slot);
        if (record.created_ms, record.id) < (row.created_ms(), row.id) {
            return false;
        }
        if row.is_dead() {
            self.dig_up(slot);
        } else if oldest == &live[0] {
            self.drop_first(author, is_secondary, 1);
        }
        self.drop_row(slot);
        true
    }

    /// Forgets statements older than this about posts that are not there.
    pub(super) fn retain_tombstones(&mut self, oldest_ms: UnixMs) {
        let (index, rows) = (&self.index, &self.rows);
        self.tombstones.retain(|id, said| {
            said.at_ms >= oldest_ms || index.find(id, |slot| rows.get(slot).id).is_some()
        });
    }

    /// Moves the base of the timelines' times on, long before it matters, so that rows need not be
    /// asked.
    fn rebase_when_due(&mut self) {
        let Some(base_ms) = self.base_ms else {
            return;
        };
        let oldest_ms = self.floors.retention_ms;
        if oldest_ms.saturating_sub(base_ms) < REBASE_AFTER_MS {
            return;
        }
        let base_ms = oldest_ms.min(TIME_END_MS) - HALF_RANGE_MS;
        self.base_ms = Some(base_ms);
        let rows = &self.rows;
        let write = |entry: Entry| {
            let created_ms = rows.get(entry.slot()).created_ms();
            Entry::new(base_ms, created_ms, entry.has_video(), entry.slot())
        };
        for place in 0..self.authors.places() {
            let author = self.authors.get_mut(place);
            author.originals.rewrite(write);
            author.secondary.rewrite(write);
            author.find_newest();
        }
        for entry in self.dead.values_mut().flatten() {
            *entry = write(*entry);
        }
    }
}
