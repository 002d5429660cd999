//! The store as bytes, author by author, so that loading fills each timeline in one go.
//!
//! A head ([`HEAD`] numbers) with floors, counts and the memory limit; frames (length, then groups of
//! one author's rows in the order of its timeline); an empty frame; the tombstones; what went and has
//! not been told yet. Numbers are little-endian. Checksums are the container's (`crate::snapshot`).

use std::io::{self, Write};

use hashbrown::HashMap;

use super::PostStore;
use super::timeline::Entry;
use crate::ids::Id;

/// Numbers in the head.
pub(super) const HEAD: usize = 13;

/// A frame is written when it is longer than this.
const FRAME: usize = 1 << 18;

/// No frame is longer than this: a frame, and one more group.
pub(super) const MAX_FRAME: usize = 1 << 20;

/// Rows of one author in a group; an author with more has several.
pub(super) const GROUP: usize = 4096;

impl PostStore {
    /// Writes the state.
    ///
    /// # Errors
    /// When `out` fails.
    pub fn encode(&self, out: &mut dyn Write) -> io::Result<()> {
        let head: [u64; HEAD] = [
            self.base_ms.unwrap_or(0).cast_unsigned(),
            u64::from(self.base_ms.is_some()),
            self.floors.all()[0].cast_unsigned(),
            self.floors.all()[1].cast_unsigned(),
            self.gone.conflicts,
            self.gone.over_cap,
            self.gone.over_budget,
            self.gone.trimmed,
            self.rows.len() as u64,
            self.tombstones.len() as u64,
            self.gone_posts.as_ref().map_or(0, HashMap::len) as u64,
            self.settings.max_bytes,
            self.floors.all()[2].cast_unsigned(),
        ];
        let mut frame: Vec<u8> = Vec::with_capacity(MAX_FRAME);
        for word in head {
            put(&mut frame, word);
        }
        out.write_all(&frame)?;
        frame.clear();
        let none = Vec::new();
        for place in 0..self.authors.places() {
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
        let mut gone: Vec<(&Id, &Id)> = self.gone_posts.iter().flatten().collect();
        gone.sort_unstable();
        gone.iter().try_for_each(|(post, author)| {
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
}

fn put(bytes: &mut Vec<u8>, word: u64) {
    bytes.extend_from_slice(&word.to_le_bytes());
}

fn write_frame(out: &mut dyn Write, frame: &[u8]) -> io::Result<()> {
    out.write_all(&(frame.len() as u64).to_le_bytes())?;
    out.write_all(frame)
}
