//! What filters decide: one reason per removed row; the first filter that removes a row is named.

use std::borrow::Cow;

macro_rules! reasons {
    ($($variant:ident $code:literal $meaning:literal),* $(,)?) => {
        /// Why a row was removed.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum Reason {
            $(#[doc = $meaning] $variant,)*
            /// The reason of a filter written in Python.
            Custom(String),
        }

        impl Reason {
            /// Stable code in answers.
            pub fn code(&self) -> Cow<'static, str> {
                match self {
                    $(Self::$variant => Cow::Borrowed($code),)*
                    Self::Custom(code) => Cow::Owned(code.clone()),
                }
            }
        }

        /// Every built-in reason with its meaning, for docs.
        pub const REASONS: &[(&str, &str)] = &[$(($code, $meaning)),*];
    };
}

reasons! {
    Duplicate "duplicate" "the same post came from an earlier source",
    MissingCoreData "missing_core_data" "the post is not (or no longer) in the store",
    RelatedDeleted "related_deleted" "the post it repeats was deleted",
    RelatedMissing "related_missing" "the post it repeats or quotes is not in the store",
    TooOld "too_old" "older than the age limit",
    FromTheFuture "from_the_future" "made after the request",
    OwnPost "own_post" "the viewer made it",
    RepostDuplicate "repost_duplicate" "the post it repeats is there already",
    SafetyUnknown "safety_unknown" "blocks, mutes, muted words or labels could not be looked up",
    RelatedUnknown "related_unknown" "the author of a post inside it is unknown",
    AuthorBlocked "author_blocked" "the viewer blocks somebody in it",
    AuthorMuted "author_muted" "the viewer mutes somebody in it",
    BlockedByAuthor "blocked_by_author" "somebody in it blocks the viewer",
    ProtectedAuthor "protected_author" "somebody in it shows posts to followers only",
    MutedWord "muted_word" "it holds a word the viewer muted",
    Seen "seen" "the viewer has seen it",
    Labelled "labelled" "it carries a label that removes posts",
}

/// Who removed a row, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removal {
    /// Name of the filter.
    pub filter: String,
    /// Its reason.
    pub reason: Reason,
    /// The decisive values for people, such as `51.2 h > 48 h`.
    pub detail: String,
}

/// One verdict per row.
#[derive(Debug, Clone, Default)]
pub struct Verdicts {
    removed: Vec<Option<Removal>>,
}

impl Verdicts {
    /// Verdicts of `rows` rows, all kept.
    pub fn new(rows: usize) -> Self {
        Self {
            removed: vec![None; rows],
        }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.removed.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.removed.is_empty()
    }

    /// Whether `row` is still in.
    pub fn is_kept(&self, row: usize) -> bool {
        self.removed[row].is_none()
    }

    /// Removes `row`; a row that is out already keeps its first reason.
    pub fn remove(&mut self, row: usize, filter: &str, reason: Reason, detail: String) {
        let slot = &mut self.removed[row];
        if slot.is_none() {
            *slot = Some(Removal {
                filter: filter.to_owned(),
                reason,
                detail,
            });
        }
    }

    /// Why `row` is out, if it is.
    pub fn removal(&self, row: usize) -> Option<&Removal> {
        self.removed[row].as_ref()
    }

    /// Rows that are still in, in order.
    pub fn kept(&self) -> impl Iterator<Item = usize> {
        self.removed
            .iter()
            .enumerate()
            .filter(|(_, removed)| removed.is_none())
            .map(|(row, _)| row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_reason_stands() {
        let mut verdicts = Verdicts::new(2);
        verdicts.remove(1, "age", Reason::TooOld, "3 h > 2 h".into());
        verdicts.remove(1, "self_post", Reason::OwnPost, String::new());
        assert_eq!(
            verdicts.removal(1).map(|removal| removal.filter.as_str()),
            Some("age")
        );
        assert_eq!(verdicts.kept().collect::<Vec<_>>(), [0]);
    }

    #[test]
    fn codes_are_unique() {
        let mut codes: Vec<&str> = REASONS.iter().map(|(code, _)| *code).collect();
        let all = codes.len();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), all);
    }
}
