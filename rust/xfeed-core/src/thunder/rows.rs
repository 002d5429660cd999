//! The records, 24 bytes each, in slots that are used again.

use super::chunks::Chunks;
use super::links::Links;
use super::types::Record;
use crate::clock::UnixMs;
use crate::event::{PostKind, Related};
use crate::ids::Id;

/// Slots have this many bits, so that a timeline's entry has room for them beside the time.
pub(super) const SLOT_BITS: u32 = 28;

/// No slot has this number or a larger one: with all bits set, a cell of the index is empty.
const LAST_SLOT: u32 = (1 << SLOT_BITS) - 1;

/// No slot.
pub(super) const NOWHERE: u32 = u32::MAX;

/// What is in the low 16 bits of [`Row::meta`].
pub(super) mod flag {
    pub(in super::super) const KIND: u64 = 0b11;
    pub(in super::super) const MEDIA_SHIFT: u32 = 2;
    pub(in super::super) const MEDIA: u64 = 0b111;
    pub(in super::super) const DEAD: u64 = 1 << 5;
    /// Four bits: which of reply_to, root, repost_of, quote_of are written among the links.
    pub(in super::super) const LINK_SHIFT: u32 = 6;
    /// Four bits: whose author the sender told.
    pub(in super::super) const TOLD_SHIFT: u32 = 10;
    /// The root is what it answers, and not written again.
    pub(in super::super) const ROOT_IS_PARENT: u64 = 1 << 14;
    pub(in super::super) const HAS_DURATION: u64 = 1 << 15;
}

/// Bits of [`Row::meta`] below the time.
pub(super) const FLAG_BITS: u32 = 16;

/// A record without its links.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    pub(super) id: Id,
    /// Time (48 bits), then the flags (16 bits).
    pub(super) meta: u64,
    /// Position among the authors; [`NOWHERE`] in a free slot.
    pub(super) author: u32,
    /// Where the links are; the next free slot in a free one.
    pub(super) links: u32,
}

impl Row {
    pub(super) fn created_ms(&self) -> UnixMs {
        (self.meta >> FLAG_BITS).cast_signed()
    }

    pub(super) fn kind(&self) -> PostKind {
        kind(self.meta)
    }

    pub(super) fn is_secondary(&self) -> bool {
        is_secondary(self.meta)
    }

    pub(super) fn is_dead(&self) -> bool {
        self.meta & flag::DEAD != 0
    }

    pub(super) fn is_free(&self) -> bool {
        self.author == NOWHERE
    }

    /// Words that its links take.
    pub(super) fn n_links(&self) -> usize {
        n_links(self.meta)
    }
}

pub(super) fn kind(meta: u64) -> PostKind {
    PostKind::ALL[(meta & flag::KIND) as usize]
}

pub(super) fn media_kind(meta: u64) -> u8 {
    (meta >> flag::MEDIA_SHIFT & flag::MEDIA) as u8
}

/// Whether a row with these flags lies in the timeline of replies and reposts.
pub(super) fn is_secondary(meta: u64) -> bool {
    matches!(kind(meta), PostKind::Reply | PostKind::Repost)
}

/// Words that the links of a row with these flags take.
pub(super) fn n_links(meta: u64) -> usize {
    let words = (meta >> flag::LINK_SHIFT) & 0xFF; // links, then authors told
    (words.count_ones() + u32::from(meta & flag::HAS_DURATION != 0)) as usize
}

/// The links of a record as words, with its flags.
pub(super) fn pack(record: &Record, words: &mut Vec<u64>) -> u64 {
    let kind = PostKind::ALL
        .iter()
        .position(|kind| *kind == record.kind)
        .unwrap_or(0) as u64;
    let mut meta = (record.created_ms.cast_unsigned() << FLAG_BITS)
        | kind
        | (u64::from(record.media_kind) & flag::MEDIA) << flag::MEDIA_SHIFT;
    let root_is_parent = record.root.is_some() && record.root == record.reply_to;
    if root_is_parent {
        meta |= flag::ROOT_IS_PARENT;
    }
    let root = record.root.filter(|_| !root_is_parent);
    words.clear();
    let links = [record.reply_to, root, record.repost_of, record.quote_of];
    for (place, related) in (0_u32..).zip(links) {
        if let Some(related) = related {
            meta |= 1 << (flag::LINK_SHIFT + place);
            words.push(related.post.0);
            if let Some(author) = related.author {
                meta |= 1 << (flag::TOLD_SHIFT + place);
                words.push(author.0);
            }
        }
    }
    if record.media_duration_ms > 0 {
        meta |= flag::HAS_DURATION;
        words.push(u64::from(record.media_duration_ms));
    }
    meta
}

/// The relations of a row, read from its words in the order in which [`pack`] wrote them.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Unpacked {
    pub(super) reply_to: Option<Related>,
    pub(super) root: Option<Related>,
    pub(super) repost_of: Option<Related>,
    pub(super) quote_of: Option<Related>,
    pub(super) duration_ms: u32,
}

pub(super) fn unpack(meta: u64, words: &[u64]) -> Unpacked {
    let mut at = 0;
    let mut next = || {
        let word = words.get(at).copied().unwrap_or(0);
        at += 1;
        word
    };
    let mut related = |place: u32| {
        (meta & (1 << (flag::LINK_SHIFT + place)) != 0).then(|| Related {
            post: Id(next()),
            author: (meta & (1 << (flag::TOLD_SHIFT + place)) != 0).then(|| Id(next())),
        })
    };
    let [reply_to, root, repost_of, quote_of] = [related(0), related(1), related(2), related(3)];
    let duration_ms = if meta & flag::HAS_DURATION != 0 {
        u32::try_from(next()).unwrap_or(u32::MAX)
    } else {
        0
    };
    Unpacked {
        reply_to,
        root: root.or(reply_to.filter(|_| meta & flag::ROOT_IS_PARENT != 0)),
        repost_of,
        quote_of,
        duration_ms,
    }
}

/// All rows.
#[derive(Debug)]
pub(super) struct Rows {
    slots: Chunks<Row>,
    pub(super) links: Links,
    free: u32,
    n_free: u32,
}

impl Default for Rows {
    fn default() -> Self {
        Self {
            slots: Chunks::default(),
            links: Links::default(),
            free: NOWHERE,
            n_free: 0,
        }
    }
}

impl Rows {
    pub(super) fn get(&self, slot: u32) -> &Row {
        self.slots.get(slot)
    }

    pub(super) fn get_mut(&mut self, slot: u32) -> &mut Row {
        self.slots.get_mut(slot)
    }

    pub(super) fn len(&self) -> usize {
        (self.slots.len() - self.n_free) as usize
    }

    /// Takes a slot; `None` when there are 2^28 rows.
    pub(super) fn add(&mut self, id: Id, meta: u64, author: u32, words: &[u64]) -> Option<u32> {
        let slot = if self.free == NOWHERE {
            Some(self.slots.len()).filter(|slot| *slot < LAST_SLOT)?
        } else {
            self.free
        };
        let row = Row {
            id,
            meta,
            author,
            links: self.links.add(words)?,
        };
        if self.free == NOWHERE {
            self.slots.push(row);
        } else {
            self.free = self.slots.get(slot).links;
            self.n_free -= 1;
            *self.slots.get_mut(slot) = row;
        }
        Some(slot)
    }

    /// Gives a slot back.
    pub(super) fn remove(&mut self, slot: u32) {
        let row = *self.slots.get(slot);
        self.links.remove(row.links, row.n_links());
        *self.slots.get_mut(slot) = Row {
            id: Id(0),
            meta: 0,
            author: NOWHERE,
            links: self.free,
        };
        self.free = slot;
        self.n_free += 1;
    }

    pub(super) fn unpack(&self, row: &Row) -> Unpacked {
        unpack(row.meta, self.links.get(row.links, row.n_links()))
    }

    /// Slots, also free ones.
    pub(super) fn slots(&self) -> u32 {
        self.slots.len()
    }

    /// Rows in use.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Row> {
        self.slots.iter().filter(|row| !row.is_free())
    }

    /// Bytes that one more row with `n_links` words would add.
    pub(super) fn growth(&self, n_links: usize) -> usize {
        let row = if self.free == NOWHERE && self.slots.is_full() {
            Chunks::<Row>::CHUNK_BYTES
        } else {
            0
        };
        row + self.links.growth(n_links)
    }

    pub(super) fn bytes(&self) -> usize {
        self.slots.bytes() + self.links.bytes()
    }
}
