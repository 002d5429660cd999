//! The last thing said about something that may expire: a label, a muted word.

use std::io;

use crate::clock::UnixMs;
use crate::digest::Digest;
use crate::error::Result;
use crate::snapshot::{Decoder, Encoder};

/// A statement. The larger one holds: the later; at the same millisecond "on" beats "off" and the
/// later expiry the earlier one. `None` never expires.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Said {
    pub(super) at_ms: UnixMs,
    on: bool,
    never_expires: bool,
    expires_ms: UnixMs,
}

impl Said {
    pub(super) fn new(at_ms: UnixMs, on: bool, expires_ms: Option<UnixMs>) -> Self {
        let never_expires = expires_ms.is_none();
        Self {
            at_ms,
            on,
            never_expires,
            expires_ms: expires_ms.unwrap_or(0),
        }
    }

    /// Whether it holds at `now`; what expires at `now` no longer does.
    pub(super) fn holds(&self, now: UnixMs) -> bool {
        self.on && (self.never_expires || now < self.expires_ms)
    }

    pub(super) fn encode(&self, out: &mut Encoder<'_>) -> io::Result<()> {
        out.ms(self.at_ms)?;
        out.flag(self.on)?;
        out.option(
            (!self.never_expires).then_some(self.expires_ms),
            Encoder::ms,
        )
    }

    pub(super) fn decode(input: &mut Decoder<'_>) -> Result<Self> {
        Ok(Self::new(
            input.ms()?,
            input.flag()?,
            input.option(Decoder::ms)?,
        ))
    }

    pub(super) fn digest(&self, digest: &mut Digest) {
        digest.i64(self.at_ms);
        digest.flag(self.on);
        digest.flag(self.never_expires);
        digest.i64(self.expires_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_later_holds_and_ties_go_to_on_and_to_the_longer() {
        assert!(Said::new(2, false, None) > Said::new(1, true, None));
        assert!(Said::new(1, true, Some(5)) > Said::new(1, false, None));
        assert!(Said::new(1, true, None) > Said::new(1, true, Some(i64::MAX)));
    }
}
