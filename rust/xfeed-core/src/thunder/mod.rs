//! Thunder: the posts of the last days, in memory, answering "the newest posts of these accounts".
//!
//! Records lie in rows of 24 bytes (`rows`), the ids they point to in runs of words beside them
//! (`links`). Each author has two timelines, originals and quotes, replies and reposts (`timeline`),
//! that are always in time order, whatever the order of arrival. Ids lead to rows and authors through
//! a sharded hash table of four bytes per id (`index`). A read (`read`) walks the ends of the followed
//! timelines, keeps at most so many per author, and cuts to the newest; the order is total (created
//! descending, id descending). A delete removes the post from its timeline at once and leaves a
//! tombstone, so that a create that comes late stays deleted. What is too old, or too much for the
//! memory, disappears for readers at once and is cleared away in small steps (`forget`).
//!
//! What a reply answers and a repost repeats is looked up when it is read, never stored with it: so
//! nothing depends on which of the two came first, and deleting a post that was reposted a million
//! times touches one row.

mod authors;
mod best;
mod chunks;
pub mod columns;
mod decode;
mod encode;
mod forget;
mod index;
pub mod intake;
mod links;
mod places;
mod read;
mod rows;
mod rules;
mod saved;
mod timeline;
mod tombstones;
mod types;

pub use types::{
    Found, Inserted, ReadLimits, ReadRequest, Record, StoreCounts, StoreSettings, TIME_END_MS,
};

use hashbrown::HashMap;

use crate::clock::UnixMs;
use crate::digest::{Digest, Sum};
use crate::ids::Id;
use authors::Authors;
use forget::{Floors, Place};
use index::Index;
use rows::{NOWHERE, Row, Rows, flag};
use timeline::{Entry, Timeline};
use tombstones::{Liveness, Tombstones};

/// Half of the range of a timeline's times lies before the first post.
const HALF_RANGE_MS: UnixMs = 1 << 34;

/// What the entry of a dead post takes at most: a block of its own.
const DEAD_BYTES: u64 = 64;

/// Posts whose memory is fetched together.
const GROUP: usize = 16;

/// The store.
#[derive(Debug)]
pub struct PostStore {
    settings: StoreSettings,
    rows: Rows,
    index: Index,
    authors: Authors,
    tombstones: Tombstones,
    /// Deleted posts of an author's timeline, oldest first: they count for its cap.
    dead: HashMap<(u32, bool), Vec<Entry>>,
    /// What the times of the entries count from; set by the first post.
    base_ms: Option<UnixMs>,
    floors: Floors,
    /// The time of the newest post there ever was.
    newest_ms: UnixMs,
    /// Allocated by timelines.
    timeline_bytes: usize,
    n_dead: u64,
    /// Counts of what went.
    gone: StoreCounts,
    /// Posts that went, with their authors, where somebody asks for them.
    gone_posts: Option<HashMap<Id, Id>>,
    /// Words of the record that is being added; kept for its memory.
    words: Vec<u64>,
}

impl PostStore {
    /// An empty store.
    pub fn new(settings: StoreSettings) -> Self {
        Self {
            floors: Floors::new(),
            settings,
            rows: Rows::default(),
            index: Index::default(),
            authors: Authors::default(),
            tombstones: Tombstones::default(),
            dead: HashMap::new(),
            base_ms: None,
            newest_ms: UnixMs::MIN,
            timeline_bytes: 0,
            n_dead: 0,
            gone: StoreCounts::default(),
            gone_posts: None,
            words: Vec::new(),
        }
    }

    /// The settings it was made with.
    pub fn settings(&self) -> &StoreSettings {
        &self.settings
    }

    /// Makes it as new: posts, tombstones and counts are gone.
    pub fn clear(&mut self) {
        let remembers = self.gone_posts.is_some();
        *self = Self::new(self.settings.clone());
        self.gone_posts = remembers.then(HashMap::new);
    }

    /// How much there is, and what went. Posts that are too old count until they are cleared away.
    pub fn counts(&self) -> StoreCounts {
        StoreCounts {
            posts: self.rows.len() as u64 - self.n_dead,
            deleted: self.n_dead,
            tombstones: self.tombstones.len() as u64,
            authors: u64::from(self.authors.len()),
            ..self.gone
        }
    }

    /// Bytes that the store has allocated.
    pub fn used_bytes(&self) -> u64 {
        (self.rows.bytes()
            + self.index.bytes()
            + self.authors.bytes()
            + self.timeline_bytes
            + self.tombstones.bytes()
            + self.dead.allocation_size()) as u64
            + self.n_dead * DEAD_BYTES
    }

    fn find(&self, id: Id) -> Option<u32> {
        self.index.find(id, |slot| self.rows.get(slot).id)
    }

    /// Slot and row of a post that is there, dead or not.
    fn find_row(&self, id: Id) -> Option<(u32, &Row)> {
        let slot = self.find(id)?;
        let row = self.rows.get(slot);
        (row.created_ms() >= self.floors.oldest_ms()).then_some((slot, row))
    }

    fn record_of(&self, row: &Row) -> Record {
        let links = self.rows.unpack(row);
        Record {
            id: row.id,
            author: self.authors.get(row.author).id,
            created_ms: row.created_ms(),
            kind: row.kind(),
            media_kind: rows::media_kind(row.meta),
            media_duration_ms: links.duration_ms,
            reply_to: links.reply_to,
            root: links.root,
            repost_of: links.repost_of,
            quote_of: links.quote_of,
        }
    }

    fn entry(&self, created_ms: UnixMs, has_video: bool, slot: u32) -> Entry {
        Entry::new(self.base_ms.unwrap_or(0), created_ms, has_video, slot)
    }

    fn entry_of(&self, slot: u32) -> Entry {
        let row = self.rows.get(slot);
        self.entry(row.created_ms(), self.record_of(row).has_video(), slot)
    }

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

    /// Adds posts one after the other, with what became of each. Faster than one call each: the
    /// memory that a post needs is fetched while the one before is added.
    pub fn insert_all(&mut self, records: &[Record], outcomes: &mut Vec<Inserted>) {
        for group in records.chunks(GROUP) {
            std::hint::black_box(self.touch(group));
            outcomes.extend(group.iter().map(|record| self.insert(record)));
        }
    }

    /// Reads what adding these posts will read; no load waits for another.
    fn touch(&self, group: &[Record]) -> u64 {
        let mut places = [NOWHERE; GROUP];
        let mut seen = 0;
        for (place, record) in places.iter_mut().zip(group) {
            seen ^= self.index.likely(self.index.hash(record.id));
            *place = self.authors.likely(record.author);
        }
        let touched = places.iter().filter(|place| **place != NOWHERE);
        touched.fold(u64::from(seen), |seen, place| {
            let author = self.authors.get(*place);
            let last =
                |timeline: &Timeline| timeline.entries().last().map_or(0, |last| last.slot());
            seen ^ u64::from(last(&author.originals) ^ last(&author.secondary))
        })
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
    fn list(&mut self, slot: u32, entry: Entry) {
        let row = *self.rows.get(slot);
        let timeline = self
            .authors
            .get_mut(row.author)
            .timeline_mut(row.is_secondary());
        let before = timeline.bytes();
        timeline.insert(entry, &self.rows);
        self.timeline_bytes = self.timeline_bytes + timeline.bytes() - before;
    }

    /// Takes a post out of its timeline.
    fn unlist(&mut self, slot: u32, entry: Entry) {
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
    fn bury(&mut self, slot: u32, entry: Entry) {
        let row = self.rows.get_mut(slot);
        row.meta |= flag::DEAD;
        let key = (row.author, row.is_secondary());
        let dead = self.dead.entry(key).or_default();
        let rows = &self.rows;
        let at = dead.partition_point(|other| other.cmp(entry, rows).is_lt());
        dead.insert(at, entry);
        self.n_dead += 1;
    }

    fn dig_up(&mut self, slot: u32) {
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

    /// The record of a post that is there and not deleted.
    pub fn get(&self, id: Id) -> Option<Record> {
        let (_, row) = self.find_row(id)?;
        (!row.is_dead()).then(|| self.record_of(row))
    }

    /// The record of a post, also of a deleted one.
    pub fn record(&self, id: Id) -> Option<Record> {
        self.find_row(id).map(|(_, row)| self.record_of(row))
    }

    /// Whether the store knows that the post was deleted.
    pub fn was_deleted(&self, id: Id) -> bool {
        self.tombstones.is_deleted(id)
    }

    /// The author of a post, also of a deleted one.
    pub fn author_of(&self, id: Id) -> Option<Id> {
        let (_, row) = self.find_row(id)?;
        Some(self.authors.get(row.author).id)
    }

    /// Rows of posts that are there, dead or not, in no order.
    fn present(&self) -> impl Iterator<Item = &Row> {
        let oldest_ms = self.floors.oldest_ms();
        self.rows
            .iter()
            .filter(move |row| row.created_ms() >= oldest_ms)
    }

    /// Every live record, in order of id.
    pub fn live(&self) -> Vec<Record> {
        let live = self.present().filter(|row| !row.is_dead());
        let mut live: Vec<Record> = live.map(|row| self.record_of(row)).collect();
        live.sort_unstable_by_key(|record| record.id);
        live
    }

    /// Hash of the state, in hexadecimal: equal states have equal hashes, whatever the order in
    /// which they came about. Compare after a [`Self::trim`] to the same time.
    pub fn digest(&self) -> String {
        let mut digest = Digest::new();
        self.digest_into(&mut digest);
        digest.hex()
    }

    pub(crate) fn digest_into(&self, digest: &mut Digest) {
        let mut posts = Sum::default();
        let mut words = Vec::new();
        for row in self.present() {
            self.record_of(row).words(row.is_dead(), &mut words);
            posts.add(&words);
        }
        let mut tombstones = Sum::default();
        for (id, said) in self.tombstones.iter() {
            tombstones.add(&[id.0, said.at_ms.cast_unsigned(), u64::from(said.deleted)]);
        }
        digest.part("posts");
        digest.sum(&posts);
        digest.part("tombstones");
        digest.sum(&tombstones);
    }
}
