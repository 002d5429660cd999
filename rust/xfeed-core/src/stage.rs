//! What a filter is. Scorers and selectors are plain functions over columns.

use crate::batch::CandidateBatch;
use crate::query::Query;
use crate::verdict::Verdicts;

/// Removes candidates. A filter writes verdicts; it never moves, adds or changes rows.
pub trait Filter: std::fmt::Debug + Send + Sync {
    /// Name in config, answers and docs.
    fn name(&self) -> &'static str;

    /// Removes rows of `batch` that are still kept in `verdicts`.
    fn apply(&self, query: &Query, batch: &CandidateBatch, verdicts: &mut Verdicts);
}

/// Settings of all filters, validated by Python's config, which holds the defaults.
#[derive(Debug, Clone)]
pub struct FilterSettings {
    /// Oldest age that `age` keeps, in milliseconds.
    pub max_age_ms: u64,
    /// Labels that remove a post.
    pub removing_labels: Vec<String>,
}
