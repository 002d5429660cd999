//! Thunder: the posts of the last days, in memory, answering "the newest posts of these accounts".
//!
//! Records lie in slots; each author has two timelines (originals and quotes; replies and reposts)
//! that are always in time order, whatever the order of arrival. A read walks the ends of the
//! followed timelines, keeps at most so many per author, and cuts to the newest; the order is total
//! (created descending, id descending). A delete removes the post from its timeline at once and
//! leaves a tombstone, so that a create that comes late stays deleted.

mod timeline;

use hashbrown::{HashMap, HashSet};

use crate::clock::{UnixMs, before};
use crate::event::{PostKind, Related};
use crate::ids::Id;
use timeline::{Entry, Timelines};

/// What the store keeps of a post. Its text is kept by [`crate::world`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The post.
    pub id: Id,
    /// Who made it.
    pub author: Id,
    /// When.
    pub created_ms: UnixMs,
    /// Original, reply, repost or quote.
    pub kind: PostKind,
    /// Position in [`crate::event::MEDIA_KINDS`].
    pub media_kind: u8,
    /// 0 when unknown.
    pub media_duration_ms: u32,
    /// The post it answers.
    pub reply_to: Option<Related>,
    /// First post of its conversation.
    pub root: Option<Related>,
    /// The post it repeats.
    pub repost_of: Option<Related>,
    /// The post it quotes.
    pub quote_of: Option<Related>,
}

/// Limits of one in-network read; Python's config holds the defaults.
#[derive(Debug, Clone, Copy)]
pub struct ReadLimits {
    /// Most posts in the answer.
    pub max_results: usize,
    /// Most originals and quotes of one author.
    pub max_originals_per_author: usize,
    /// Most replies and reposts of one author.
    pub max_secondary_per_author: usize,
}

/// Whether a post was deleted, and when that was last said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Liveness {
    at_ms: UnixMs,
    deleted: bool,
}

/// A statement about a post's life, for the state hash: post, time, whether deleted.
pub(crate) type Tombstone = (Id, UnixMs, bool);

/// The store.
#[derive(Debug)]
pub struct PostStore {
    retention_ms: u64,
    records: HashMap<Id, Record>,
    liveness: HashMap<Id, Liveness>,
    timelines: HashMap<Id, Timelines>,
    /// Creates of a known id with another author or time; the first one stood.
    conflicts: u64,
}

impl PostStore {
    /// An empty store that keeps posts for `retention_ms`.
    pub fn new(retention_ms: u64) -> Self {
        Self {
            retention_ms,
            records: HashMap::new(),
            liveness: HashMap::new(),
            timelines: HashMap::new(),
            conflicts: 0,
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

    /// Creates of an id that was there with another author or another time.
    pub fn conflicts(&self) -> u64 {
        self.conflicts
    }

    /// Adds a post. The first create of an id stands; a change is an edit, not a create.
    /// Returns whether it was new.
    pub fn insert(&mut self, record: Record) -> bool {
        if let Some(known) = self.records.get(&record.id) {
            if known != &record {
                self.conflicts += 1;
            }
            return false;
        }
        let id = record.id;
        self.records.insert(id, record.clone());
        if !self.is_deleted(id) {
            self.list(&record);
        }
        true
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
            && let Some(record) = self.records.get(&id).cloned()
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
    pub fn get(&self, id: Id) -> Option<&Record> {
        self.records.get(&id).filter(|_| !self.is_deleted(id))
    }

    /// The record of a post, also of a deleted one.
    pub fn record(&self, id: Id) -> Option<&Record> {
        self.records.get(&id)
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
    pub fn live(&self) -> Vec<&Record> {
        let mut live: Vec<&Record> = self
            .records
            .values()
            .filter(|record| !self.is_deleted(record.id))
            .collect();
        live.sort_unstable_by_key(|record| record.id);
        live
    }

    /// The newest posts of `following`, newest first, not older than `oldest_ms`. Posts in `excluded`
    /// are left out and use up no limit.
    ///
    /// Replies and reposts follow the published rules: a repost of the viewer's own or of a dead
    /// post is left out, a reply is kept when it answers an original that is there, or, one level
    /// further down, when it answers a followed account below the root of its conversation.
    pub fn newest_of(
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
        let oldest_ms = before(now, self.retention_ms);
        let is_old = |record: &Record| record.created_ms < oldest_ms;
        let gone: Vec<Record> = self
            .records
            .values()
            .filter(|record| is_old(record))
            .cloned()
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

    /// Every record with whether it is deleted, and every tombstone without a record, by id.
    pub(crate) fn state(&self) -> (Vec<(&Record, bool)>, Vec<Tombstone>) {
        let mut records: Vec<(&Record, bool)> = self
            .records
            .values()
            .map(|record| (record, self.is_deleted(record.id)))
            .collect();
        records.sort_unstable_by_key(|(record, _)| record.id);
        let mut liveness: Vec<(Id, UnixMs, bool)> = self
            .liveness
            .iter()
            .map(|(id, said)| (*id, said.at_ms, said.deleted))
            .collect();
        liveness.sort_unstable();
        (records, liveness)
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

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
