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
#![doc = include_str!("consistency.md")]

mod authors;
mod best;
mod budget;
mod chunks;
pub mod columns;
mod decode;
mod encode;
mod forget;
mod index;
mod insert;
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

pub use insert::PREFETCHED;
pub use types::{
    Found, Inserted, ReadLimits, ReadRequest, Record, StoreCounts, StoreSettings, TIME_END_MS,
};

use std::ops::Range;

use hashbrown::HashMap;

use crate::clock::UnixMs;
use crate::digest::{Digest, Sum};
use crate::ids::Id;
use crate::workers::Workers;
use authors::Authors;
use forget::Floors;
use index::Index;
use rows::{Row, Rows};
use timeline::Entry;
use tombstones::Tombstones;

/// Half of the range of a timeline's times lies before the first post.
const HALF_RANGE_MS: UnixMs = 1 << 34;

/// What the entry of a dead post takes at most: a block of its own.
const DEAD_BYTES: u64 = 64;

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

    /// Hash of the posts in some of the slots.
    fn sum(&self, slots: Range<u32>) -> Sum {
        let oldest_ms = self.floors.oldest_ms();
        let mut sum = Sum::default();
        let mut words = Vec::new();
        for slot in slots {
            let row = self.rows.get(slot);
            if !row.is_free() && row.created_ms() >= oldest_ms {
                self.record_of(row).words(row.is_dead(), &mut words);
                sum.add(&words);
            }
        }
        sum
    }

    pub(crate) fn digest_into(&self, digest: &mut Digest) {
        let n = self.rows.slots();
        let (mut posts, mut rest) = (Sum::default(), Sum::default());
        let halves = vec![(&mut posts, 0..n / 2), (&mut rest, n / 2..n)];
        Workers::of_machine().each(halves, |(sum, slots)| *sum = self.sum(slots));
        posts.merge(&rest);
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
