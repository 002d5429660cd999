//! Accounts that show their posts to followers only.

use crate::batch::{CandidateBatch, Relation};
use crate::ids::Id;
use crate::query::Query;
use crate::stage::Filter;
use crate::verdict::{Reason, Verdicts};

/// Removes posts by protected authors whom the viewer does not follow, also inside reposts and quotes.
#[derive(Debug)]
pub struct Protected;

impl Filter for Protected {
    fn name(&self) -> &'static str {
        "protected"
    }

    fn apply(&self, query: &Query, batch: &CandidateBatch, verdicts: &mut Verdicts) {
        let may_see = |author: Id| author == query.viewer || query.following.contains(&author);
        for (row, core) in batch.core.iter().enumerate() {
            let Some(core) = core else {
                let detail = "nothing is known about the post".to_owned();
                verdicts.remove(row, self.name(), Reason::SafetyUnknown, detail);
                continue;
            };
            let shown = core
                .related
                .iter()
                .filter(|other| other.relation != Relation::Ancestor);
            let hit = std::iter::once(("", Some(core.author), core.protected))
                .chain(shown.map(|other| (other.relation.name(), other.author, other.protected)))
                .find(|(_, author, protected)| *protected && !author.is_some_and(may_see));
            if let Some((part, _, _)) = hit {
                let whose = match part {
                    "" => "the author".to_owned(),
                    part => format!("the author of the {part} post"),
                };
                let detail = format!("{whose} is protected and not followed");
                verdicts.remove(row, self.name(), Reason::ProtectedAuthor, detail);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use hashbrown::HashSet;

    use super::*;
    use crate::batch::{CoreData, RelatedPost};
    use crate::filters::fixture::{VIEWER, batch, codes, core, inside, query};

    #[test]
    fn only_followers_and_the_author_see_protected_posts() {
        let by = |author| {
            Some(CoreData {
                protected: true,
                ..core(author)
            })
        };
        let rows = vec![(1, by(5)), (2, by(6)), (3, by(VIEWER)), (4, Some(core(5)))];
        let mut query = query();
        query.following = HashSet::from([Id(6)]);
        assert_eq!(
            codes(&Protected, &query, &batch(rows)),
            ["protected_author", "", "", ""]
        );
    }

    #[test]
    fn a_repost_and_a_quote_do_not_let_a_protected_post_out() {
        let card = |relation| {
            let other = RelatedPost {
                protected: true,
                ..inside(relation, 8, Some(5))
            };
            Some(CoreData {
                related: vec![other],
                ..core(1)
            })
        };
        let rows = vec![
            (1, card(Relation::Reposted)),
            (2, card(Relation::Quoted)),
            (3, card(Relation::Ancestor)),
        ];
        let found = codes(&Protected, &query(), &batch(rows));
        assert_eq!(found, ["protected_author", "protected_author", ""]);
    }
}
