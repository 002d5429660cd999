//! The state hash: equal states have equal hashes, whatever the order of arrival.

use sha2::{Digest as _, Sha256};

use crate::ids::Id;

/// Collects values in a fixed order.
pub(super) struct Digest(Sha256);

impl Digest {
    pub(super) fn new() -> Self {
        Self(Sha256::new())
    }

    /// Starts a part, so that values of one cannot be taken for values of the next.
    pub(super) fn part(&mut self, name: &str) {
        self.text(name);
    }

    pub(super) fn u64(&mut self, value: u64) {
        self.0.update(value.to_le_bytes());
    }

    pub(super) fn i64(&mut self, value: i64) {
        self.0.update(value.to_le_bytes());
    }

    pub(super) fn flag(&mut self, value: bool) {
        self.0.update([u8::from(value)]);
    }

    pub(super) fn id(&mut self, id: Id) {
        self.u64(id.0);
    }

    pub(super) fn text(&mut self, text: &str) {
        self.u64(text.len() as u64);
        self.0.update(text.as_bytes());
    }

    /// An optional value: its presence, then the value.
    pub(super) fn option<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        self.flag(value.is_some());
        if let Some(value) = value {
            write(self, value);
        }
    }

    pub(super) fn hex(self) -> String {
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
