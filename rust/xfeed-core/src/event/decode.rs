//! JSON lines to [`Event`]s, checked against [`schema`](crate::event::schema).

use crate::clock::UnixMs;
use crate::event::fields::{Checked, Value};
use crate::event::reject::Reject;
use crate::event::{Event, json};

/// How far ahead of the clock an event may be: clocks of senders differ.
pub const MAX_SKEW_MS: i64 = 5 * 60 * 1000;

/// Decodes one line. `now` limits `at_ms`; `None` trusts it, as when a log is replayed.
///
/// # Errors
/// A [`Reject`] for every line that is not a valid event.
pub fn decode(line: &[u8], now: Option<UnixMs>) -> Result<Event, Reject> {
    event_of(&json::read(line)?, now)
}

/// The event that checked fields say, after the rules that need more than one field.
pub(super) fn event_of(fields: &Checked<'_>, now: Option<UnixMs>) -> Result<Event, Reject> {
    let at_ms = at_ms_of(fields, now)?;
    let event_id = fields.get("event_id").map(Value::shown);
    let mut names = Vec::new();
    let body = fields.body(at_ms, &mut names)?;
    Ok(Event {
        at_ms,
        event_id,
        body,
        names,
    })
}

fn at_ms_of(fields: &Checked<'_>, now: Option<UnixMs>) -> Result<UnixMs, Reject> {
    let at_ms = fields.int("at_ms").unwrap_or_default();
    match now {
        Some(now) if at_ms > now.saturating_add(MAX_SKEW_MS) => {
            let message = format!("may be at most 5 minutes after now ({now})");
            Err(Reject::field(
                "in_the_future",
                "at_ms",
                &at_ms.to_string(),
                &message,
            ))
        }
        _ => Ok(at_ms),
    }
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
