//! Removes what the viewer made.

use crate::batch::CandidateBatch;
use crate::query::Query;
use crate::stage::Filter;
use crate::verdict::{Reason, Verdicts};

/// Removes the viewer's own posts, also when somebody else repeats them.
#[derive(Debug)]
pub struct SelfPost;

impl Filter for SelfPost {
    fn name(&self) -> &'static str {
        "self_post"
    }

    fn apply(&self, query: &Query, batch: &CandidateBatch, verdicts: &mut Verdicts) {
        for (row, core) in batch.core.iter().enumerate() {
            let own = core
                .as_ref()
                .is_some_and(|core| core.author == query.viewer);
            if own || batch.shown_author(row) == Some(query.viewer) {
                let detail = if own {
                    "the author is the viewer"
                } else {
                    "it repeats the viewer"
                };
                verdicts.remove(row, self.name(), Reason::OwnPost, detail.to_owned());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{CoreData, Relation};
    use crate::filters::fixture::{VIEWER, batch, codes, core, inside, query};

    #[test]
    fn own_posts_and_reposts_of_them_go() {
        let related = vec![inside(Relation::Reposted, 8, Some(VIEWER))];
        let rows = vec![
            (1, Some(core(VIEWER))),
            (2, Some(core(1))),
            (3, Some(CoreData { related, ..core(1) })),
        ];
        assert_eq!(
            codes(&SelfPost, &query(), &batch(rows)),
            ["own_post", "", "own_post"]
        );
    }
}
