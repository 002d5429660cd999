//! State in a file that is either whole or refused.
//!
//! A file is a mark, a version, and frames. Every frame carries a checksum over itself and over all
//! before it, so a frame that was changed, left out, repeated, moved or taken from another file is
//! found before its content is looked at, and so is an end that is missing. A reader holds one frame
//! of at most a mebibyte; what a file claims about lengths is never believed ahead of the bytes. The
//! price is a hash over all bytes, a tenth of the time that loading takes.
//!
//! ```text
//! "xfeedsnp", version u32, then frames: tag u8, length u32, content, SHA-256
//!   H  header: JSON, see `Header`
//!   S  a section begins: its name
//!   D  bytes of the section, at most 1 MiB
//!   E  the section ends: how many bytes it had, u64
//!   Z  the end: how many bytes the file has before this frame, u64
//! ```
//! Numbers are little-endian. The first checksum covers mark and version; each later one covers the
//! checksum before it and its own tag, length and content.

mod decoder;
mod encoder;
mod reader;
mod writer;

pub(crate) use decoder::Decoder;
pub(crate) use encoder::Encoder;
pub use reader::{Reader, SectionReader};
pub use writer::{SectionWriter, Writer};

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::clock::UnixMs;
use crate::error::{Error, Result};

/// The version that is written; others are refused.
pub const VERSION: u32 = 1;

const MARK: &[u8; 8] = b"xfeedsnp";

/// Bytes of mark and version.
const START_LEN: u64 = 12;

/// Most bytes of one frame's content.
const MAX_CONTENT: usize = 1 << 20;

const HEADER: u8 = b'H';
const SECTION: u8 = b'S';
const DATA: u8 = b'D';
const SECTION_END: u8 = b'E';
const END: u8 = b'Z';

/// Bytes of tag and length.
const HEAD_LEN: usize = 5;

type Checksum = [u8; 32];

/// What a snapshot holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A [`crate::world::World`].
    World,
    /// A [`crate::thunder::PostStore`] alone.
    Store,
}

/// What a snapshot says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// What it holds.
    pub kind: Kind,
    /// Names the log that `offsets` belong to.
    pub source: String,
    /// By part of the log, the offset after the last event that the state holds.
    pub offsets: BTreeMap<String, u64>,
    /// Hash of the state as it was written.
    pub state_hash: String,
    /// How much there is of everything; a state with other counts is refused.
    pub counts: BTreeMap<String, u64>,
    /// The settings that decide what the state holds.
    pub settings: BTreeMap<String, u64>,
    /// Time of the latest event.
    pub last_ms: UnixMs,
}

impl Header {
    /// As JSON.
    ///
    /// # Errors
    /// When it has more than 1 MiB.
    pub fn to_json(&self) -> Result<String> {
        let refused = |what: String| {
            let hint = "name fewer partitions, or give them shorter names";
            Error::store(
                "bad_header",
                format!("the header of the snapshot {what}"),
                hint,
            )
        };
        let text = serde_json::to_string(self).map_err(|error| refused(error.to_string()))?;
        if text.len() > MAX_CONTENT {
            return Err(refused(format!(
                "has {} bytes, at most {MAX_CONTENT} are possible",
                text.len()
            )));
        }
        Ok(text)
    }
}

/// Checksum of the bytes before the first frame.
fn first_checksum(version: u32) -> Checksum {
    let mut hash = Sha256::new();
    hash.update(MARK);
    hash.update(version.to_le_bytes());
    hash.finalize().into()
}

/// Checksum of a frame that follows one with the checksum `before`.
fn next_checksum(before: &Checksum, head_and_content: &[u8]) -> Checksum {
    let mut hash = Sha256::new();
    hash.update(before);
    hash.update(head_and_content);
    hash.finalize().into()
}

/// A file that is not what it should be.
fn damaged(message: impl Into<String>) -> Error {
    Error::store(
        "bad_snapshot",
        message,
        "an older snapshot or the log itself is used instead; `xfeed snapshot create` makes a new one",
    )
}

/// Refuses a state whose counts or settings are not `expected`; `what` names them.
///
/// # Errors
/// Naming the first that differs.
pub fn check_equal(
    what: &str,
    found: &BTreeMap<String, u64>,
    expected: &BTreeMap<String, u64>,
) -> Result<()> {
    let names = found.keys().chain(expected.keys());
    for name in names {
        let (found, expected) = (found.get(name), expected.get(name));
        if found != expected {
            let text = |value: Option<&u64>| value.map_or("nothing".into(), u64::to_string);
            return Err(damaged(format!(
                "{what} `{name}` is `{}`, `{}` was expected",
                text(found),
                text(expected)
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
