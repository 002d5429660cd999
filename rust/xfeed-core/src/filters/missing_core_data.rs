//! Removes what cannot be shown.

use crate::batch::{CandidateBatch, PostState, Relation};
use crate::query::Query;
use crate::stage::Filter;
use crate::verdict::{Reason, Verdicts};

/// Removes posts that are not in the store, and reposts and quotes of posts that are deleted or not
/// there: a card lives no longer than what it shows, and what nobody can look at (its labels, its
/// words, whose it is) is not shown.
#[derive(Debug)]
pub struct MissingCoreData;

impl Filter for MissingCoreData {
    fn name(&self) -> &'static str {
        "missing_core_data"
    }

    fn apply(&self, _query: &Query, batch: &CandidateBatch, verdicts: &mut Verdicts) {
        for (row, core) in batch.core.iter().enumerate() {
            let Some(core) = core else {
                let detail = "the post was deleted or never came in".to_owned();
                verdicts.remove(row, self.name(), Reason::MissingCoreData, detail);
                continue;
            };
            let gone = core.related.iter().find(|other| {
                other.state != PostState::Live && other.relation != Relation::Ancestor
            });
            if let Some(gone) = gone {
                let part = gone.relation.name();
                let (reason, how) = match gone.state {
                    PostState::Deleted => (Reason::RelatedDeleted, "was deleted"),
                    _ => (Reason::RelatedMissing, "is not in the store"),
                };
                verdicts.remove(row, self.name(), reason, format!("the {part} post {how}"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{CoreData, RelatedPost};
    use crate::filters::fixture::{batch, codes, core, inside, query};

    fn card(relation: Relation, state: PostState) -> Option<CoreData> {
        let related = vec![RelatedPost {
            state,
            ..inside(relation, 8, Some(2))
        }];
        Some(CoreData { related, ..core(1) })
    }

    #[test]
    fn cards_go_with_what_they_show_and_not_with_what_they_answer() {
        let rows = vec![
            (1, None),
            (2, Some(core(1))),
            (3, card(Relation::Reposted, PostState::Deleted)),
            (4, card(Relation::Quoted, PostState::Deleted)),
            (5, card(Relation::Quoted, PostState::Unknown)),
            (6, card(Relation::Ancestor, PostState::Unknown)),
            (7, card(Relation::Reposted, PostState::Live)),
        ];
        let found = codes(&MissingCoreData, &query(), &batch(rows));
        let gone = [
            "missing_core_data",
            "",
            "related_deleted",
            "related_deleted",
        ];
        assert_eq!(found[..4], gone);
        assert_eq!(found[4..], ["related_missing", "", ""]);
    }
}
