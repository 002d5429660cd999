//! Small batches for the unit tests of filters.

use hashbrown::HashSet;

use crate::batch::{CandidateBatch, CoreData, PostState, RelatedPost, Relation};
use crate::event::PostKind;
use crate::ids::Id;
use crate::query::{Lookup, MutedWords, Query};
use crate::stage::Filter;
use crate::verdict::Verdicts;

pub(crate) const NOW: i64 = 1_000_000;
pub(crate) const VIEWER: u64 = 99;

/// A viewer about whom everything is known, and nothing special.
pub(crate) fn query() -> Query {
    let mut query = Query::new(Id(VIEWER), NOW);
    query.blocked = Lookup::Known(HashSet::new());
    query.blocked_by = Lookup::Known(HashSet::new());
    query.muted = Lookup::Known(HashSet::new());
    query.muted_words = Lookup::Known(MutedWords::default());
    query.seen = Lookup::Known(HashSet::new());
    query
}

/// A hydrated original.
pub(crate) fn core(author: u64) -> CoreData {
    CoreData {
        author: Id(author),
        created_ms: NOW,
        kind: PostKind::Original,
        media_kind: 0,
        media_duration_ms: 0,
        related: Vec::new(),
        texts: Vec::new(),
        mutual_follow: false,
        protected: false,
    }
}

/// A post inside another one.
pub(crate) fn inside(relation: Relation, post: u64, author: Option<u64>) -> RelatedPost {
    RelatedPost {
        relation,
        post: Id(post),
        author: author.map(Id),
        state: PostState::Live,
        protected: false,
    }
}

/// A batch of the given posts.
pub(crate) fn batch(rows: Vec<(u64, Option<CoreData>)>) -> CandidateBatch {
    let mut batch = CandidateBatch::default();
    let ids: Vec<Id> = rows.iter().map(|(id, _)| Id(*id)).collect();
    batch.push_source("test", &ids);
    batch.core = rows.into_iter().map(|(_, core)| core).collect();
    batch
}

/// Codes of the removals, empty for kept rows.
pub(crate) fn codes(filter: &dyn Filter, query: &Query, batch: &CandidateBatch) -> Vec<String> {
    let mut verdicts = Verdicts::new(batch.len());
    filter.apply(query, batch, &mut verdicts);
    (0..batch.len())
        .map(|row| {
            verdicts
                .removal(row)
                .map_or_else(String::new, |found| found.reason.code().into_owned())
        })
        .collect()
}
