//! The whole state in a snapshot, and back.
//!
//! What comes back is the same state to the last bit: it goes on folding as if nothing had happened.
//! Nothing is trimmed or computed anew on the way, so when snapshots are made changes nothing.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};

use super::{World, WorldSettings};
use crate::error::{Error, Result};
use crate::ids::{Id, Names};
use crate::snapshot::{Decoder, Encoder, Header, Kind, Reader, Writer, check_equal};
use crate::thunder::{PostStore, StoreSettings};
use crate::world::changes::Changes;
use crate::world::contents::Contents;
use crate::world::counters::Counters;
use crate::world::graph::Graph;
use crate::world::history::Histories;
use crate::world::labels::Labels;
use crate::world::people::People;

const RETENTION: &str = "retention_ms";
const PER_TIMELINE: &str = "max_posts_per_timeline";
const MAX_BYTES: &str = "max_bytes";
const HISTORY: &str = "max_history_len";

impl WorldSettings {
    /// Those that decide what the state holds. Accounts that are hidden from readers do not.
    pub fn to_map(&self) -> BTreeMap<String, u64> {
        let values = [
            (RETENTION, self.posts.retention_ms),
            (PER_TIMELINE, self.posts.max_posts_per_timeline as u64),
            (MAX_BYTES, self.posts.max_bytes),
            (HISTORY, self.max_history_len as u64),
        ];
        values.map(|(name, value)| (name.to_owned(), value)).into()
    }

    /// The settings that a snapshot was made with.
    ///
    /// # Errors
    /// When one is missing.
    pub fn from_map(map: &BTreeMap<String, u64>) -> Result<Self> {
        let value = |name: &str| {
            let value = map.get(name).copied();
            value.ok_or_else(|| Decoder::wrong(format!("the setting `{name}` is missing")))
        };
        let len = |name: &str| {
            usize::try_from(value(name)?)
                .map_err(|_| Decoder::wrong(format!("the setting `{name}` is too large")))
        };
        Ok(Self {
            posts: StoreSettings {
                retention_ms: value(RETENTION)?,
                max_posts_per_timeline: len(PER_TIMELINE)?,
                max_bytes: value(MAX_BYTES)?,
                hidden_authors: Vec::new(),
            },
            max_history_len: len(HISTORY)?,
        })
    }
}

impl World {
    /// Writes the state.
    ///
    /// # Errors
    /// When `out` fails.
    pub fn write_snapshot(
        &self,
        source: &str,
        offsets: BTreeMap<String, u64>,
        out: impl Write,
    ) -> Result<Header> {
        let header = Header {
            kind: Kind::World,
            source: source.to_owned(),
            offsets,
            state_hash: self.hash(),
            counts: self.counts_map(),
            settings: self.settings().to_map(),
            last_ms: self.last_ms,
        };
        self.write_parts(&header, out)?;
        Ok(header)
    }

    pub(super) fn write_parts(&self, header: &Header, out: impl Write) -> Result<()> {
        let mut writer = Writer::new(out, header)?;
        section(&mut writer, "clock", |out| {
            out.ms(self.last_ms)?;
            out.ms(self.next_trim_ms)?;
            out.u64(self.events)?;
            out.u64(self.generation())
        })?;
        section(&mut writer, "names", |out| {
            let names = self.names.all();
            out.count(names.len())?;
            names.iter().try_for_each(|(id, text)| {
                out.id(*id)?;
                out.text(text)
            })
        })?;
        writer.section("posts", |out| self.posts.encode(out))?;
        section(&mut writer, "contents", |out| self.contents.encode(out))?;
        section(&mut writer, "graph", |out| self.graph.encode(out))?;
        section(&mut writer, "histories", |out| self.histories.encode(out))?;
        section(&mut writer, "counters", |out| self.counters.encode(out))?;
        section(&mut writer, "labels", |out| self.labels.encode(out))?;
        section(&mut writer, "people", |out| self.people.encode(out))?;
        writer.finish()?.flush()?;
        Ok(())
    }

    /// Reads a state that was made with `settings`; with those of the snapshot when None.
    ///
    /// Checksums, order and counts are checked; [`Self::check_hash`] costs as much again.
    ///
    /// # Errors
    /// Naming byte and section of what is damaged, or the setting that differs.
    pub fn read_snapshot(
        input: impl Read,
        settings: Option<&WorldSettings>,
    ) -> Result<(Self, Header)> {
        let mut reader = Reader::new(input)?;
        let header = reader.header().clone();
        if header.kind != Kind::World {
            return Err(Decoder::wrong(
                "it holds a store of posts, not a whole state",
            ));
        }
        let made_with = WorldSettings::from_map(&header.settings)?;
        if let Some(settings) = settings {
            made_with.check(settings)?;
        }
        let settings = settings.cloned().unwrap_or(made_with);
        let max_history_len = settings.max_history_len;
        let mut world = Self::new(settings.clone());
        (
            world.last_ms,
            world.next_trim_ms,
            world.events,
            world.changes,
        ) = part(&mut reader, "clock", |input| {
            let times = (input.ms()?, input.ms()?);
            Ok((
                times.0,
                times.1,
                input.tally(1 << 63)?,
                Changes::after(input.tally(1 << 63)?),
            ))
        })?;
        world.names = part(&mut reader, "names", decode_names)?;
        world.posts = reader.section("posts", |input| PostStore::decode(input, settings.posts))?;
        world.posts.remember_gone();
        world.contents = part(&mut reader, "contents", Contents::decode)?;
        world.graph = part(&mut reader, "graph", Graph::decode)?;
        world.histories = part(&mut reader, "histories", |input| {
            Histories::decode(input, max_history_len)
        })?;
        world.counters = part(&mut reader, "counters", Counters::decode)?;
        world.labels = part(&mut reader, "labels", Labels::decode)?;
        world.people = part(&mut reader, "people", People::decode)?;
        reader.finish()?;
        if !world.may_have_let_go(&header) {
            check_equal("the count", &world.counts_map(), &header.counts)?;
        }
        if world.last_ms != header.last_ms {
            return Err(Decoder::wrong("header and state have different times"));
        }
        Ok((world, header))
    }

    /// Refuses a state whose hash is not that of `header`.
    ///
    /// # Errors
    /// With both hashes.
    pub fn check_hash(&self, header: &Header) -> Result<()> {
        let (found, expected) = (self.hash(), &header.state_hash);
        if found == *expected {
            return Ok(());
        }
        Err(Decoder::wrong(format!(
            "the state has the hash `{found}`, the header says `{expected}`"
        )))
    }

    /// Whether less memory is allowed than when the snapshot was made.
    fn may_have_let_go(&self, header: &Header) -> bool {
        let made_with = header.settings.get(MAX_BYTES).copied();
        made_with.is_some_and(|made_with| self.posts.settings().max_bytes < made_with)
    }

    fn settings(&self) -> WorldSettings {
        WorldSettings {
            posts: self.posts.settings().clone(),
            max_history_len: self.histories.max_rows(),
        }
    }

    /// Every count, those of the safety inputs above all: none may get lost on the way.
    fn counts_map(&self) -> BTreeMap<String, u64> {
        let counts = self.counts();
        let store = self.posts.counts();
        [
            ("events", counts.events),
            ("posts", store.posts),
            ("deleted_posts", store.deleted),
            ("tombstones", store.tombstones),
            ("follows", counts.follows as u64),
            ("blocks", counts.blocks as u64),
            ("mutes", counts.mutes as u64),
            ("muted_words", self.people.word_count() as u64),
            ("labels", self.labels.len() as u64),
            ("profiles", counts.profiles as u64),
            ("history_rows", counts.history_rows as u64),
        ]
        .map(|(name, count)| (name.to_owned(), count))
        .into()
    }
}

impl WorldSettings {
    /// Refuses a snapshot with these settings where `wanted` are in force.
    fn check(&self, wanted: &Self) -> Result<()> {
        let wanted = wanted.to_map();
        for (name, made_with) in self.to_map() {
            let now = wanted.get(&name).copied().unwrap_or_default();
            // A store that was written under another memory limit is read under this one.
            if now != made_with && name != MAX_BYTES {
                return Err(Error::store(
                    "other_settings",
                    format!("it was made with `{name}` = {made_with}, now it is {now}"),
                    "the log is folded instead",
                ));
            }
        }
        Ok(())
    }
}

fn section<W: Write>(
    writer: &mut Writer<W>,
    name: &str,
    fill: impl FnOnce(&mut Encoder<'_>) -> io::Result<()>,
) -> io::Result<()> {
    writer.section(name, |out| {
        let mut encoder = Encoder::new(out);
        fill(&mut encoder)?;
        encoder.finish()
    })
}

fn part<T, R: Read>(
    reader: &mut Reader<R>,
    name: &str,
    read: impl FnOnce(&mut Decoder<'_>) -> Result<T>,
) -> Result<T> {
    reader.section(name, |input| {
        let mut decoder = Decoder::new(input);
        let value = read(&mut decoder)?;
        decoder.finish()?;
        Ok(value)
    })
}

fn decode_names(input: &mut Decoder<'_>) -> Result<Names> {
    let mut names = Names::default();
    let mut wrong = false;
    let read = |input: &mut Decoder<'_>| Ok((input.id()?, input.text()?));
    input.entries(read, |id, text| {
        wrong |= !id.is_text() || Id::from_text(&text) != Ok(id);
        names.learn(id, &text);
    })?;
    if wrong {
        return Err(Decoder::wrong("a name that is not that of its id"));
    }
    Ok(names)
}
