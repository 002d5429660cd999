//! Who asks, and all that is known about them.

use hashbrown::HashSet;

use crate::clock::UnixMs;
use crate::ids::Id;
use crate::keywords::Matcher;

/// The answer to a question that may have failed. Unknown is never an empty list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup<T> {
    /// The answer.
    Known(T),
    /// The question could not be answered.
    Unknown,
}

impl<T> Lookup<T> {
    /// The answer, if there is one.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(answer) => Some(answer),
            Self::Unknown => None,
        }
    }
}

/// A viewer's muted words as typed, with the matcher built from them in the same order.
#[derive(Debug, Clone, Default)]
pub struct MutedWords {
    /// As typed.
    pub words: Vec<String>,
    /// Built from `words`.
    pub matcher: Matcher,
}

impl MutedWords {
    /// Compiles the words.
    pub fn new(words: Vec<String>) -> Self {
        let matcher = Matcher::new(words.iter().map(String::as_str));
        Self { words, matcher }
    }
}

/// A request with what the query hydrators added; nobody changes it afterwards.
#[derive(Debug, Clone)]
pub struct Query {
    /// Who asks.
    pub viewer: Id,
    /// When.
    pub now_ms: UnixMs,
    /// Whom the viewer follows.
    pub following: HashSet<Id>,
    /// Whom the viewer blocks.
    pub blocked: Lookup<HashSet<Id>>,
    /// Who blocks the viewer.
    pub blocked_by: Lookup<HashSet<Id>>,
    /// Whom the viewer mutes.
    pub muted: Lookup<HashSet<Id>>,
    /// Words the viewer does not want to read.
    pub muted_words: Lookup<MutedWords>,
    /// Posts the viewer has seen.
    pub seen: Lookup<HashSet<Id>>,
    /// How many follow the viewer, where known.
    pub follower_count: Option<u64>,
}

impl Query {
    /// A query before hydration: nothing is known, so nothing is shown.
    pub fn new(viewer: Id, now_ms: UnixMs) -> Self {
        Self {
            viewer,
            now_ms,
            following: HashSet::new(),
            blocked: Lookup::Unknown,
            blocked_by: Lookup::Unknown,
            muted: Lookup::Unknown,
            muted_words: Lookup::Unknown,
            seen: Lookup::Unknown,
            follower_count: None,
        }
    }
}
