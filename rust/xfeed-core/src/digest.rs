//! The state hash: equal states have equal hashes, whatever the order of arrival.

use std::hash::Hasher as _;

use sha2::{Digest as _, Sha256};
use siphasher::sip128::{Hasher128 as _, SipHasher13};

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

    pub(crate) fn sum(&mut self, sum: &Sum) {
        self.u64(sum.n);
        self.u64(sum.high);
        self.u64(sum.low);
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

/// The hash of a set, in whatever order its members come: the sum of their hashes. It tells states
/// apart that differ by accident; somebody who may choose the members can make two sets agree.
#[derive(Debug, Default)]
pub(crate) struct Sum {
    n: u64,
    high: u64,
    low: u64,
}

impl Sum {
    /// Adds the members of another set.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.n += other.n;
        self.high = self.high.wrapping_add(other.high);
        self.low = self.low.wrapping_add(other.low);
    }

    pub(crate) fn add(&mut self, member: &[u64]) {
        let mut hasher = SipHasher13::new();
        for word in member {
            hasher.write(&word.to_le_bytes());
        }
        let hash = hasher.finish128();
        self.n += 1;
        self.high = self.high.wrapping_add(hash.h1);
        self.low = self.low.wrapping_add(hash.h2);
    }
}
