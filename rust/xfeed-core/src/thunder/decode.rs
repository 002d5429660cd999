//! The store from bytes; see `encode`. Every number is checked, and no count is believed before what
//! it counts is there.

use std::io::Read;

use super::encode::{GROUP, HEAD, MAX_FRAME};
use super::rows::{self, flag};
use super::timeline::Entry;
use super::tombstones::Liveness;
use super::types::{self, Inserted, Record, StoreCounts, StoreSettings};
use super::{PREFETCHED, PostStore, TIME_END_MS};
use crate::clock::UnixMs;
use crate::error::{Error, Result};
use crate::event::MEDIA_KINDS;
use crate::ids::Id;
use crate::snapshot::Decoder;

/// Most words that follow a row.
const MAX_LINKS: usize = 9;

/// More of anything has never gone.
const MAX_COUNT: u64 = 1 << 62;

/// Rows to be read before the count in the head is believed at all.
const PROOF: u64 = 1 << 14;

/// So many times what was read is believed.
const TRUST: u64 = 16;

impl PostStore {
    /// Reads what [`Self::encode`] wrote. Where less memory is allowed than it was written under, the
    /// oldest posts go.
    ///
    /// # Errors
    /// When the bytes end early or contradict themselves.
    pub fn decode(input: &mut dyn Read, settings: StoreSettings) -> Result<Self> {
        let mut head = [0; 8 * HEAD];
        read(input, &mut head)?;
        let head: Vec<u64> = head.chunks_exact(8).map(word).collect();
        let mut loader = Loader {
            takes_all: settings.max_bytes >= head[11],
            store: Self::new(settings),
        };
        loader.head(&head)?;
        loader.frames(input, head[8])?;
        loader.tombstones(input, head[9])?;
        for _ in 0..head[10] {
            let mut pair = [0; 16];
            read(input, &mut pair)?;
            let gone = loader.store.gone_posts.get_or_insert_default();
            gone.insert(Id(word(&pair[..8])), Id(word(&pair[8..])));
        }
        // Only now: what is refused from outside is there all the same.
        let refused_ms = head[12].cast_signed();
        let floors = &mut loader.store.floors;
        floors.refused_ms = floors.refused_ms.max(refused_ms);
        Ok(loader.store)
    }
}

struct Loader {
    store: PostStore,
    /// Whether the memory allows what was allowed when it was written; else posts are added one by
    /// one, under the limit.
    takes_all: bool,
}

impl Loader {
    fn head(&mut self, head: &[u64]) -> Result<()> {
        let base_ms = head[0].cast_signed();
        if head[1] > 1 || !(-TIME_END_MS..TIME_END_MS).contains(&base_ms) {
            let message = format!("the time base {base_ms} is impossible");
            return Err(Decoder::wrong(message));
        }
        if head[4..8].iter().any(|count| *count > MAX_COUNT) {
            return Err(Decoder::wrong("a count in the head is impossible"));
        }
        self.store.base_ms = (head[1] == 1).then_some(base_ms);
        let floors = [head[2].cast_signed(), head[3].cast_signed()];
        self.store.floors.restore(floors);
        self.store.gone = StoreCounts {
            conflicts: head[4],
            over_cap: head[5],
            over_budget: head[6],
            trimmed: head[7],
            ..StoreCounts::default()
        };
        Ok(())
    }

    fn frames(&mut self, input: &mut dyn Read, n_posts: u64) -> Result<()> {
        let mut frame = Vec::new();
        let mut n_read = 0;
        let mut believed = PROOF;
        loop {
            let mut len = [0; 8];
            read(input, &mut len)?;
            let len = usize::try_from(word(&len)).unwrap_or(usize::MAX);
            if len == 0 {
                return check("posts", n_posts, n_read);
            }
            if len > MAX_FRAME {
                let message = format!("a frame of {len} bytes is too long");
                return Err(Decoder::wrong(message));
            }
            frame.resize(len, 0);
            read(input, &mut frame)?;
            n_read += self.frame(&frame)?;
            if self.takes_all && n_read >= believed && n_read < n_posts {
                believed = n_posts.min(n_read.saturating_mul(TRUST));
                let rows = &self.store.rows;
                let n = usize::try_from(believed).unwrap_or(usize::MAX);
                self.store.index.reserve(n, |slot| rows.get(slot).id);
            }
        }
    }

    /// Reads the groups of a frame; returns of how many posts.
    fn frame(&mut self, frame: &[u8]) -> Result<u64> {
        let mut n_read = 0;
        let mut words = frame.chunks_exact(8).map(word);
        if !frame.len().is_multiple_of(8) {
            return Err(Decoder::wrong("a frame ends in the middle of a number"));
        }
        let mut group = Vec::new();
        while let Some(author) = words.next() {
            let n = words.next().unwrap_or(0);
            if n == 0 || n > GROUP as u64 {
                let message = format!("a group of {n} posts is impossible");
                return Err(Decoder::wrong(message));
            }
            group.clear();
            for _ in 0..n {
                group.push(Saved::read(&mut words)?);
            }
            if self.takes_all {
                self.load(Id(author), &group)?;
            } else {
                self.insert(Id(author), &group)?;
            }
            n_read += n;
        }
        Ok(n_read)
    }

    /// Takes a group as it is.
    fn load(&mut self, author: Id, group: &[Saved]) -> Result<()> {
        let (is_secondary, is_dead) = (group[0].is_secondary(), group[0].is_dead());
        let base_ms = self.store.base_ms.unwrap_or(0);
        let place = self.store.authors.find_or_add(author);
        let mut entries = Vec::with_capacity(group.len());
        for saved in group {
            if (saved.is_secondary(), saved.is_dead()) != (is_secondary, is_dead) {
                return Err(saved.wrong("is in a group of another kind"));
            }
            let slot = self
                .store
                .rows
                .add(saved.id, saved.meta, place, saved.links());
            let slot = slot.ok_or_else(|| saved.wrong("is one too many"))?;
            let video = saved.has_video();
            entries.push(Entry::new(base_ms, saved.created_ms(), video, slot));
            self.store.newest_ms = self.store.newest_ms.max(saved.created_ms());
        }
        let rows = &self.store.rows;
        let id_at = |slot| rows.get(slot).id;
        for (saved, entries) in group.chunks(PREFETCHED).zip(entries.chunks(PREFETCHED)) {
            let index = &mut self.store.index;
            let touched = saved.iter().map(|saved| index.likely(index.hash(saved.id)));
            std::hint::black_box(touched.fold(0, |seen, place| seen ^ place));
            for (saved, entry) in saved.iter().zip(entries) {
                if !index.insert_new(saved.id, entry.slot(), id_at) {
                    return Err(saved.wrong("is there twice"));
                }
            }
        }
        let key = (place, is_secondary);
        let known = if is_dead {
            self.store.dead.get(&key).map_or(&[][..], Vec::as_slice)
        } else {
            self.store
                .authors
                .get(place)
                .timeline(is_secondary)
                .entries()
        };
        let before = known.last().into_iter().chain(&entries);
        if !before.is_sorted_by(|a, b| a.cmp(**b, rows).is_lt()) {
            return Err(group[0].wrong("begins a group that is out of order"));
        }
        if is_dead {
            self.store.n_dead += entries.len() as u64;
            self.store.dead.entry(key).or_default().extend(entries);
        } else {
            let author = self.store.authors.get_mut(place);
            let timeline = author.timeline_mut(is_secondary);
            let before = timeline.bytes();
            timeline.extend(&entries);
            self.store.timeline_bytes = self.store.timeline_bytes + timeline.bytes() - before;
            author.find_newest();
        }
        Ok(())
    }

    /// Adds a group post by post, so that the memory limit holds on the way.
    fn insert(&mut self, author: Id, group: &[Saved]) -> Result<()> {
        for saved in group {
            let links = rows::unpack(saved.meta, saved.links());
            let inserted = self.store.insert(&Record {
                id: saved.id,
                author,
                created_ms: saved.created_ms(),
                kind: rows::kind(saved.meta),
                media_kind: rows::media_kind(saved.meta),
                media_duration_ms: links.duration_ms,
                reply_to: links.reply_to,
                root: links.root,
                repost_of: links.repost_of,
                quote_of: links.quote_of,
            });
            if matches!(inserted, Inserted::Known | Inserted::Conflict) {
                return Err(saved.wrong("is there twice"));
            }
        }
        Ok(())
    }

    fn tombstones(&mut self, input: &mut dyn Read, n: u64) -> Result<()> {
        let mut dead = 0;
        let mut bytes = vec![0; 17 * 4096];
        let mut left = n;
        while left > 0 {
            let now = left.min(4096);
            let bytes = &mut bytes[..17 * now as usize];
            read(input, bytes)?;
            for said in bytes.chunks_exact(17) {
                dead += self.tombstone(said)?;
            }
            left -= now;
        }
        if self.takes_all {
            check("deleted posts", self.store.n_dead, dead)?;
        }
        Ok(())
    }

    /// Reads one statement; returns how many posts it keeps deleted.
    fn tombstone(&mut self, bytes: &[u8]) -> Result<u64> {
        let id = Id(word(&bytes[..8]));
        let wrong = |what: &str| Decoder::wrong(format!("post {} {what}", id.0));
        if bytes[16] > 1 || self.store.tombstones.get(id).is_some() {
            return Err(wrong("has a damaged tombstone"));
        }
        let said = Liveness {
            at_ms: word(&bytes[8..16]).cast_signed(),
            deleted: bytes[16] == 1,
        };
        if !self.takes_all {
            self.store.set_deleted(id, said.at_ms, said.deleted);
            return Ok(0);
        }
        self.store.tombstones.set(id, said);
        let slot = self.store.find(id).filter(|_| said.deleted);
        match slot.map(|slot| self.store.rows.get(slot).is_dead()) {
            None => Ok(0),
            Some(true) => Ok(1),
            Some(false) => Err(wrong("is deleted and alive")),
        }
    }
}

/// A post as it was written.
struct Saved {
    id: Id,
    meta: u64,
    links: [u64; MAX_LINKS],
}

impl Saved {
    fn read(words: &mut impl Iterator<Item = u64>) -> Result<Self> {
        let (Some(id), Some(meta)) = (words.next(), words.next()) else {
            return Err(Decoder::wrong("a frame ends in the middle of a post"));
        };
        let mut saved = Self {
            id: Id(id),
            meta,
            links: [0; MAX_LINKS],
        };
        for at in 0..rows::n_links(meta) {
            let word = words.next();
            saved.links[at] = word.ok_or_else(|| saved.wrong("is cut off"))?;
        }
        if !saved.has_sound_flags() {
            return Err(saved.wrong("has flags that contradict each other"));
        }
        Ok(saved)
    }

    /// Whether the flags could have been written.
    fn has_sound_flags(&self) -> bool {
        let meta = self.meta;
        let links = meta >> flag::LINK_SHIFT & 0b1111;
        let told = meta >> flag::TOLD_SHIFT & 0b1111;
        let has_root_twice = meta & flag::ROOT_IS_PARENT != 0 && links & 0b11 != 0b01;
        let duration = (meta & flag::HAS_DURATION != 0).then(|| self.links().last().copied());
        told & !links == 0
            && !has_root_twice
            && usize::from(rows::media_kind(meta)) < MEDIA_KINDS.len()
            && duration
                .is_none_or(|ms| ms.is_some_and(|ms| (1..=u64::from(u32::MAX)).contains(&ms)))
    }

    fn links(&self) -> &[u64] {
        &self.links[..rows::n_links(self.meta)]
    }

    fn created_ms(&self) -> UnixMs {
        (self.meta >> rows::FLAG_BITS).cast_signed()
    }

    fn is_secondary(&self) -> bool {
        rows::is_secondary(self.meta)
    }

    fn is_dead(&self) -> bool {
        self.meta & flag::DEAD != 0
    }

    fn has_video(&self) -> bool {
        let duration = self.links().last().copied().unwrap_or(0);
        self.meta & flag::HAS_DURATION != 0
            && types::is_video(
                rows::media_kind(self.meta),
                u32::try_from(duration).unwrap_or(0),
            )
    }

    fn wrong(&self, what: &str) -> Error {
        Decoder::wrong(format!("post {} {what}", self.id.0))
    }
}

fn check(what: &str, expected: u64, found: u64) -> Result<()> {
    if expected == found {
        return Ok(());
    }
    Err(Decoder::wrong(format!(
        "{expected} {what} are announced and {found} are there"
    )))
}

fn word(bytes: &[u8]) -> u64 {
    bytes.try_into().map_or(0, u64::from_le_bytes)
}

fn read(input: &mut dyn Read, bytes: &mut [u8]) -> Result<()> {
    input
        .read_exact(bytes)
        .map_err(|error| Decoder::wrong(format!("the store cannot be read: {error}")))
}
