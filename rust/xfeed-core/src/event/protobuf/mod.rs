//! Events as protobuf messages, by the same table as JSON.
//!
//! `docs/xfeed.proto` is the schema that senders compile; it is written from
//! [`schema`](crate::event::schema), and so is this reader: a field's number is its position in the
//! table. What is unknown, repeated or of another type is refused, as in JSON, because a typing error
//! must never become a silent default. Nothing recurses, and nothing is allocated before its bytes are
//! there.

mod read;
mod text;
mod wire;
mod write;

pub use text::schema;
pub use write::encode;

use std::fmt::Write as _;

use crate::clock::UnixMs;
use crate::event::Event;
use crate::event::decode::event_of;
use crate::event::reject::Reject;
use wire::Reader;

/// Number of the first event type; the others follow in the order of the table.
const FIRST_TYPE: u32 = 16;

/// Says of a label that it never ends, which JSON says with `null`.
const NEVER_EXPIRES: u32 = 15;

/// Numbers inside an id and inside a list of texts.
const NUMBER: u32 = 1;
const TEXT: u32 = 2;
const ITEM: u32 = 1;

/// Decodes one message. `now` limits `at_ms`; `None` trusts it, as when a log is replayed.
///
/// # Errors
/// A [`Reject`] for every message that is not a valid event.
pub fn decode(message: &[u8], now: Option<UnixMs>) -> Result<Event, Reject> {
    event_of(&read::fields(message)?, now)
}

/// Messages that lie one after the other, each after its length.
#[derive(Debug)]
pub struct Delimited<'a> {
    rest: &'a [u8],
}

impl<'a> Delimited<'a> {
    /// Reads `bytes` from the start.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }
}

impl<'a> Iterator for Delimited<'a> {
    type Item = Result<&'a [u8], Reject>;

    /// A length that is damaged ends the iteration: nobody knows where the next message starts.
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let mut reader = Reader::new(self.rest);
        let message = reader.sized();
        let left = std::mem::take(&mut self.rest);
        match message {
            Ok(message) => {
                self.rest = &left[reader.at()..];
                Some(Ok(message))
            }
            Err(damage) => {
                let message = format!(
                    "the length of the message is damaged ({}), so the {} bytes from here on cannot \
                     be read",
                    damage.what,
                    left.len()
                );
                Some(Err(Reject::line("not_protobuf", &hex(left), message)))
            }
        }
    }
}

/// The first bytes, for people.
fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in &bytes[..bytes.len().min(32)] {
        let _ = write!(text, "{byte:02x}");
    }
    if bytes.len() > 32 {
        text.push('…');
    }
    text
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
