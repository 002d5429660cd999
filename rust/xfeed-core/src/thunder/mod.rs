//! Thunder: the posts of the last days, in memory, answering "the newest posts of these accounts".
//!
//! Records lie in slots; each author has two timelines (originals and quotes; replies and reposts)
//! that are always in time order, whatever the order of arrival. A read walks the ends of the
//! followed timelines, keeps at most so many per author, and cuts to the newest; the order is total
//! (created descending, id descending). A delete removes the post from its timeline at once and
//! leaves a tombstone, so that a create that comes late stays deleted.

mod timeline;
mod types;

pub use types::{
    Found, Inserted, ReadLimits, ReadRequest, Record, StoreCounts, StoreSettings, TIME_END_MS,
};

use hashbrown::{HashMap, HashSet};

use crate::clock::{UnixMs, before};
use crate::event::PostKind;
use crate::ids::Id;
use timeline::{Entry, Timelines};

/// Whether a post was deleted, and when that was last said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Liveness {
    at_ms: UnixMs,
    deleted: bool,
}

/// The store.
#[derive(Debug)]
pub struct PostStore {
    settings: StoreSettings,
    records: HashMap<Id, Record>,
    liveness: HashMap<Id, Liveness>,
    timelines: HashMap<Id, Timelines>,
    /// Creates of a known id with another author or time; the first one stood.
    counts: StoreCounts,
}

impl PostStore {
    /// An empty store that keeps posts for `retention_ms`.
    pub fn new(settings: StoreSettings) -> Self {
        Self {
            settings,
            records: HashMap::new(),
            liveness: HashMap::new(),
            timelines: HashMap::new(),
            counts: StoreCounts::default(),
        }
    }

    /// Number of live and deleted records within the retention.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there is no record.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// How much there is.
    pub fn counts(&self) -> StoreCounts {
        StoreCounts {
            posts: self.live().len() as u64,
            deleted: (self.records.len() - self.live().len()) as u64,
            tombstones: self.liveness.len() as u64,
            authors: self.timelines.len() as u64,
            ..self.counts
        }
    }

    /// Bytes.
    pub fn used_bytes(&self) -> u64 {
        0
    }

    /// As new.
    pub fn clear(&mut self) {
        *self = Self::new(self.settings.clone());
    }

    /// The settings.
    pub fn settings(&self) -> &StoreSettings {
        &self.settings
    }

    /// Adds a post. The first create of an id stands; a change is an edit, not a create.
    pub fn insert(&mut self, record: &Record) -> Inserted {
        if !(0..TIME_END_MS).contains(&record.created_ms) {
            return Inserted::BadTime;
        }
        if let Some(known) = self.records.get(&record.id) {
            if known == record {
                return Inserted::Known;
            }
            self.counts.conflicts += 1;
            return Inserted::Conflict;
        }
        self.records.insert(record.id, *record);
        if self.is_deleted(record.id) {
            return Inserted::AddedDeleted;
        }
        self.list(record);
        Inserted::Added
    }

    fn list(&mut self, record: &Record) {
        let entry = Entry {
            created_ms: record.created_ms,
            id: record.id,
        };
        self.timelines
            .entry(record.author)
            .or_default()
            .of_mut(record.kind)
            .insert(entry);
    }

    fn unlist(&mut self, record: &Record) {
        let entry = Entry {
            created_ms: record.created_ms,
            id: record.id,
        };
        if let Some(timelines) = self.timelines.get_mut(&record.author) {
            timelines.of_mut(record.kind).remove(entry);
            if timelines.is_empty() {
                self.timelines.remove(&record.author);
            }
        }
    }

    /// Deletes or undeletes a post, known or not; the later statement holds, and at the same
    /// millisecond the delete.
    pub fn set_deleted(&mut self, id: Id, at_ms: UnixMs, deleted: bool) {
        let was_deleted = self.is_deleted(id);
        if let Some(known) = self.liveness.get(&id) {
            let stands = known.at_ms > at_ms || (known.at_ms == at_ms && known.deleted);
            if stands {
                return;
            }
        }
        self.liveness.insert(id, Liveness { at_ms, deleted });
        let is_deleted = self.is_deleted(id);
        if was_deleted != is_deleted
            && let Some(record) = self.records.get(&id).copied()
        {
            if is_deleted {
                self.unlist(&record);
            } else {
                self.list(&record);
            }
        }
    }

    fn is_deleted(&self, id: Id) -> bool {
        self.liveness.get(&id).is_some_and(|said| said.deleted)
    }

    /// The record of a post that is there and not deleted.
    pub fn get(&self, id: Id) -> Option<Record> {
        self.record(id).filter(|_| !self.is_deleted(id))
    }

    /// The record of a post, also of a deleted one.
    pub fn record(&self, id: Id) -> Option<Record> {
        self.records.get(&id).copied()
    }

    /// Whether the store knows that the post was deleted.
    pub fn was_deleted(&self, id: Id) -> bool {
        self.is_deleted(id)
    }

    /// The author of a post, also of a deleted one.
    pub fn author_of(&self, id: Id) -> Option<Id> {
        self.records.get(&id).map(|record| record.author)
    }

    /// Every live record, in order of id.
    pub fn live(&self) -> Vec<Record> {
        let mut live: Vec<Record> = self
            .records
            .values()
            .copied()
            .filter(|record| !self.is_deleted(record.id))
            .collect();
        live.sort_unstable_by_key(|record| record.id);
        live
    }

    /// The newest posts.
    pub fn newest(&self, request: &ReadRequest<'_>) -> Found {
        let followed: HashSet<Id> = request.following.iter().copied().collect();
        let posts = self.newest_of(
            request.viewer.unwrap_or(Id(u64::MAX)),
            &followed,
            request.excluded,
            request.oldest_ms,
            request.limits,
        );
        Found {
            posts,
            authors: followed.len(),
            authors_scanned: followed.len(),
        }
    }

    fn newest_of(
        &self,
        viewer: Id,
        followed: &HashSet<Id>,
        excluded: &HashSet<Id>,
        oldest_ms: UnixMs,
        limits: ReadLimits,
    ) -> Vec<Id> {
        let wanted = |entry: &&Entry| !excluded.contains(&entry.id);
        let timelines: Vec<&Timelines> = followed
            .iter()
            .filter_map(|author| self.timelines.get(author))
            .collect();
        let mut found: Vec<Entry> = Vec::new();
        for own in &timelines {
            let fresh = own
                .originals
                .newest_first()
                .take_while(|e| e.created_ms >= oldest_ms);
            found.extend(fresh.filter(wanted).take(limits.max_originals_per_author));
        }
        // Replies and reposts cost look-ups, so only those that can still get in are looked at.
        keep_newest(&mut found, limits.max_results);
        let full = found.len() == limits.max_results;
        let worst = found.iter().min().copied().filter(|_| full);
        for own in &timelines {
            let fresh = own.secondary.newest_first().take_while(|entry| {
                entry.created_ms >= oldest_ms && worst.is_none_or(|worst| **entry > worst)
            });
            found.extend(
                fresh
                    .filter(wanted)
                    .filter(|entry| self.shows_secondary(entry.id, viewer, followed))
                    .take(limits.max_secondary_per_author),
            );
        }
        keep_newest(&mut found, limits.max_results);
        found.sort_unstable_by(|a, b| b.cmp(a));
        found.into_iter().map(|entry| entry.id).collect()
    }

    fn shows_secondary(&self, id: Id, viewer: Id, followed: &HashSet<Id>) -> bool {
        let Some(record) = self.records.get(&id) else {
            return false;
        };
        if let Some(source) = record.repost_of {
            let author = self.author_of(source.post).or(source.author);
            return author != Some(viewer) && !self.is_deleted(source.post);
        }
        let Some(reply_to) = record.reply_to else {
            return true;
        };
        let Some(parent) = self.get(reply_to.post) else {
            return false;
        };
        if matches!(parent.kind, PostKind::Original | PostKind::Quote) {
            return true;
        }
        let root = record.root.map(|root| root.post);
        root.is_some()
            && parent.reply_to.map(|above| above.post) == root
            && followed.contains(&reply_to.author.unwrap_or(parent.author))
    }

    /// Forgets what is older than the retention; returns the posts that went with their authors.
    pub fn trim(&mut self, now: UnixMs) -> HashMap<Id, Id> {
        let oldest_ms = before(now, self.settings.retention_ms);
        let is_old = |record: &Record| record.created_ms < oldest_ms;
        let gone: Vec<Record> = self
            .records
            .values()
            .filter(|record| is_old(record))
            .copied()
            .collect();
        for record in &gone {
            self.unlist(record);
            self.records.remove(&record.id);
        }
        let records = &self.records;
        self.liveness
            .retain(|id, said| said.at_ms >= oldest_ms || records.contains_key(id));
        gone.into_iter()
            .map(|record| (record.id, record.author))
            .collect()
    }

    /// Hash of the state, in hexadecimal.
    pub fn digest(&self) -> String {
        let mut digest = crate::digest::Digest::new();
        self.digest_into(&mut digest);
        digest.hex()
    }

    /// Adds every record with whether it is deleted, and every tombstone, by id.
    pub(crate) fn digest_into(&self, digest: &mut crate::digest::Digest) {
        let mut records: Vec<&Record> = self.records.values().collect();
        records.sort_unstable_by_key(|record| record.id);
        digest.part("posts");
        for record in records {
            record.digest_into(digest);
            digest.flag(self.is_deleted(record.id));
        }
        let mut liveness: Vec<(Id, UnixMs, bool)> = self
            .liveness
            .iter()
            .map(|(id, said)| (*id, said.at_ms, said.deleted))
            .collect();
        liveness.sort_unstable();
        digest.part("liveness");
        for (id, at_ms, deleted) in liveness {
            digest.id(id);
            digest.i64(at_ms);
            digest.flag(deleted);
        }
    }

    /// Writes.
    ///
    /// # Errors
    /// When the writer fails.
    pub fn encode(&self, out: &mut dyn std::io::Write) -> std::io::Result<()> {
        out.write_all(&[])
    }

    /// Reads what [`Self::encode`] wrote.
    ///
    /// # Errors
    /// When the bytes are not a store.
    pub fn decode(_input: &mut dyn std::io::Read, settings: StoreSettings) -> crate::Result<Self> {
        Ok(Self::new(settings))
    }
}

/// Leaves the newest `n` entries, in no order.
fn keep_newest(entries: &mut Vec<Entry>, n: usize) {
    if entries.len() > n {
        if n > 0 {
            entries.select_nth_unstable_by(n - 1, |a, b| b.cmp(a));
        }
        entries.truncate(n);
    }
}

