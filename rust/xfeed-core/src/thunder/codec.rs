//! The store as bytes, author by author, so that loading fills each timeline in one go.
//!
//! A head with the floors and counts; frames (length, then groups of one author's rows in the order
//! of its timeline); an empty frame; the tombstones; what went and has not been told yet. Numbers are little-endian. Checksums are the
//! container's (`crate::snapshot`); what is checked here is that the bytes are a store.

use std::io::{self, Read, Write};

use hashbrown::HashMap;

use super::rows::{self, flag};
use super::timeline::Entry;
use super::tombstones::Liveness;
use super::types::{self, Inserted, Record, StoreCounts, StoreSettings};
use super::{PostStore, TIME_END_MS};
use crate::clock::UnixMs;
use crate::error::{Error, Result};
use crate::event::MEDIA_KINDS;
use crate::ids::Id;
use crate::snapshot::Decoder;

/// A frame is written when it is longer than this.
const FRAME: usize = 1 << 18;

/// No frame is longer than this: a frame, and one more group.
const MAX_FRAME: usize = 1 << 20;

/// Rows of one author in a group; an author with more has several.
const GROUP: usize = 4096;

/// Most words that follow a row.
const MAX_LINKS: usize = 9;

/// Rows to be read before the count in the head is believed at all.
const PROOF: u64 = 1 << 14;

/// So many times what was read is believed.
const TRUST: u64 = 16;

impl PostStore {
    /// Writes the state.
    ///
    /// # Errors
    /// When `out` fails.
    pub fn encode(&self, out: &mut dyn Write) -> io::Result<()> {
        let head = [
            self.base_ms.unwrap_or(0).cast_unsigned(),
            u64::from(self.base_ms.is_some()),
            self.floors.both()[0].cast_unsigned(),
            self.floors.both()[1].cast_unsigned(),
            self.gone.conflicts,
            self.gone.over_cap,
            self.gone.over_budget,
            self.gone.trimmed,
            self.rows.len() as u64,
            self.tombstones.len() as u64,
            self.gone_posts.as_ref().map_or(0, HashMap::len) as u64,
        ];
        let mut frame: Vec<u8> = Vec::with_capacity(MAX_FRAME);
        head.iter().for_each(|word| put(&mut frame, *word));
        out.write_all(&frame)?;
        frame.clear();
        let none = Vec::new();
        for place in 0..self.authors.places() as u32 {
            let author = self.authors.get(place);
            let dead = |list| self.dead.get(&(place, list)).unwrap_or(&none).as_slice();
            for entries in [
                author.originals.entries(),
                author.secondary.entries(),
                dead(false),
                dead(true),
            ] {
                for group in entries.chunks(GROUP) {
                    self.encode_group(author.id, group, &mut frame);
                    if frame.len() >= FRAME {
                        write_frame(out, &frame)?;
                        frame.clear();
                    }
                }
            }
        }
        if !frame.is_empty() {
            write_frame(out, &frame)?;
        }
        write_frame(out, &[])?;
        self.encode_tombstones(out)?;
        self.gone_posts
            .iter()
            .flatten()
            .try_for_each(|(post, author)| {
                out.write_all(&post.0.to_le_bytes())?;
                out.write_all(&author.0.to_le_bytes())
            })
    }

    fn encode_group(&self, author: Id, group: &[Entry], frame: &mut Vec<u8>) {
        put(frame, author.0);
        put(frame, group.len() as u64);
        for entry in group {
            let row = self.rows.get(entry.slot());
            put(frame, row.id.0);
            put(frame, row.meta);
            for word in self.rows.links.get(row.links, row.n_links()) {
                put(frame, *word);
            }
        }
    }

    fn encode_tombstones(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(FRAME + 17);
        for (id, said) in self.tombstones.iter() {
            put(&mut bytes, id.0);
            put(&mut bytes, said.at_ms.cast_unsigned());
            bytes.push(u8::from(said.deleted));
            if bytes.len() >= FRAME {
                out.write_all(&bytes)?;
                bytes.clear();
            }
        }
        out.write_all(&bytes)
    }

    /// Reads one statement; returns how many posts it keeps deleted.
    fn decode_tombstone(&mut self, bytes: &[u8]) -> Result<u64> {
        let id = Id(word(&bytes[..8]));
        let wrong = |what: &str| Decoder::wrong(format!("post {} {what}", id.0));
        if bytes[16] > 1 || self.tombstones.get(id).is_some() {
            return Err(wrong("has a damaged tombstone"));
        }
        let said = Liveness {
            at_ms: word(&bytes[8..16]).cast_signed(),
            deleted: bytes[16] == 1,
        };
        if self.settings.max_bytes < u64::MAX {
            self.set_deleted(id, said.at_ms, said.deleted);
            return Ok(0);
        }
        self.tombstones.set(id, said);
        let slot = self.find(id).filter(|_| said.deleted);
        match slot.map(|slot| self.rows.get(slot).is_dead()) {
            None => Ok(0),
            Some(true) => Ok(1),
            Some(false) => Err(wrong("is deleted and alive")),
        }
    }

    /// Reads what [`Self::encode`] wrote.
    ///
    /// # Errors
    /// When the bytes end early or contradict themselves or the settings.
    pub fn decode(input: &mut dyn Read, settings: StoreSettings) -> Result<Self> {
        let mut head = [0; 88];
        read(input, &mut head)?;
        let words: Vec<u64> = head.chunks_exact(8).map(word).collect();
        let mut store = Self::new(settings);
        let base_ms = words[0].cast_signed();
        if words[1] > 1 || !(-TIME_END_MS..TIME_END_MS).contains(&base_ms) {
            return Err(Decoder::wrong(format!(
                "the time base {base_ms} is impossible"
            )));
        }
        store.base_ms = (words[1] == 1).then_some(base_ms);
        store
            .floors
            .restore([words[2].cast_signed(), words[3].cast_signed()]);
        store.gone = StoreCounts {
            conflicts: words[4],
            over_cap: words[5],
            over_budget: words[6],
            trimmed: words[7],
            ..StoreCounts::default()
        };
        let mut frame = Vec::new();
        let mut n_read = 0;
        let mut reserved = PROOF;
        loop {
            let mut len = [0; 8];
            read(input, &mut len)?;
            let len = usize::try_from(word(&len)).unwrap_or(usize::MAX);
            if len == 0 {
                break;
            }
            if len > MAX_FRAME {
                return Err(Decoder::wrong(format!(
                    "a frame of {len} bytes is too long"
                )));
            }
            frame.resize(len, 0);
            read(input, &mut frame)?;
            n_read += store.decode_frame(&frame)?;
            if n_read >= reserved && n_read < words[8] {
                reserved = words[8].min(n_read.saturating_mul(TRUST));
                store.reserve(reserved);
            }
        }
        check("posts", words[8], n_read)?;
        store.decode_tombstones(input, words[9])?;
        for _ in 0..words[10] {
            let mut pair = [0; 16];
            read(input, &mut pair)?;
            let gone = store.gone_posts.get_or_insert_default();
            gone.insert(Id(word(&pair[..8])), Id(word(&pair[8..])));
        }
        Ok(store)
    }

    fn reserve(&mut self, n_rows: u64) {
        if self.settings.max_bytes < u64::MAX {
            return; // Growing step by step keeps to the limit.
        }
        let n = usize::try_from(n_rows).unwrap_or(usize::MAX);
        let rows = &self.rows;
        self.index.reserve(n, |slot| rows.get(slot).id);
    }

    /// Reads the groups of a frame; returns of how many posts.
    fn decode_frame(&mut self, frame: &[u8]) -> Result<u64> {
        let mut n_read = 0;
        let mut words = frame.chunks_exact(8).map(word);
        if !frame.len().is_multiple_of(8) {
            return Err(Decoder::wrong("a frame ends in the middle of a number"));
        }
        let mut group = Vec::new();
        while let Some(author) = words.next() {
            let n = words.next().unwrap_or(0);
            if n == 0 || n > GROUP as u64 {
                return Err(Decoder::wrong(format!(
                    "a group of {n} posts is impossible"
                )));
            }
            group.clear();
            for _ in 0..n {
                group.push(Saved::read(&mut words)?);
            }
            if self.settings.max_bytes == u64::MAX {
                self.load_group(Id(author), &group)?;
            } else {
                self.insert_group(Id(author), &group)?;
            }
            n_read += n;
        }
        Ok(n_read)
    }

    /// Takes a group as it is.
    fn load_group(&mut self, author: Id, group: &[Saved]) -> Result<()> {
        let (is_secondary, is_dead) = (group[0].is_secondary(), group[0].is_dead());
        let base_ms = self.base_ms.unwrap_or(0);
        let place = self.authors.find_or_add(author);
        let mut entries = Vec::with_capacity(group.len());
        for saved in group {
            if (saved.is_secondary(), saved.is_dead()) != (is_secondary, is_dead) {
                return Err(saved.wrong("is in a group of another kind"));
            }
            let slot = self.rows.add(saved.id, saved.meta, place, saved.links());
            let slot = slot.ok_or_else(|| saved.wrong("is one too many"))?;
            let video = saved.has_video();
            entries.push(Entry::new(base_ms, saved.created_ms(), video, slot));
            self.newest_ms = self.newest_ms.max(saved.created_ms());
        }
        let rows = &self.rows;
        let id_at = |slot| rows.get(slot).id;
        for (saved, entry) in group.iter().zip(&entries) {
            if !self.index.insert_new(saved.id, entry.slot(), id_at) {
                return Err(saved.wrong("is there twice"));
            }
        }
        let key = (place, is_secondary);
        let known = if is_dead {
            self.dead.get(&key).map_or(&[][..], Vec::as_slice)
        } else {
            self.authors.get(place).timeline(is_secondary).entries()
        };
        let before = known.last().into_iter().chain(&entries);
        if !before.is_sorted_by(|a, b| a.cmp(**b, rows).is_lt()) {
            return Err(group[0].wrong("begins a group that is out of order"));
        }
        if is_dead {
            self.n_dead += entries.len() as u64;
            self.dead.entry(key).or_default().extend(entries);
        } else {
            let timeline = self.authors.get_mut(place).timeline_mut(is_secondary);
            let before = timeline.bytes();
            timeline.extend(&entries);
            self.timeline_bytes = self.timeline_bytes + timeline.bytes() - before;
        }
        Ok(())
    }

    /// Adds a group post by post, so that the memory limit holds on the way.
    fn insert_group(&mut self, author: Id, group: &[Saved]) -> Result<()> {
        for saved in group {
            let links = rows::unpack(saved.meta, saved.links());
            let inserted = self.insert(&Record {
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

    fn decode_tombstones(&mut self, input: &mut dyn Read, n: u64) -> Result<()> {
        let mut dead = 0;
        let mut bytes = vec![0; 17 * 4096];
        let mut left = n;
        while left > 0 {
            let now = left.min(4096);
            let bytes = &mut bytes[..17 * now as usize];
            read(input, bytes)?;
            for said in bytes.chunks_exact(17) {
                dead += self.decode_tombstone(said)?;
            }
            left -= now;
        }
        if self.settings.max_bytes == u64::MAX {
            check("deleted posts", self.n_dead, dead)?;
        }
        Ok(())
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
            && types::is_video(rows::media_kind(self.meta), duration as u32)
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

fn put(bytes: &mut Vec<u8>, word: u64) {
    bytes.extend_from_slice(&word.to_le_bytes());
}

fn word(bytes: &[u8]) -> u64 {
    bytes.try_into().map_or(0, u64::from_le_bytes)
}

fn write_frame(out: &mut dyn Write, frame: &[u8]) -> io::Result<()> {
    out.write_all(&(frame.len() as u64).to_le_bytes())?;
    out.write_all(frame)
}

fn read(input: &mut dyn Read, bytes: &mut [u8]) -> Result<()> {
    input
        .read_exact(bytes)
        .map_err(|error| Decoder::wrong(format!("the store cannot be read: {error}")))
}
