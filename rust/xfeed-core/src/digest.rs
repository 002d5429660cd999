//! The state hash: equal states have equal hashes, whatever the order of arrival.

use sha2::{Digest as _, Sha256};

use crate::ids::Id;

/// Collects values in a fixed order.
pub(crate) struct Digest(Sha256);

impl Digest {
    pub(crate) fn new() -> Self {
        Self(Sha256::new())
    }

    /// Starts a part, so that values of one cannot be taken for values of the next.
    pub(crate) fn part(&mut self, name: &str) {
        self.text(name);
    }

    pub(crate) fn u64(&mut self, value: u64) {
        self.0.update(value.to_le_bytes());
    }

    pub(crate) fn i64(&mut self, value: i64) {
        self.0.update(value.to_le_bytes());
    }

    pub(crate) fn flag(&mut self, value: bool) {
        self.0.update([u8::from(value)]);
    }

    pub(crate) fn id(&mut self, id: Id) {
        self.u64(id.0);
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.u64(text.len() as u64);
        self.0.update(text.as_bytes());
    }

    /// An optional value: its presence, then the value.
    pub(crate) fn option<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        self.flag(value.is_some());
        if let Some(value) = value {
            write(self, value);
        }
    }

    pub(crate) fn hex(self) -> String {
        use std::fmt::Write as _;
        self.0
            .finalize()
            .iter()
            .fold(String::with_capacity(64), |mut hex, byte| {
                let _ = write!(hex, "{byte:02x}");
                hex
            })
    }
}
