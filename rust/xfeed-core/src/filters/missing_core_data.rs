//! Removes what cannot be shown.

use crate::batch::{CandidateBatch, Relation};
use crate::query::Query;
use crate::stage::Filter;
use crate::verdict::{Reason, Verdicts};

/// Removes posts that are not in the store, and reposts and quotes of deleted posts: the life of a
/// card ends with the life of what it shows.
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
            let dead = core
                .related
                .iter()
                .find(|related| related.deleted && related.relation != Relation::Ancestor);
            if let Some(dead) = dead {
                let detail = format!("the {} post was deleted", dead.relation.name());
                verdicts.remove(row, self.name(), Reason::RelatedDeleted, detail);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{CoreData, RelatedPost};
    use crate::filters::fixture::{batch, codes, core, inside, query};

    #[test]
    fn unknown_posts_and_reposts_of_deleted_ones_go_and_answers_to_deleted_ones_stay() {
        let dead = |relation| {
            let related = vec![RelatedPost {
                deleted: true,
                ..inside(relation, 8, Some(2))
            }];
            Some(CoreData { related, ..core(1) })
        };
        let rows = vec![
            (1, None),
            (2, Some(core(1))),
            (3, dead(Relation::Reposted)),
            (4, dead(Relation::Quoted)),
            (5, dead(Relation::Ancestor)),
        ];
        let found = codes(&MissingCoreData, &query(), &batch(rows));
        assert_eq!(
            found,
            [
                "missing_core_data",
                "",
                "related_deleted",
                "related_deleted",
                ""
            ]
        );
    }
}
