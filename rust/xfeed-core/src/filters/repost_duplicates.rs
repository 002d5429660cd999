//! One card per post, however often it is repeated.

use hashbrown::HashSet;

use crate::batch::CandidateBatch;
use crate::query::Query;
use crate::stage::Filter;
use crate::verdict::{Reason, Verdicts};

/// Removes rows that show a post which an earlier kept row shows: by itself or as a repost.
#[derive(Debug)]
pub struct RepostDuplicates;

impl Filter for RepostDuplicates {
    fn name(&self) -> &'static str {
        "repost_duplicates"
    }

    fn apply(&self, _query: &Query, batch: &CandidateBatch, verdicts: &mut Verdicts) {
        let mut met = HashSet::with_capacity(batch.len());
        for row in 0..batch.len() {
            if verdicts.is_kept(row) && !met.insert(batch.shown_post(row)) {
                let detail = "the same post is shown by an earlier candidate".to_owned();
                verdicts.remove(row, self.name(), Reason::RepostDuplicate, detail);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{CoreData, Relation};
    use crate::filters::fixture::{batch, codes, core, inside, query};

    #[test]
    fn the_first_card_of_a_post_stays() {
        let repost = |of| {
            let related = vec![inside(Relation::Reposted, of, Some(2))];
            Some(CoreData { related, ..core(1) })
        };
        let rows = vec![
            (11, repost(100)),
            (100, Some(core(2))),
            (12, repost(100)),
            (13, repost(200)),
        ];
        let found = codes(&RepostDuplicates, &query(), &batch(rows));
        assert_eq!(found, ["", "repost_duplicate", "repost_duplicate", ""]);
    }
}
