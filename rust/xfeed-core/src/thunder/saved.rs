//! A store that stands alone in a snapshot, and back.

use std::collections::BTreeMap;
use std::io::{Read, Write};

use crate::error::{Error, Result};
use crate::snapshot::{Decoder, Header, Kind, Reader, Writer, check_equal};
use crate::thunder::intake::Intake;
use crate::thunder::{PostStore, StoreSettings};

const SECTION: &str = "posts";
const MAX_BYTES: &str = "max_bytes";

impl Intake {
    /// Writes the state. `offsets` say where `source`, the log that the posts came from, stands.
    ///
    /// # Errors
    /// When `out` fails.
    pub fn write_snapshot(
        &self,
        source: &str,
        offsets: BTreeMap<String, u64>,
        out: impl Write,
    ) -> Result<Header> {
        let store = self.store();
        let header = Header {
            kind: Kind::Store,
            source: source.to_owned(),
            offsets,
            state_hash: store.digest(),
            counts: counts(store),
            settings: settings_map(store.settings()),
            last_ms: self.newest_ms(),
        };
        let mut writer = Writer::new(out, &header)?;
        writer.section(SECTION, |out| store.encode(out))?;
        writer.finish()?.flush()?;
        Ok(header)
    }

    /// Reads a state that was made with `settings`. Checksums, order and counts are checked, and the
    /// state is compared with its hash.
    ///
    /// # Errors
    /// Naming byte and section of what is damaged, or the setting that differs.
    pub fn read_snapshot(input: impl Read, settings: StoreSettings) -> Result<(Self, Header)> {
        let mut reader = Reader::new(input)?;
        let header = reader.header().clone();
        if header.kind != Kind::Store {
            return Err(Decoder::wrong(
                "it holds the state of a whole feed, not a store of posts",
            ));
        }
        // A store that was written under another memory limit is read under this one.
        let mut made_with = header.settings.clone();
        let limit = made_with.insert(MAX_BYTES.to_owned(), settings.max_bytes);
        let may_have_let_go = limit.is_some_and(|limit| settings.max_bytes < limit);
        check_equal("the setting", &made_with, &settings_map(&settings)).map_err(|error| {
            let hint = "leave the setting out, or give what the file was made with";
            Error::store("other_settings", error.message, hint)
        })?;
        let store = reader.section(SECTION, |input| PostStore::decode(input, settings))?;
        reader.finish()?;
        let newest_ms = header.last_ms;
        if may_have_let_go {
            return Ok((Self::around(store, newest_ms), header));
        }
        check_equal("the count", &counts(&store), &header.counts)?;
        let hash = store.digest();
        if hash != header.state_hash {
            return Err(Decoder::wrong(format!(
                "the state has the hash `{hash}`, `{}` was written",
                header.state_hash
            )));
        }
        Ok((Self::around(store, newest_ms), header))
    }
}

/// The settings that decide what the state holds. Accounts that are hidden from readers do not.
fn settings_map(settings: &StoreSettings) -> BTreeMap<String, u64> {
    let values = [
        ("retention_ms", settings.retention_ms),
        (
            "max_posts_per_timeline",
            settings.max_posts_per_timeline as u64,
        ),
        (MAX_BYTES, settings.max_bytes),
    ];
    values.map(|(name, value)| (name.to_owned(), value)).into()
}

fn counts(store: &PostStore) -> BTreeMap<String, u64> {
    let counts = store.counts();
    let values = [
        ("posts", counts.posts),
        ("deleted", counts.deleted),
        ("tombstones", counts.tombstones),
        ("authors", counts.authors),
    ];
    values.map(|(name, value)| (name.to_owned(), value)).into()
}
