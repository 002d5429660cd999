//! Posts come, are deleted, and come back.

use super::budget::Place;
use super::rows::{self, NOWHERE, flag};
use super::timeline::{Entry, Timeline};
use super::tombstones::Liveness;
use super::types::{Inserted, Record, TIME_END_MS};
use super::{HALF_RANGE_MS, PostStore};
use crate::clock::UnixMs;
use crate::ids::Id;

/// Posts whose memory is fetched together.
pub const PREFETCHED: usize = 16;

impl PostStore {
    /// Adds a post. The first create of an id stands; a change is an edit, not a create.
    pub fn insert(&mut self, record: &Record) -> Inserted {
        if !(0..TIME_END_MS).contains(&record.created_ms) {
            return Inserted::BadTime;
        }
        if let Some(slot) = self.find(record.id) {
            if self.rows.get(slot).created_ms() >= self.floors.oldest_ms() {
                if self.record_of(self.rows.get(slot)) == *record {
                    return Inserted::Known;
                }
                self.gone.conflicts += 1;
                return Inserted::Conflict;
            }
            self.forget(slot);
        }
        let mut words = std::mem::take(&mut self.words);
        let meta = rows::pack(record, &mut words);
        let inserted = self.insert_new(record, meta, &words);
        self.words = words;
        inserted
    }

    /// Adds posts one after the other, with what became of each; faster than one call each.
    pub fn insert_all(&mut self, records: &[Record], outcomes: &mut Vec<Inserted>) {
        for group in records.chunks(PREFETCHED) {
            self.prefetch(group.iter().map(|record| (record.id, record.author)));
            outcomes.extend(group.iter().map(|record| self.insert(record)));
        }
    }

    /// Reads what adding these posts (with their authors) will read, of [`PREFETCHED`] at most. No
    /// load waits for another, so that their waits overlap.
    pub fn prefetch(&self, posts: impl Iterator<Item = (Id, Id)>) {
        let mut places = [NOWHERE; PREFETCHED];
        let mut seen = 0;
        for (place, (post, author)) in places.iter_mut().zip(posts) {
            seen ^= self.index.likely(self.index.hash(post));
            *place = self.authors.likely(author);
        }
        let last = |timeline: &Timeline| timeline.entries().last().map_or(0, |last| last.slot());
        for place in places.iter().filter(|place| **place != NOWHERE) {
            let author = self.authors.get(*place);
            seen ^= last(&author.originals) ^ last(&author.secondary);
        }
        std::hint::black_box(seen);
    }

    fn insert_new(&mut self, record: &Record, meta: u64, words: &[u64]) -> Inserted {
        let place = Place {
            id: record.id,
            author: record.author,
            created_ms: record.created_ms,
            is_secondary: record.is_secondary(),
            n_links: words.len(),
        };
        if !self.make_room(&place) {
            self.gone.over_budget += 1;
            return Inserted::OverBudget;
        }
        self.newest_ms = self.newest_ms.max(record.created_ms);
        let base_ms = *self
            .base_ms
            .get_or_insert(record.created_ms - HALF_RANGE_MS);
        let author = self.authors.find_or_add(record.author);
        if !self.make_way(author, record) {
            self.drop_author_without_posts(author);
            self.gone.over_cap += 1;
            return Inserted::OverCap;
        }
        let Some(slot) = self.rows.add(record.id, meta, author, words) else {
            self.drop_author_without_posts(author);
            self.gone.over_budget += 1;
            return Inserted::OverBudget;
        };
        let rows = &self.rows;
        self.index.insert(record.id, slot, |slot| rows.get(slot).id);
        if let Some(gone) = &mut self.gone_posts {
            gone.remove(&record.id); // It went as another post, and is back.
        }
        let entry = Entry::new(base_ms, record.created_ms, record.has_video(), slot);
        if self.tombstones.is_deleted(record.id) {
            self.bury(slot, entry);
            Inserted::AddedDeleted
        } else {
            self.list(slot, entry);
            Inserted::Added
        }
    }

    /// Puts a live post into its timeline.
    pub(super) fn list(&mut self, slot: u32, entry: Entry) {
        let row = *self.rows.get(slot);
        let author = self.authors.get_mut(row.author);
        author.newest = author.newest.max(entry.time());
        let timeline = author.timeline_mut(row.is_secondary());
        let before = timeline.bytes();
        timeline.insert(entry, &self.rows);
        self.timeline_bytes = self.timeline_bytes + timeline.bytes() - before;
    }

    /// Takes a post out of its timeline.
    pub(super) fn unlist(&mut self, slot: u32, entry: Entry) {
        let row = *self.rows.get(slot);
        let timeline = self
            .authors
            .get_mut(row.author)
            .timeline_mut(row.is_secondary());
        let before = timeline.bytes();
        timeline.remove(entry, &self.rows);
        self.timeline_bytes = self.timeline_bytes + timeline.bytes() - before;
    }

    /// Marks a post as dead and remembers it for its author's cap.
    pub(super) fn bury(&mut self, slot: u32, entry: Entry) {
        let row = self.rows.get_mut(slot);
        row.meta |= flag::DEAD;
        let key = (row.author, row.is_secondary());
        let dead = self.dead.entry(key).or_default();
        let rows = &self.rows;
        let at = dead.partition_point(|other| other.cmp(entry, rows).is_lt());
        dead.insert(at, entry);
        self.n_dead += 1;
    }

    pub(super) fn dig_up(&mut self, slot: u32) {
        let row = self.rows.get_mut(slot);
        row.meta &= !flag::DEAD;
        let key = (row.author, row.is_secondary());
        if let Some(dead) = self.dead.get_mut(&key) {
            dead.retain(|entry| entry.slot() != slot);
            if dead.is_empty() {
                self.dead.remove(&key);
            }
        }
        self.n_dead -= 1;
    }

    /// Deletes or undeletes a post, known or not; the later statement holds, and at the same
    /// millisecond the delete.
    pub fn set_deleted(&mut self, id: Id, at_ms: UnixMs, deleted: bool) {
        // Without room for the statement, the post is hidden by its age instead.
        if !self.make_room_for_tombstone(id, at_ms)
            || !self.tombstones.set(id, Liveness { at_ms, deleted })
        {
            return;
        }
        let Some(slot) = self.find(id) else {
            return;
        };
        let is_dead = self.rows.get(slot).is_dead();
        if is_dead == deleted {
            return;
        }
        let entry = self.entry_of(slot);
        if deleted {
            self.unlist(slot, entry);
            self.bury(slot, entry);
        } else {
            self.dig_up(slot);
            self.list(slot, entry);
        }
    }
}
