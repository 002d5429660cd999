//! Ids: exact, 64 bits, from integers or strings.
//!
//! Integers stand for themselves. Strings are hashed into the upper half of the range, so an id is
//! the same in every data directory and whatever the order of arrival; hash embeddings rely on it.
//! [`Names`] remembers the spelling. Two strings with one hash would be taken for one id; with 63 bits
//! that needs billions of ids, or somebody who searches for it.

use std::hash::Hasher;

use hashbrown::HashMap;
use siphasher::sip::SipHasher24;

/// An id of a viewer, an author, a post or a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(pub u64);

/// Longest string id, in bytes.
pub const MAX_ID_LEN: usize = 512;

/// Ids from here on came from strings.
const FIRST_STRING_ID: u64 = 1 << 63;

/// Stands for id 0 where the hash family reserves 0 for padding. No id has this value.
const MODEL_KEY_OF_ZERO: u64 = u64::MAX;

impl Id {
    /// Id of an integer; `None` from 2^63 on.
    pub fn from_int(value: u64) -> Option<Self> {
        (value < FIRST_STRING_ID).then_some(Self(value))
    }

    /// Id of a string; `Err` says what is wrong with it.
    ///
    /// # Errors
    /// When the string is empty, longer than [`MAX_ID_LEN`] bytes or holds control characters.
    pub fn from_text(text: &str) -> Result<Self, &'static str> {
        if let Some(id) = canonical_int(text) {
            return Ok(id);
        }
        if text.is_empty() {
            return Err("is empty");
        }
        if text.len() > MAX_ID_LEN {
            return Err("is longer than 512 bytes");
        }
        if text.chars().any(char::is_control) {
            return Err("holds a control character");
        }
        let mut hasher = SipHasher24::new_with_keys(0x7866_6565_642d_6964, 1);
        hasher.write(text.as_bytes());
        let hashed = hasher.finish() | FIRST_STRING_ID;
        // The top value is spoken for; giving it away costs one more collision in 2^63.
        Ok(Self(if hashed == MODEL_KEY_OF_ZERO {
            hashed - 1
        } else {
            hashed
        }))
    }

    /// Whether this id came from a string, so that [`Names`] is needed to spell it.
    pub fn is_text(self) -> bool {
        self.0 >= FIRST_STRING_ID
    }

    /// The id as the models see it: never 0, which means padding there.
    pub fn model_key(self) -> u64 {
        if self.0 == 0 {
            MODEL_KEY_OF_ZERO
        } else {
            self.0
        }
    }
}

/// `"42"` is 42; `"042"`, `"+42"` and `"9223372036854775808"` are not integers.
fn canonical_int(text: &str) -> Option<Id> {
    let canonical = text == "0" || (!text.starts_with('0') && !text.is_empty());
    if !canonical || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok().and_then(Id::from_int)
}

/// The spelling of every string id that was seen.
#[derive(Debug, Default)]
pub struct Names {
    spelling: HashMap<Id, Box<str>>,
}

impl Names {
    /// Remembers how `id` is spelled; integers need no memory. The first spelling stands.
    pub fn learn(&mut self, id: Id, text: &str) {
        if id.is_text() {
            self.spelling.entry(id).or_insert_with(|| text.into());
        }
    }

    /// The id as its sender wrote it.
    pub fn spell(&self, id: Id) -> String {
        match self.spelling.get(&id) {
            Some(text) => text.to_string(),
            None => id.0.to_string(),
        }
    }

    /// Every string id with its spelling, in order of id.
    pub fn all(&self) -> Vec<(Id, &str)> {
        let mut all: Vec<(Id, &str)> = self
            .spelling
            .iter()
            .map(|(id, text)| (*id, &**text))
            .collect();
        all.sort_unstable_by_key(|(id, _)| *id);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decimal_string_is_its_integer() {
        assert_eq!(Id::from_text("42"), Ok(Id(42)));
        assert_eq!(Id::from_text("0"), Ok(Id(0)));
        assert_eq!(Id::from_text("9223372036854775807"), Ok(Id((1 << 63) - 1)));
    }

    #[test]
    fn other_spellings_are_ids_of_their_own() {
        let mut all: Vec<Id> = ["042", "+42", "9223372036854775808", "at://a/b", "42 "]
            .iter()
            .map(|text| Id::from_text(text).unwrap())
            .collect();
        assert!(all.iter().all(|id| id.is_text()));
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 5);
    }

    #[test]
    fn bad_strings_say_why() {
        assert_eq!(Id::from_text(""), Err("is empty"));
        assert_eq!(
            Id::from_text(&"x".repeat(513)),
            Err("is longer than 512 bytes")
        );
        assert_eq!(Id::from_text("a\nb"), Err("holds a control character"));
    }

    #[test]
    fn the_upper_half_is_refused_as_an_integer() {
        assert_eq!(Id::from_int(1 << 63), None);
        assert_eq!(Id::from_int(u64::MAX), None);
    }

    #[test]
    fn zero_is_an_ordinary_id_to_the_models() {
        assert_ne!(Id(0).model_key(), 0);
        assert_eq!(Id(7).model_key(), 7);
    }

    #[test]
    fn names_spell_both_kinds() {
        let mut names = Names::default();
        let id = Id::from_text("ann").unwrap();
        names.learn(id, "ann");
        assert_eq!(names.spell(id), "ann");
        assert_eq!(names.spell(Id(5)), "5");
    }
}
